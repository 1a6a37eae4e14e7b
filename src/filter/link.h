/*
 * A session and its filters: connections to programs by way of filterd(8), questions to all filters
 * in turn, reports, contents. For smtpd, for mail of sendmail(1), and (reports only) for smtp.
 */
#pragma once

#include "filter/filter.h"
#include "ipc/ipc.h"
#include "util/log.h"

struct config;

struct filter_link { /* to one filter; unused for conditions */
    const struct filter *filter;
    struct ipc ipc; /* fd -1: not a program, or closed */
    struct filter_interest interest;
    bool is_out;     /* reports are of mail that leaves */
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
    unsigned long answers; /* of programs, so far */
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

/* ---- all filters of a session (ask.c) ---- */

/* Make what a session needs and connect to the programs; arena: of the session. RC_TEMP: a program
 * is not there. *out is set in any case; filters_close() ends it. */
enum rc filters_open(const struct filter_set *set, bool is_out, const struct config *config,
                     struct arena *arena, struct filters **out, struct why *why) MUST_USE;
void filters_close(struct filters *fl);

/* The filters in turn. first: a field before the parameter (connect; p == NULL: none). label: who
 * the client is, for log lines. On trouble the caller decides. */
enum rc filters_ask(struct filters *fl, enum filter_phase phase, struct str first,
                    struct str parameter, const struct filter_facts *facts, const struct log *log,
                    struct str label, struct verdict_of_filters *out, struct why *why) MUST_USE;
bool filters_refuse(const struct verdict_of_filters *v);
/* A report to all who listen to it; fields with p == NULL are left out. */
void filters_tell(struct filters *fl, enum filter_event e, struct str first, struct str second,
                  struct str last);
enum rc filters_flush(struct filters *fl, struct why *why) MUST_USE;
/* "127.0.0.1:25", "[::1]:25", "unix:local" */
struct str filters_endpoint(struct filters *fl, struct str address, struct str port);
void filters_tell_connect(struct filters *fl, const struct filter_facts *facts, struct str src,
                          struct str dest);
/* A transaction begins: it gets its number. */
void filters_tell_begin(struct filters *fl);
/* A recipient and the result "ok", "permfail" or "tempfail". */
void filters_tell_recipient(struct filters *fl, struct str address, struct str result);

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
