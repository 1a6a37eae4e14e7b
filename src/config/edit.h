/*
 * Editing main.cf and master.cf: comments, order and the layout of untouched lines stay, the file
 * is replaced at once (written beside it, synced, renamed), and editors wait for each other.
 */
#pragma once

#include "config/master_cf.h"

enum { CONFIG_LINE_MAX = 1024 * 1024 };

enum edit_action {
    EDIT_KEEP,
    EDIT_REPLACE,
    EDIT_DELETE,
    EDIT_COMMENT, /* '#' in front of each of its lines */
};

struct edit_decision {
    enum edit_action action;
    struct str text; /* EDIT_REPLACE: without line end */
};

/* What happens to a logical line, given without blanks at its ends. */
typedef enum rc edit_decide(void *context, struct str line, int number, struct edit_decision *d,
                            struct why *why);

/* Append the edited text. Comments and blank lines inside a logical line stay where they are. */
enum rc edit_text(struct str text, edit_decide *decide, void *context, struct buf *out,
                  struct why *why) MUST_USE;

void edit_add_line(struct buf *out, struct str line); /* with a line end */

/* Read dir/name, let rewrite() append the new text, replace the file unless nothing changed. */
typedef enum rc edit_rewrite(void *context, const char *path, struct str old, struct buf *out,
                             struct why *why);
enum rc edit_file(const char *dir, const char *name, edit_rewrite *rewrite, void *context,
                  struct why *why) MUST_USE;

struct edit_warnings {
    void (*warn)(void *context, const char *words);
    void *context;
};

/*
 * Set (EDIT_REPLACE; new names are appended), delete or comment out parameters of dir/main.cf. Each
 * of several lines for a name is edited, with a warning. For the latter two only the names count.
 */
enum rc main_cf_edit(const char *dir, enum edit_action action,
                     const struct config_setting *settings, size_t n,
                     const struct edit_warnings *warnings, struct why *why) MUST_USE;

enum master_edit_kind {
    MASTER_EDIT_ENTRY,    /* -Me name/type = line */
    MASTER_DELETE_ENTRY,  /* -MX name/type */
    MASTER_COMMENT_ENTRY, /* -M# name/type */
    MASTER_EDIT_FIELD,    /* -Fe name/type/field = value */
    MASTER_EDIT_PARAM,    /* -Pe name/type/parameter = value */
    MASTER_DELETE_PARAM,  /* -PX name/type/parameter */
};

struct master_edit {
    enum master_edit_kind kind;
    struct str name, type; /* "*" is any */
    struct str item;       /* field or parameter; "*" is any */
    struct str value;
    struct str request; /* all of it, for messages */
    bool is_done;       /* out: a line was found (or added) */
};

/* Take a request apart. RC_PERM: malformed. */
enum rc master_edit_parse(enum master_edit_kind kind, struct str request, struct master_edit *edit,
                          struct why *why) MUST_USE;

enum rc master_cf_edit(const char *dir, struct master_edit *edits, size_t n,
                       struct why *why) MUST_USE;

/* Index of a field name ("wakeup"), or -1. */
int master_field_find(struct str name);
const char *master_field_name(enum master_field field);
