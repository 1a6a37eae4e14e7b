/*
 * The Sender Rewriting Scheme: forwarded mail gets a sender in our own domain from which the
 * original one can be read again, signed so that nobody else can make one.
 *
 * SRS0=HASH=TIME=domain=user@us for an ordinary sender; SRS1=HASH=first==HASH=TIME=domain=user@us
 * for one that another forwarder, "first", has rewritten before. TIME counts days, HASH is part of
 * an HMAC-SHA1 in base 64. Compatible with the common implementations. Thread-safe.
 */
#pragma once

#include <time.h>

#include "util/arena.h"

struct config;
struct srs;

/* RC_NONE: srs_secrets is empty, *out is NULL. RC_CONFIG: this build cannot sign. */
enum rc srs_open(const struct config *config, struct srs **out, struct why *why) MUST_USE;
void srs_close(struct srs *s); /* NULL is fine */

/* RC_NONE: leave the sender alone: it is empty, without domain, or in srs_domain already. s may be
 * NULL. */
enum rc srs_forward(const struct srs *s, struct str sender, time_t now, struct arena *a,
                    struct str *out, struct why *why) MUST_USE;

/* RC_NONE: no rewritten address in srs_domain. RC_PERM: one with a wrong signature, malformed, or
 * too old. s may be NULL. */
enum rc srs_reverse(const struct srs *s, struct str recipient, time_t now, struct arena *a,
                    struct str *out, struct why *why) MUST_USE;
