/*
 * Configuration files of database tables: "name = value" lines in the style of main.cf, without
 * $name expansion. And what such tables have in common: which keys are asked for at all, templates
 * with the parts of a key, the form of results.
 */
#pragma once

#include "table/driver.h"
#include "util/buf.h"

struct dbconf;

#pragma GCC visibility push(default) /* modules call these */
/* Read the file o->name, and watch it. Lives in o->arena. RC_TEMP: not there. RC_CONFIG: bad. */
enum rc dbconf_open(struct driver_open *o, struct dbconf **out, struct why *why) MUST_USE;

/* The value of a parameter, or dflt when it is not set. */
struct str dbconf_text(struct dbconf *c, const char *name, const char *dflt);
enum rc dbconf_number(struct dbconf *c, const char *name, long dflt, long min, long max, long *out,
                      struct why *why) MUST_USE;

/* Parameters in the file that nobody asked for: one warning each. */
void dbconf_warn_unused(struct dbconf *c);

/* ---- queries ---- */

struct dbquery;

/* Appends text in the quotes of the query language. RC_TEMP: cannot be quoted. */
typedef enum rc dbquery_quote(void *context, struct str text, struct buf *out, struct why *why);

/*
 * Read domain, result_format and expansion_limit. query: the template with %s %u %d %S %U %D %1-%9
 * %%.
 */
enum rc dbquery_new(struct dbconf *c, struct driver_open *o, struct str query, struct dbquery **out,
                    struct why *why) MUST_USE;
void dbquery_free(struct dbquery *q);

/*
 * The query for this key. RC_NONE: no query, because the key is not of a domain in the list, or
 * lacks a part that the template needs. quote may be NULL.
 */
enum rc dbquery_make(const struct dbquery *q, struct str key, dbquery_quote *quote, void *context,
                     struct buf *out, struct why *why) MUST_USE;

/*
 * Add one result (a column of a row) in result_format to what is there, with a comma between. An
 * empty one is skipped. RC_TEMP: more than expansion_limit.
 */
enum rc dbquery_add(const struct dbquery *q, struct str key, struct str value, struct buf *out,
                    long *n, struct why *why) MUST_USE;
#pragma GCC visibility pop
