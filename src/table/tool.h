/*
 * What postmap(1) and postalias(1) have in common: all but the source syntax. A tool makes tables
 * from source files, looks keys up, deletes them, and lists tables.
 */
#pragma once

#include "table/source.h"
#include "table/table.h"

struct config;
struct tool_run;

enum tool_mode { TOOL_MAKE, TOOL_QUERY, TOOL_DELETE, TOOL_LIST };

struct tool {
    const char *name;       /* of the program */
    const char *usage;      /* behind "usage: NAME " */
    const char *letters;    /* getopt's */
    const char *key_suffix; /* printed behind keys: "" or ":" */

    /* The next entry of a source; skips what is unfit with a warning, as source_entry(). */
    bool (*entry)(struct source *s, const char *path, bool utf8, const struct log *log,
                  struct arena *a, struct str *key, struct str *value);

    /* One more entry that every new table gets; key.n == 0: none. */
    struct str extra_key, extra_value;

    /* Another form of the key to look up when the first is not there; may be NULL. */
    struct str (*other_key)(struct arena *a, struct str key);

    /* postmap -b and -h: query for each piece of the message on standard input. May be NULL. */
    int (*query_message)(struct tool_run *run);
};

struct tool_run {
    const struct tool *tool;
    const struct config *config;
    const struct log *log;
    struct table_env env;
    struct arena *arena;
    enum tool_mode mode;
    const char *key; /* -q, -d */
    bool json, incremental, keep_root, default_mode, body, header, mime, force_utf8;
    unsigned flags; /* of tables */
    char **tables;  /* the arguments */
    int n_tables;
};

int tool_main(const struct tool *tool, int argc, char **argv);

/* Look one key up in the tables, and print it with what was found. False: not found. */
bool tool_find_and_print(struct tool_run *run, struct table **tables, struct str key);

/* Open the n_tables tables for lookups. Ends the program when one cannot be opened. */
struct table **tool_open_all(struct tool_run *run);
