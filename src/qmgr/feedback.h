/*
 * Concurrency window of a destination: how many deliveries may run at once, and how it learns from
 * success and failure. Pure arithmetic.
 */
#pragma once

#include <stddef.h>

#include "util/str.h"
#include "util/why.h"

/* "1", "1/5", "1/concurrency", "1/sqrt_concurrency": value divided by what. */
struct feedback {
    double value;
    enum { PER_NOTHING, PER_CONCURRENCY, PER_SQRT_CONCURRENCY } per;
    double hysteresis; /* how much must collect before the window moves */
};
enum rc feedback_parse(struct str text, struct feedback *out, struct why *why) MUST_USE;
double feedback_amount(const struct feedback *f, size_t concurrency);

struct window {
    size_t size;
    double success, failure; /* collected feedback that did not move the window yet */
    double fail_cohorts;
};

struct window_rules {
    size_t initial, limit; /* limit 0: none */
    double failed_cohort_limit;
    const struct feedback *positive, *negative;
};

void window_reset(struct window *w, const struct window_rules *rules);
void window_success(struct window *w, const struct window_rules *rules, size_t n_busy);
/* True: the destination is to be considered dead. */
bool window_failure(struct window *w, const struct window_rules *rules);
