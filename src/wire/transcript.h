/*
 * What two ends of a session said to each other, for a notice to the postmaster. Bounded: the
 * middle of a long session is left out. A line that holds a secret must not be given to it.
 */
#pragma once

#include "util/buf.h"

struct transcript {
    struct buf first; /* how it began */
    struct buf last;  /* the latest lines */
    long left_out;    /* lines between the two */
};

enum { TRANSCRIPT_FIRST_MAX = 4096, TRANSCRIPT_LAST_MAX = 8192 };

void transcript_init(struct transcript *t);
void transcript_done(struct transcript *t);

/* A command or a reply of one or more lines separated by "\n". who: "In" or "Out". t may be NULL.
 */
void transcript_add(struct transcript *t, const char *who, struct str text);
