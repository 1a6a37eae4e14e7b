/*
 * A cdb file for reading, whoever has made it: mapped, no locks, any number of threads. For tables
 * whose files other programs make (tcprules, ipsvd-cdb); cdb: tables have a driver of their own.
 */
#pragma once

#include "util/arena.h"

struct cdb_file {
    struct str bytes;
    int fd;
};

/* RC_TEMP: cannot be opened, or is no cdb file. */
enum rc cdb_file_open(struct cdb_file *f, const char *path, struct why *why) MUST_USE;
void cdb_file_close(struct cdb_file *f);

/* The first record of a key, a view. RC_NONE: not there. RC_TEMP: the file is damaged. */
enum rc cdb_file_get(const struct cdb_file *f, struct str key, struct str *value,
                     struct why *why) MUST_USE;

/* Start with *at = 0. RC_NONE at the end. */
enum rc cdb_file_next(const struct cdb_file *f, size_t *at, struct str *key, struct str *value,
                      struct why *why) MUST_USE;
