/*
 * Making an indexed file: it grows under the name PATH.tmp and takes the place of PATH when it is
 * complete, so readers see the old table or the new one.
 */
#pragma once

#include "util/arena.h"

struct replacement {
    const char *path; /* with the symbolic link resolved */
    const char *tmp;
    int fd;     /* of tmp, locked; -1: none */
    int old_fd; /* of the old file, locked against those who change it in place; -1: none */
};

#pragma GCC visibility push(default) /* modules call these */
/* Open and lock PATH.tmp, empty, with mode and owner of the old file when there is one. RC_TEMP
   also when the directory is not ours to write to. */
enum rc replacement_begin(struct replacement *r, const char *path, struct arena *a,
                          struct why *why) MUST_USE;

/* Sync and rename. */
enum rc replacement_commit(struct replacement *r, struct why *why) MUST_USE;

/* Remove what was not committed; close. Fine after replacement_commit(). */
void replacement_end(struct replacement *r);
#pragma GCC visibility pop
