/*
 * Rotation of a log file by size and age. Who writes it notices by itself that the file has another
 * name now (log.c); so nobody needs to be told.
 */
#pragma once

#include <sys/types.h>
#include <time.h>

#include "util/arena.h"

struct log_rotation {
    const char *path;
    long max_bytes;     /* 0: not by size */
    long max_seconds;   /* 0: not by age */
    long keep;          /* rotated files; 0: all */
    const char *suffix; /* strftime(3) form, behind "path." */
    mode_t mode;        /* of the new file */
    uid_t uid;          /* (uid_t)-1: whoever makes it */
    gid_t gid;
};

/* RC_OK: rotated. RC_NONE: nothing to do. RC_TEMP: it could not be done; the file stays. */
enum rc log_rotate(const struct log_rotation *r, time_t now, struct why *why) MUST_USE;
