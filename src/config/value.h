/* From the text of a parameter to its value, with the checks that params.def asks for. */
#pragma once

#include "config/param.h"
#include "util/arena.h"
#include "util/why.h"

struct value {
    bool yes;        /* BOOL */
    long number;     /* INT, LONG, times in seconds */
    struct str text; /* the others; ENUM and SET words in lower case */
};

/*
 * RC_PERM: the words say what is wrong and what to write instead. value->text is the text itself,
 * or a copy in the arena.
 */
enum rc value_parse(const struct param *p, struct str text, struct arena *a, struct value *value,
                    struct why *why) MUST_USE;

/* The same without words or length limits of a row. */
enum rc value_parse_number(enum param_kind kind, struct str text, long min, long max, long *number,
                           struct why *why) MUST_USE;
