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

/* What Postfix says of a line with s->stray set. log may be NULL. */
void source_warn_stray(const struct log *log, const char *path, struct str line);

/* "key value", "\"quoted key\" value": RC_PERM when a part is missing or quotes do not match. The
   key keeps its quotes. */
enum rc source_split(struct str line, struct str *key, struct str *value, struct why *why) MUST_USE;

/* postmap -F: the contents of these files (comma or blank between), base64. */
enum rc source_value_of_files(struct str files, struct arena *a, struct str *value,
                              struct why *why) MUST_USE;

/* "{ text }" -> "text", anything else as it is. RC_PERM: braces do not match. */
enum rc source_unbrace(struct str text, struct str *inside, struct why *why) MUST_USE;
