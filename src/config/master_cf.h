/*
 * Reader of master.cf: one service per logical line,
 *
 *     service type private unpriv chroot wakeup maxproc command arguments...
 *
 * A '-' is the default. An argument "{ text with blanks }" is one argument without the braces and
 * the blanks next to them. "-o name=value" and "-o { name = value }" in front of the other
 * arguments replace parameters for that service; other options ("-v") may stand between them.
 */
#pragma once

#include "config/config.h"
#include "util/buf.h"

enum master_type {
    MASTER_INET,
    MASTER_UNIX,
    MASTER_UNIX_DGRAM,
    MASTER_FIFO,
    MASTER_PASS,
};

enum master_field {
    MASTER_NAME,
    MASTER_TYPE,
    MASTER_PRIVATE,
    MASTER_UNPRIV,
    MASTER_CHROOT,
    MASTER_WAKEUP,
    MASTER_MAXPROC,
    MASTER_COMMAND,
    MASTER_FIELDS
};

struct master_entry {
    struct str name;
    enum master_type type;
    bool is_private;
    bool is_unprivileged; /* runs as mail_owner */
    bool is_chrooted;
    long wakeup; /* seconds; 0: never */
    bool wakeup_only_if_used;
    long maxproc;       /* 0: no limit */
    struct str command; /* file name in daemon_directory */
    struct str *args;   /* all arguments of the line, braces removed; NUL-terminated */
    bool *is_override;  /* of each argument: "-o", its setting is in it or in the next one */
    size_t args_n;
    struct config_setting *overrides; /* the -o among args; origin is path and line */
    size_t overrides_n;
    size_t options_n;                 /* args that stand before the first plain one */
    struct str fields[MASTER_FIELDS]; /* as written; the last is the command alone */
    int line;
};

struct master_cf {
    struct master_entry *entries;
    size_t n;
    const char *path;
};

/* How to read; NULL or zeros: every entry as a daemon sees it, the first mistake ends it. */
struct master_reading {
    const struct config *config; /* meaning of '-' (process limit, compatibility level); NULL: 100,
                                    not chrooted */
    bool keep_replaced;          /* also entries that a later line replaces */
    void (*on_error)(void *context, const char *words); /* for each bad line, which is left out */
    void *context;
};

/* RC_CONFIG with path, line and remedy. Everything lives in the arena. */
enum rc master_cf_parse(struct str text, const char *path, const struct master_reading *how,
                        struct arena *a, struct master_cf *out, struct why *why) MUST_USE;

/* The same from dir (NULL: the snapshot of $POSTERN_CONFIG_FD if there is one, else the default).
 */
enum rc master_cf_load(const char *dir, const struct master_reading *how, struct arena *a,
                       struct master_cf *out, struct why *why) MUST_USE;

/* One logical line; path and number (0: none) are for messages. */
enum rc master_entry_parse(struct str line, const char *path, int number, struct arena *a,
                           struct master_entry *out, struct why *why) MUST_USE;

/* Write it in columns. fold: options on lines of their own, others within 80 columns; no line end.
 */
void master_entry_format(const struct master_entry *e, bool fold, struct buf *out);

/* The entry of that name and type, or NULL. */
const struct master_entry *master_cf_find(const struct master_cf *m, struct str name,
                                          enum master_type type);

const char *master_type_name(enum master_type type);

/*
 * The configuration that the service of that name (not inet) would load: main.cf and the -o of its
 * entry. request->overrides do not count. RC_NONE: there is no such service.
 */
enum rc config_for_service(const struct config_request *request, const struct master_cf *m,
                           struct str name, struct config **out, struct why *why) MUST_USE;
