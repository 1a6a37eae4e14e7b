/*
 * The text form of tables: logical lines, keys and values. postmap(1), texthash and the pattern
 * tables read it.
 *
 * Blank lines and lines whose first other byte is '#' do not count, wherever they stand. A line
 * that begins with white space continues the one before; its leading blanks stay.
 */
#pragma once

#include "util/arena.h"
#include "util/log.h"

struct source {
    struct str rest;
    long line;       /* of the last physical line read */
    long first_line; /* where the current logical line began */
    bool stray;      /* the current line began with white space and had nothing to continue */
};

void source_init(struct source *s, struct str text);

/* The next logical line, trimmed at the right; a view, or in the arena when it was joined. */
bool source_next(struct source *s, struct arena *a, struct str *line);

/*
 * The next "key value" line that is fit, in the arena. Others are skipped with a warning: path and
 * line number come first. utf8: they must be UTF-8. log may be NULL.
 */
bool source_entry(struct source *s, const char *path, bool utf8, const struct log *log,
                  struct arena *a, struct str *key, struct str *value);

/* Is this logical line text that a table can take? (It is not when it began with white space, or is
   not UTF-8.) Warns. */
bool source_line_is_fit(const struct source *s, const char *path, bool utf8, const struct log *log,
                        struct str line);

/* "key value", "\"quoted key\" value": RC_PERM when a part is missing or quotes do not match. The
   key keeps its quotes. */
enum rc source_split(struct str line, struct str *key, struct str *value, struct why *why) MUST_USE;

/* postmap -F: the contents of these files (comma or blank between), base64. */
enum rc source_value_of_files(struct str files, struct arena *a, struct str *value,
                              struct why *why) MUST_USE;

/* "{ text }" -> "text", anything else as it is. RC_PERM: braces do not match. */
enum rc source_unbrace(struct str text, struct str *inside, struct why *why) MUST_USE;
