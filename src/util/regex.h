/* Extended regular expressions of POSIX in files of ours. */
#pragma once

#include <regex.h>

#include "util/arena.h"
#include "util/why.h"

/*
 * Upper and lower case are alike; there are no groups to ask for. It ends with the arena.
 * RC_CONFIG: malformed, or the C library would need minutes or all memory for it, because
 * repetitions stand within repetitions.
 */
enum rc regex_compile(struct arena *a, struct str expression, const regex_t **out,
                      struct why *why) MUST_USE;
