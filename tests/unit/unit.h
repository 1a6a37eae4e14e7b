/* What every unit test includes: cmocka after the headers that it needs. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "util/arena.h"
#include "util/str.h"
#include "util/why.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Is the str this text? Prints both when not. */
#define assert_str(actual, text)                                                                   \
    do {                                                                                           \
        struct str got_ = (actual);                                                                \
        const char *want_ = (text);                                                                \
        if (got_.n != strlen(want_) || memcmp(got_.p ? got_.p : "", want_, got_.n) != 0)           \
            fail_msg("got \"" STR_FMT "\", want \"%s\"", STR_ARG(got_), want_);                    \
    } while (0)
