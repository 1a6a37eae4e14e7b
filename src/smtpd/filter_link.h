/* Connections of a session to filter programs, by way of filterd(8). */
#pragma once

#include "filter/filter.h"
#include "ipc/ipc.h"

struct config;

struct filter_link { /* to one filter; unused for conditions */
    const struct filter *filter;
    struct ipc ipc; /* fd -1: not a program, or closed */
    struct filter_interest interest;
    struct buf out;  /* lines not sent yet */
    struct buf in;   /* received */
    size_t in_start; /* of that, used up */
};

struct filters { /* of a session */
    const struct filter_set *set;
    struct filter_link *links; /* one for each filter of the set */
    size_t n;
    char id[FILTER_SESSION_SIZE];
    char message[9];     /* of the transaction; "": none */
    struct arena *arena; /* of one command */
    unsigned long tokens;
    bool junk_session, junk_message;
    bool broken;      /* a program is gone */
    bool refused;     /* the command at hand, by a filter */
    bool has_content; /* somebody wants to see the content */
    char content_token[17];
    struct buf line; /* of the content, while it is longer than a piece */
    enum rc content_rc;
    char last_class, last_subclass; /* of the latest reply: '2' and '5' of 250 */
};

struct verdict_of_filters {
    enum filter_decision decision;
    struct str text; /* reply; parameter, rewritten or not */
};

enum rc link_open(struct filter_link *l, const struct filter *f, const struct filters *fl,
                  const struct config *config, struct why *why) MUST_USE;
void link_close(struct filter_link *l);

/* Begin a report; NULL when that program does not listen to it. The caller adds fields. */
struct buf *link_event(struct filter_link *l, enum filter_event e, const char *session);
enum rc link_flush(struct filter_link *l, struct why *why) MUST_USE;

/* Ask for a decision and wait for it. answer: texts live until the next question. */
enum rc link_ask(struct filter_link *l, struct filters *fl, enum filter_phase phase,
                 struct str first, struct str parameter, struct filter_line *answer,
                 struct why *why) MUST_USE;

/* The content of a message: to the first program that wants it, from there to the next ... */
enum rc filtered_begin(struct filters *fl, struct why *why) MUST_USE;
enum rc filtered_add(struct filters *fl, struct str line, bool more, struct why *why) MUST_USE;
/* ... and from the last one to take(). */
enum rc filtered_end(struct filters *fl, void (*take)(void *context, struct str line),
                     void *context, struct why *why) MUST_USE;
