/* Reader of main.cf: "name = value" per logical line. */
#pragma once

#include "config/lines.h"
#include "util/arena.h"
#include "util/map.h"

struct main_cf_entry {
    struct str name, value; /* NUL-terminated views of the text */
    int line;
};

/* RC_NONE at the end. RC_CONFIG: a line without '=' or name; words with path and line. */
enum rc main_cf_next(struct line_reader *r, const char *path, struct main_cf_entry *entry,
                     struct why *why) MUST_USE;

/* A main.cf as it is written, for listing and checking; nothing is expanded. */
struct main_cf {
    struct main_cf_entry *entries; /* in the order of the file, replaced ones too */
    size_t n;
    struct map *by_name; /* name: the entry in effect, the last one */
    const char *path;
};

/* on_error (may be NULL) gets the words of each bad line, which is left out; without it the first
 * ends it. */
enum rc main_cf_parse(struct str text, const char *path,
                      void (*on_error)(void *context, const char *words), void *context,
                      struct arena *a, struct main_cf *out, struct why *why) MUST_USE;
enum rc main_cf_load(const char *dir, struct arena *a, struct main_cf *out,
                     struct why *why) MUST_USE;

const struct main_cf_entry *main_cf_find(const struct main_cf *m, struct str name); /* or NULL */
