/*
 * What stands at the right of an alias, in a .forward file, in an :include: file: addresses,
 * "|command", "/file", ":include:/file", "\user", parted by commas or line ends. Double quotes and
 * backslashes protect; '#' begins a comment line.
 */
#pragma once

#include "util/arena.h"

enum destination_kind {
    DESTINATION_ADDRESS, /* text: internal form, maybe without domain */
    DESTINATION_USER,    /* "\user": no aliases, no .forward */
    DESTINATION_COMMAND,
    DESTINATION_FILE,
    DESTINATION_INCLUDE
};

struct destination {
    enum destination_kind kind;
    struct str text;
};

/* Results are views of text or live in the arena. RC_PERM: malformed; the words quote it. */
enum rc destinations_parse(struct str text, struct arena *a, struct destination **out, size_t *n,
                           struct why *why) MUST_USE;
