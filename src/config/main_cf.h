/* Reader of main.cf: "name = value" per logical line. */
#pragma once

#include "config/lines.h"
#include "util/why.h"

struct main_cf_entry {
    struct str name, value; /* NUL-terminated views of the text */
    int line;
};

/* RC_NONE at the end. RC_CONFIG: a line without '=' or name; words with path and line. */
enum rc main_cf_next(struct line_reader *r, const char *path, struct main_cf_entry *entry,
                     struct why *why) MUST_USE;
