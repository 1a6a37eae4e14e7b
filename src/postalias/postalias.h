/* Inside of postalias(1). */
#pragma once

#include "table/tool.h"

/*
 * The next "name: value, value" of an alias file (aliases(5)), brought into one style: blanks as
 * they must be, quotes where they must be. Lines that are unfit are skipped with a warning.
 */
bool alias_entry(struct source *s, const char *path, bool utf8, const struct log *log,
                 struct arena *a, struct str *key, struct str *value);

/* With quotes where a local part needs them, and without when it has them. */
struct str alias_other_key(struct arena *a, struct str key);
