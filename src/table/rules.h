/*
 * Files of pattern rules, as regexp and pcre have them:
 *
 *   /pattern/flags result      !/pattern/flags result      if [!]/pattern/flags ... endif
 *
 * with $1 in results. This is all but the pattern language itself, which is a rule_language. Rules
 * are compiled once when the table is opened, and not changed by lookups: threads share them.
 */
#pragma once

#include "table/driver.h"

struct rules;

enum { RULE_GROUPS_MAX = 1000 };

struct rule_span { /* where a group matched; start < 0: it did not */
    ssize_t start, end;
};

struct rule_language {
    const char *type; /* "regexp", for messages */

    /* flags: the letters behind the closing delimiter. groups_wanted: the highest $n used, -1 when
       no $n is used. *groups: how many the pattern has. RC_PERM: bad pattern, words without a name
       in front. */
    enum rc (*compile)(struct str pattern, struct str flags, int groups_wanted, struct arena *a,
                       void **compiled, int *groups, struct why *why);

    /* RC_OK: matches, spans[0 .. n - 1] are set. RC_NONE. RC_TEMP: a limit was hit. */
    enum rc (*match)(const void *compiled, struct str text, struct rule_span *spans, size_t n,
                     struct why *why);
};

/* A default visibility, because pattern drivers are modules. */
#pragma GCC visibility push(default)
/* Fills o->state and what is watched. The compiled rules live in o->arena, freed by its defers. */
enum rc rules_open(const struct rule_language *language, struct driver_open *o,
                   struct why *why) MUST_USE;
enum rc rules_get(const struct rules *r, struct str key, struct arena *a, struct str *value,
                  struct why *why) MUST_USE;
#pragma GCC visibility pop

/* The text of a rule file, or of "{ {rule}, {rule} }" as one rule on each line. */
enum rc rule_text_read(struct driver_open *o, struct str *text, struct why *why) MUST_USE;

/* "if" or "endif" in any case at the start of the line, not as a part of a longer word? */
bool rule_is_keyword(struct str line, struct str keyword);
