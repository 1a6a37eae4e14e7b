/*
 * Mail of local programs, as records in the order of a queue file: what sendmail(1) writes,
 * postdrop(1) checks and stores in maildrop/, and pickup(8) takes from there or from its socket.
 *
 * Envelope (S, A, F, V, C, R), M, content (N, L), X, late recipients (A, R), E. Everything else is
 * refused when it comes from a program.
 */
#pragma once

#include "queue/queue.h"
#include "util/log.h"

struct config;
struct drop_access;

enum drop_source {
    DROP_FROM_PROGRAM,  /* whoever runs sendmail: nothing is believed */
    DROP_FROM_MAILDROP, /* checked before it was stored; its time counts */
    DROP_FROM_QUEUE,    /* postsuper -r: a whole queue file, of which we take what still matters */
};

enum drop_part { DROP_ENVELOPE, DROP_CONTENT, DROP_EXTRACTED, DROP_COMPLETE };

struct drop { /* what is known so far; texts live in the arena */
    enum drop_source source;
    uid_t uid;
    struct arena *arena;
    enum drop_part part;
    struct submit_begin begin;  /* without recipients and flags */
    struct recipient recipient; /* the latest, or attributes of the next */
    bool has_sender;
    size_t n_recipients;
};

enum drop_kind {
    DROP_IGNORED,   /* not for us: do not store it */
    DROP_UNKNOWN,   /* the same, and worth a warning: the words are in why */
    DROP_KEPT,      /* part of the envelope */
    DROP_RECIPIENT, /* d->recipient is complete */
    DROP_TEXT,      /* a content line, or a piece of one */
};

void drop_init(struct drop *d, enum drop_source source, uid_t uid, struct arena *a);

/* The next record. RC_PERM: must not be; the words begin with "uid=N: ". */
enum rc drop_record(struct drop *d, int type, struct str payload, enum drop_kind *kind,
                    struct why *why) MUST_USE;

/* After E: has it all that a message needs? RC_PERM: no. */
enum rc drop_check(const struct drop *d, struct why *why) MUST_USE;

/* ---- who may ---- */
/* Tables of authorized_submit_users and local_login_sender_maps; log must live as long. */
enum rc drop_access_open(const struct config *config, const struct log *log,
                         struct drop_access **out, struct why *why) MUST_USE;
bool drop_access_has_changed(struct drop_access *x);
/* May this user submit mail; with this envelope sender? RC_PERM: no. Other codes: trouble. */
enum rc drop_may_submit(struct drop_access *x, uid_t uid, struct why *why) MUST_USE;
enum rc drop_may_send_as(struct drop_access *x, uid_t uid, struct str sender,
                         struct why *why) MUST_USE;
