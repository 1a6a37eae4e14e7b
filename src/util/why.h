/*
 * Errors are values: a result code says what kind, struct why holds the words.
 *
 * The words name what was tried, on what, and for the administrator the remedy. They carry no
 * "warning:" or program name; whoever logs them adds those.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define MUST_USE                __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

enum rc {
    RC_OK = 0,
    RC_NONE,    /* not found, end of data: no error */
    RC_TEMP,    /* trouble that may pass: try again later */
    RC_PERM,    /* the input is wrong and will stay wrong */
    RC_CONFIG,  /* the administrator must change something */
    RC_EOF,     /* the peer closed the connection */
    RC_TIMEOUT, /* the deadline passed */
};

struct why {
    enum rc rc;
    char text[512]; /* NUL-terminated, cut when longer */
};

/* Write the words. why may be NULL. Understands %m (errno at the time of the call). Keeps errno. */
void why_set(struct why *why, enum rc rc, const char *format, ...) PRINTF_LIKE(3, 4);

/* Put "prefix: " before words that are already there. why may be NULL. */
void why_prefix(struct why *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* A macro, so that analyzers see the constant that is returned. */
#define FAIL(why, code, ...) (why_set((why), (code), __VA_ARGS__), (code))

#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum rc try_rc_ = (call);                                                                  \
        if (try_rc_ != RC_OK)                                                                      \
            return try_rc_;                                                                        \
    } while (0)
