/*
 * The sender of address probes (verify): address_verify_sender, with a suffix that changes every
 * address_verify_sender_ttl, so that sites that learn addresses do not learn this one.
 */
#pragma once

#include <time.h>

#include "util/arena.h"

struct config;

/* Full address, or empty for the null sender. */
struct str probe_sender(const struct config *config, struct arena *a, time_t now);

/* Is address a probe sender of these days? *base: without the suffix. */
bool probe_sender_is(const struct config *config, struct str address, struct arena *a, time_t now,
                     struct str *base);
