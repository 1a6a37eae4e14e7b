/*
 * What two ends of a session said to each other: kept for a notice to the postmaster, and shown in
 * the log as "> peer: text" and "< peer: text" when that is verbose. What is kept is bounded: the
 * middle of a long session is left out. A line that holds a secret must not be given to it.
 */
#pragma once

#include "util/buf.h"
#include "util/log.h"

struct transcript {
    const struct log *log;
    struct str peer;
    bool keep;
    struct buf first;                                              /* how it began */
    struct buf last;                                               /* the latest lines */
    long left_out;                                                 /* lines between the two */
    void (*watch)(void *context, bool from_peer, struct str line); /* NULL: nobody */
    void *context;
};

enum { TRANSCRIPT_FIRST_MAX = 4096, TRANSCRIPT_LAST_MAX = 8192 };

/* log and what peer points to must stay; peer may be set later. */
void transcript_init(struct transcript *t, const struct log *log, bool keep);
void transcript_done(struct transcript *t);

/* A command or a reply of one or more lines separated by "\n", from them or from us. t may be NULL.
 */
void transcript_in(struct transcript *t, struct str text);
void transcript_out(struct transcript *t, struct str text);
