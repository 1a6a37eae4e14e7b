/*
 * Lookup tables: one driver per file behind one interface (driver.h).
 *
 * A lookup says found, not found, or trouble; trouble never looks like not found. A table that
 * cannot be opened now but might be later stays as a table whose lookups all answer RC_TEMP (and
 * one warning). Tables are thread-safe: one handle serves all sessions of a process.
 */
#pragma once

#include "util/arena.h"
#include "util/log.h"
#include "util/net.h"

struct config;
struct table;

enum table_flags {
    TABLE_WRITE = 1 << 0,     /* put and delete wanted */
    TABLE_CREATE = 1 << 1,    /* make it new (postmap); implies TABLE_WRITE */
    TABLE_FOLD_KEEP = 1 << 2, /* do not fold keys of fixed-string tables to lower case */
    TABLE_NO_SUBSTITUTE =
        1 << 3,                /* refuse $number in pattern tables: security-sensitive parameters */
    TABLE_NO_PROXY = 1 << 4,   /* open proxy:type:name directly */
    TABLE_NO_UNAUTH = 1 << 5,  /* refuse tables that outsiders could control (tcp) */
    TABLE_UTF8 = 1 << 6,       /* keys and values must be UTF-8; Unicode case folding. Set by
                                  table_open() when smtputf8_enable says so */
    TABLE_REPLACE = 1 << 7,    /* duplicate key: replace silently (postmap -r) */
    TABLE_IGNORE_DUP = 1 << 8, /* duplicate key: keep the old silently (postmap -w) */
    TABLE_NUL = 1 << 9,        /* write keys and values with a trailing NUL; TABLE_NO_NUL: without;
                                  neither: driver's habit */
    TABLE_NO_NUL = 1 << 10,
    TABLE_BASE64 = 1 << 11,   /* value is base64 of a file (postmap -F) */
    TABLE_BYTES = 1 << 12,    /* no UTF-8 checks, whatever smtputf8_enable says (postmap -u) */
    TABLE_STRICT = 1 << 13,   /* a table that cannot be opened is RC_TEMP, not a surrogate */
    TABLE_OLD_ONLY = 1 << 14, /* TABLE_WRITE: do not make the file when it is not there */
    TABLE_CACHE = 1 << 15,    /* TABLE_WRITE: what was put may be lost when the machine crashes */
};

struct table_env {
    const struct config *config;
    const struct log *log;
};

/* type_name: "hash:/etc/aliases". RC_CONFIG: unknown type (words say which package or build has
   it), or rule file with errors where that is fatal. Rule lines that are skipped are logged as
   warnings. */
enum rc table_open(struct str type_name, unsigned flags, const struct table_env *env,
                   struct table **out, struct why *why) MUST_USE;
void table_close(struct table *t);
struct str table_name(const struct table *t); /* "hash:/etc/aliases" */
bool table_is_pattern(struct table *t); /* cidr, regexp, pcre, ...: only whole keys are looked up */
/* Its file was changed, and the new one cannot be opened from here (chroot, privileges): the
   process should end soon. What can be opened again is, within a second, without a word. */
bool table_has_changed(struct table *t);
/*
 * Whose file is it? RC_NONE: there is no file: the answers come from main.cf, or from a server. A
 * table made of tables has the first owner among them who is not root.
 */
enum rc table_owner(struct table *t, uid_t *owner) MUST_USE;

/* A number that changes when the file is written, also in place; 0 without a file. For caches of
 * answers, which look once a second. */
unsigned long table_stamp(struct table *t);

/* RC_OK, RC_NONE, RC_TEMP (also: value or key not fit). value: in the arena, never empty text
 * unless the table says so. */
enum rc table_get(struct table *t, struct str key, struct arena *a, struct str *value,
                  struct why *why) MUST_USE;

/* RC_PERM: not writable. put of a key that is there: RC_NONE (words in why: "duplicate entry")
 * unless a TABLE_REPLACE/TABLE_IGNORE_DUP flag. */
enum rc table_put(struct table *t, struct str key, struct str value, struct why *why) MUST_USE;
enum rc table_delete(struct table *t, struct str key,
                     struct why *why) MUST_USE; /* RC_NONE: not there */

/* TABLE_CREATE: make what was put visible, at once. Closing without it leaves the old table. */
enum rc table_commit(struct table *t, struct why *why) MUST_USE;

/* first: start over. RC_NONE at the end. RC_PERM: the type cannot be listed. */
enum rc table_next(struct table *t, bool first, struct arena *a, struct str *key, struct str *value,
                   struct why *why) MUST_USE;

/* Delete the entries that keep() does not want. Counts what stayed and what went. */
enum rc table_clean(struct table *t, bool (*keep)(void *context, struct str value), void *context,
                    long *kept, long *dropped, struct why *why) MUST_USE;

/*
 * Types whose source has a language of its own: does the type of this "type:name" make its compiled
 * form from its source itself? Do it: the old one stays when the source has an error.
 */
bool table_compiles(struct str type_name);
enum rc table_compile(struct str type_name, const struct table_env *env, struct why *why) MUST_USE;

/* All types of this build, sorted, for postconf -m; those that postmap can create. */
const char *const *table_types(void);
bool table_type_is_writable(struct str type);

/* ---- a parameter's list of tables: the first with the key wins (maps.c) ---- */
struct maps;

/* parameter: its name, for messages. Empty spec gives maps without tables. */
enum rc maps_open(const char *parameter, struct str spec, unsigned flags,
                  const struct table_env *env, struct maps **out, struct why *why) MUST_USE;
void maps_close(struct maps *m);
bool maps_empty(const struct maps *m);
bool maps_have_changed(struct maps *m);
unsigned long maps_stamp(struct maps *m);
enum rc maps_get(struct maps *m, struct str key, struct arena *a, struct str *value,
                 struct why *why) MUST_USE;

/* As maps_get; *from is the table that answered. */
enum rc maps_get_from(struct maps *m, struct str key, struct arena *a, struct str *value,
                      struct table **from, struct why *why) MUST_USE;

/* As maps_get, without pattern tables and the like: for partial keys. */
enum rc maps_get_fixed(struct maps *m, struct str key, struct arena *a, struct str *value,
                       struct why *why) MUST_USE;

/* Address keys in this order: user+ext@domain, user@domain, user+ext, user (local
 * domains only), @domain. */
struct address_keys {
    struct str delimiters; /* recipient_delimiter */
    bool (*is_local)(void *context,
                     struct str domain); /* myorigin, mydestination, own literals; NULL: none */
    void *context;
    bool with_domain_only; /* also @domain (all but a few) */
    bool user_at;          /* access: user+ext@ and user@ instead of bare user */
    bool plain_domain;     /* access, transport: "domain" and parents instead of "@domain" */
    bool dot_parents;      /* parents as .parent instead of parent */
};
/* address: internal form; keys with quotes (external form) are tried first. RC_NONE also when the
   address is empty. *extension: what was cut off the key to find it ("+ext"), or empty. */
enum rc maps_get_address(struct maps *m, struct str address, const struct address_keys *how,
                         struct arena *a, struct str *value, struct str *extension,
                         struct why *why) MUST_USE;

/* ---- match lists: mydestination, mynetworks, relay_domains ... (match.c) ---- */
struct match_list;

enum match_kind { MATCH_STRING, MATCH_DOMAIN, MATCH_CLIENT }; /* MATCH_CLIENT: names and networks */

/* Literal patterns, /file, type:table, !pattern. parents: parameter is in
 * parent_domain_matches_subdomains. RC_CONFIG when malformed. */
enum rc match_open(const char *parameter, struct str spec, enum match_kind kind, bool parents,
                   const struct table_env *env, struct match_list **out, struct why *why) MUST_USE;
void match_close(struct match_list *m);
bool match_empty(const struct match_list *m);
bool match_has_changed(struct match_list *m); /* one of its tables was replaced */
unsigned long match_stamp(struct match_list *m);
/* RC_OK matches, RC_NONE does not, RC_TEMP table trouble. name may be empty. */
enum rc match_get(struct match_list *m, struct str text, struct why *why) MUST_USE;
enum rc match_client(struct match_list *m, struct str name, const struct addr *address,
                     struct why *why) MUST_USE;

/* Is this parameter named in parent_domain_matches_subdomains? */
bool match_parents(const struct config *config, const char *parameter);

/* Case folding as tables do it: Unicode when utf8, else ASCII. */
struct str fold_case(struct arena *a, struct str text, bool utf8);
