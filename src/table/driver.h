/*
 * A table driver: one kind of storage behind table.h. One file per driver; this is all a driver
 * has to provide. Case folding, UTF-8 checks, trailing NULs, base64, surrogates of tables that
 * cannot be opened, and locking between threads (for drivers that are not DRIVER_THREADS) are
 * table.c's business, once for all.
 */
#pragma once

#include "table/client_rules.h"
#include "table/table.h"

/* Modules see functions with this visibility only; util is exported as a whole (Makefile.in). */
#define MODULE_EXPORT __attribute__((visibility("default")))

enum driver_flags {
    DRIVER_FOLDS = 1 << 0, /* fixed strings: keys are folded to lower case before they come here */
    DRIVER_WHOLE = 1 << 1, /* pattern tables and the like: no partial keys are looked up */
    DRIVER_THREADS = 1 << 2,    /* get() may run in several threads at once */
    DRIVER_CREATES = 1 << 3,    /* postmap can create it */
    DRIVER_UPDATES = 1 << 4,    /* put() and delete() work in a table that exists */
    DRIVER_NUL = 1 << 5,        /* indexed file: keys and values may carry a trailing NUL */
    DRIVER_WRITES_NUL = 1 << 6, /* and new ones get it unless told otherwise */
    DRIVER_UNAUTH = 1 << 7,     /* the other end is not authenticated: refused by TABLE_NO_UNAUTH */
    DRIVER_SUBSTITUTES = 1 << 8, /* patterns with $number results */
    DRIVER_CHECKS_UTF8 = 1 << 9, /* wraps other tables, which do the checks themselves */
};

/* What open() is told, and what it may tell in return. */
struct driver_open {
    struct str type, name; /* of "type:name" */
    unsigned flags;        /* enum table_flags */
    const struct table_env *env;
    struct arena *arena; /* lives as long as the table */
    bool again;          /* the file has changed; what was opened before stays when this fails */

    void *state;           /* out: passed to all other functions */
    unsigned driver_flags; /* in: those of the driver; wrappers change them to fit what is inside */
    const char *watch_path; /* out: file whose replacement means that the table has changed */
    int watch_fd;           /* out: descriptor of that file as it was opened, or -1; not owned */
    bool has_owner; /* out: wrappers tell who owns what is inside; else it is the file's owner */
    uid_t owner;
    const char *label; /* out: name in "duplicate entry" messages; NULL: type:name */
};

/* For wrappers: adopt the owner of a table inside, unless another one than root is known. */
void driver_adopt_owner(struct driver_open *o, struct table *inside);

struct table_driver {
    const char *type;
    unsigned flags; /* enum driver_flags */

    /* RC_TEMP: cannot be opened now, becomes a surrogate. RC_CONFIG: can never work. */
    enum rc (*open)(struct driver_open *o, struct why *why);
    enum rc (*get)(void *state, struct str key, struct arena *a, struct str *value,
                   struct why *why);
    /* RC_NONE: the key is there and replace is false. */
    enum rc (*put)(void *state, struct str key, struct str value, bool replace, struct why *why);
    enum rc (*delete)(void *state, struct str key, struct why *why);
    enum rc (*next)(void *state, bool first, struct arena *a, struct str *key, struct str *value,
                    struct why *why);
    enum rc (*commit)(void *state, struct why *why); /* TABLE_CREATE: make it visible */
    void (*close)(void *state);

    /* Tables of rules about clients (client_rules.h); NULL for all others. */
    enum rc (*find_rule)(void *state, const struct client_query *query, struct arena *a,
                         struct client_rule *rule, struct why *why);
    enum rc (*each_rule)(void *state, client_rule_visit *visit, void *context, struct why *why);
    bool (*wants_user)(void *state);

    /* postmap: make the compiled form from the source, whose language is the table's own. NULL: the
     * source has "key value" lines. RC_CONFIG: it has an error, or is missing; nothing is changed.
     */
    enum rc (*compile)(struct str name, const struct table_env *env, struct why *why);
};

/* The same of a table that is open, whatever its driver. RC_PERM: not of that kind. */
enum rc table_find_rule(struct table *t, const struct client_query *query, struct arena *a,
                        struct client_rule *rule, struct why *why) MUST_USE;
enum rc table_each_rule(struct table *t, client_rule_visit *visit, void *context,
                        struct why *why) MUST_USE;
bool table_has_rules(const struct table *t);
bool table_wants_user(struct table *t);

/* The drivers, sorted by type (types.def). RC_CONFIG: unknown, or its module is missing. */
enum rc driver_find(struct str type, const struct table_env *env, const struct table_driver **out,
                    struct why *why) MUST_USE;

/* Where is the module "table-sqlite.so"? False: nowhere. */
bool module_find(const char *file, const struct table_env *env, struct arena *a, char **path);

/* dlopen() a module and find its driver (modules.c). */
enum rc driver_load(const char *module, const char *type, const char *package,
                    const struct table_env *env, const struct table_driver **out,
                    struct why *why) MUST_USE;

/* Open type:name, which takes the place of the hash: or btree: table old; with
 * non_bdb_migration_level = enable-reindex it is made when it is missing (redirect.c). */
enum rc table_open_redirected(struct str type, struct str name, struct str old, unsigned flags,
                              const struct table_env *env, struct table **out,
                              struct why *why) MUST_USE;
