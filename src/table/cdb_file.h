/*
 * The bytes of a cdb file for reading, whoever has made it: no locks, any number of threads. For
 * tables whose files other programs make (tcprules, ipsvd-cdb); cdb: tables have a driver of their
 * own. In memory, not mapped: somebody may write over the file, or cut it, while it is used.
 */
#pragma once

#include "util/arena.h"

struct cdb_file {
    struct str bytes; /* the caller's */
};

/* RC_CONFIG: no cdb file. */
enum rc cdb_file_open(struct cdb_file *f, struct str bytes, struct why *why) MUST_USE;

/* The first record of a key, a view. RC_NONE: not there. RC_TEMP: the file is damaged. */
enum rc cdb_file_get(const struct cdb_file *f, struct str key, struct str *value,
                     struct why *why) MUST_USE;

/* Start with *at = 0. RC_NONE at the end. */
enum rc cdb_file_next(const struct cdb_file *f, size_t *at, struct str *key, struct str *value,
                      struct why *why) MUST_USE;
