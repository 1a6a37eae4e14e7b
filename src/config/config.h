/*
 * The configuration: one immutable value made from main.cf, built-in defaults and overrides.
 *
 * Each parameter of params.def is a member: BOOL as bool; INT, LONG and times (in seconds) as
 * long; texts as struct str with $names expanded (RAW: as written). Texts are NUL-terminated and
 * live as long as the configuration. There is no global configuration: it is passed down as a const
 * pointer, and threads share it.
 *
 * Life cycle: config_load() at start; config_overlay() for a listener, service or session with
 * parameters of its own; config_free(). An overlay needs its base as long as it lives.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "util/arena.h"
#include "util/str.h"
#include "util/why.h"

#define CONFIG_TYPE_STR         struct str
#define CONFIG_TYPE_RAW         struct str
#define CONFIG_TYPE_ENUM(words) struct str /* one of the words, in lower case */
#define CONFIG_TYPE_SET(words)  struct str
#define CONFIG_TYPE_LEGACY      struct str
#define CONFIG_TYPE_BOOL        bool
#define CONFIG_TYPE_INT         long
#define CONFIG_TYPE_LONG        long
#define CONFIG_TYPE_TIME        long
#define CONFIG_TYPE_TIME_H      long
#define CONFIG_TYPE_TIME_D      long

struct config {
#define PARAM(type, name, dflt, min, max, since, area)            CONFIG_TYPE_##type name;
#define PARAM_AS(member, type, name, dflt, min, max, since, area) CONFIG_TYPE_##type member;
#include "config/params.def"
#undef PARAM
#undef PARAM_AS
    const struct config_source *source; /* private: texts, user-defined parameters, memory */
};

struct config_setting {
    struct str name, value;
    struct str origin; /* for messages: "/etc/postfix/master.cf, line 12"; may be STR_NONE */
};

struct config_request {
    const char *dir;                        /* directory of main.cf; NULL: config_default_dir() */
    const char *service_name;               /* $service_name; NULL: "" */
    const char *process_name;               /* $process_name; NULL: "" */
    const struct config_setting *overrides; /* -o name=value; a later one wins */
    size_t overrides_n;
    const struct str *main_cf; /* text that is read instead of the file; NULL: the file, or with
                                  dir == NULL the descriptor that $POSTERN_CONFIG_FD names */
};

/*
 * $POSTERN_CONFIG_FD = "MAIN:MASTER": descriptors of sealed memory files with the texts of main.cf
 * and master.cf which master has checked. They are read from their start, the offset is not moved.
 */
#define CONFIG_FD_ENVIRONMENT "POSTERN_CONFIG_FD"

/* $POSTERN_FILES_FD: the same for other files that master has checked; see snapshot_file(). */
#define FILES_FD_ENVIRONMENT "POSTERN_FILES_FD"

/*
 * Read and check everything. A missing main.cf is RC_CONFIG. Every error names file, line,
 * parameter, value and remedy; the first one ends it (config/check.h finds them all).
 */
enum rc config_load(const struct config_request *request, struct config **out,
                    struct why *why) MUST_USE;
void config_free(struct config *config); /* NULL is fine */

/* The same configuration with some parameters replaced, and everything that depends on them. */
enum rc config_overlay(const struct config *base, const struct config_setting *overrides, size_t n,
                       struct config **out, struct why *why) MUST_USE;

/* $MAIL_CONFIG when set and not empty, else the built-in directory. */
const char *config_default_dir(void);

/*
 * Value by name: built-in, user-defined and per-transport parameters. Expanded, except RAW ones.
 * RC_NONE: no such parameter is known or set. RC_CONFIG: user-defined, and its text cannot be
 * expanded.
 */
enum rc config_get(const struct config *config, struct str name, struct str *value) MUST_USE;

/* Does inet_protocols name this family (AF_INET, AF_INET6)? */
bool config_has_protocol(const struct config *config, int family);

/* Does main.cf or an override set it? (False: the value is the default.) */
bool config_is_set(const struct config *config, struct str name);

/* Where that is done, for messages: "/etc/postfix/main.cf, line 12"; empty for a default. */
struct str config_place(const struct config *config, struct arena *a, struct str name);

/*
 * Parameters TRANSPORT_suffix, such as "smtp", "destination_concurrency_limit". What is not set has
 * the default of transports.def: another parameter, mostly default_SUFFIX. Texts live as long as
 * the configuration. A suffix that transports.def does not name is a bug of the caller.
 */
struct str config_transport_get(const struct config *config, struct str transport,
                                const char *suffix);
enum rc config_transport_long(const struct config *config, struct str transport, const char *suffix,
                              long *value, struct why *why) MUST_USE;
enum rc config_transport_time(const struct config *config, struct str transport, const char *suffix,
                              long *seconds, struct why *why) MUST_USE;

/* Expand $names in a text, as in a main.cf value. */
enum rc config_expand(const struct config *config, struct arena *arena, struct str text,
                      struct str *out, struct why *why) MUST_USE;

/* Is compatibility_level lower than level, e.g. "3.6"? */
bool config_level_below(const struct config *config, const char *level);

/* Values as main.cf has them. False when malformed or too large; *out untouched then. */
bool config_parse_bool(struct str text, bool *out);
bool config_parse_time(struct str text, char default_unit, long *seconds); /* unit: s m h d w */
bool config_parse_long(struct str text, long *out);

/* The argument of -o: "name=value" or "name = value"; views of the text. RC_PERM: no proper name or
 * no
 * '='. */
enum rc config_parse_setting(struct str text, struct config_setting *setting,
                             struct why *why) MUST_USE;
