#include "qmgr/feedback.h"

#include <stdlib.h>

/* Square root by Newton's method: no need for libm. */
static double root(double x)
{
    double r = x > 1 ? x / 2 : 1;

    for (int i = 0; i < 60; i++)
        r = (r + x / r) / 2;
    return r;
}

static bool take_number(struct str text, double *value)
{
    char space[64], *end;

    text = str_trim(text);
    if (text.n == 0 || text.n >= sizeof space || !(is_digit(text.p[0]) || text.p[0] == '.'))
        return false;
    memcpy(space, text.p, text.n);
    space[text.n] = '\0';
    *value = strtod(space, &end);
    return *end == '\0' && *value >= 0 && *value < 1e9;
}

enum rc feedback_parse(struct str text, struct feedback *out, struct why *why)
{
    struct str divisor = text, number = str_cut(&divisor, '/');
    struct feedback f = {.per = PER_NOTHING};
    double by = 1;

    divisor = str_trim(divisor);
    if (str_eq(divisor, STR("concurrency")))
        f.per = PER_CONCURRENCY;
    else if (str_eq(divisor, STR("sqrt_concurrency")))
        f.per = PER_SQRT_CONCURRENCY;
    else if (divisor.p && (!take_number(divisor, &by) || by <= 0))
        return FAIL(why, RC_CONFIG, "bad divisor in feedback \"" STR_FMT "\"", STR_ARG(text));
    if (!take_number(number, &f.value) || f.value / by > 1)
        return FAIL(why, RC_CONFIG,
                    "feedback \"" STR_FMT "\" is not a number from 0 to 1, or number/number, "
                    "number/concurrency, number/sqrt_concurrency",
                    STR_ARG(text));
    f.value /= by;
    f.hysteresis =
        f.per == PER_NOTHING && f.value > 0 ? (double)(long)(1 / f.value + 0.5) * f.value : 1;
    *out = f;
    return RC_OK;
}

double feedback_amount(const struct feedback *f, size_t concurrency)
{
    if (f->per == PER_NOTHING || concurrency == 0)
        return f->value;
    if (f->per == PER_CONCURRENCY)
        return f->value / (double)concurrency;
    return f->value / root((double)concurrency);
}

void window_reset(struct window *w, const struct window_rules *rules)
{
    size_t size = rules->initial ? rules->initial : 1;

    if (rules->limit && size > rules->limit)
        size = rules->limit;
    *w = (struct window){.size = size};
}

/* Grow only while the window is really used, else it would grow without any evidence. */
void window_success(struct window *w, const struct window_rules *rules, size_t n_busy)
{
    w->fail_cohorts = 0;
    if (rules->limit && w->size >= rules->limit)
        return;
    if (w->size >= n_busy + rules->initial)
        return;
    w->success += feedback_amount(rules->positive, w->size);
    while (w->success >= rules->positive->hysteresis && rules->positive->value > 0) {
        w->size += (size_t)(rules->positive->hysteresis + 0.5);
        w->success -= rules->positive->hysteresis;
        w->failure = 0;
    }
    if (rules->limit && w->size > rules->limit)
        w->size = rules->limit;
}

bool window_failure(struct window *w, const struct window_rules *rules)
{
    if (rules->failed_cohort_limit > 0) {
        w->fail_cohorts += 1.0 / (double)(w->size ? w->size : 1);
        if (w->fail_cohorts >= rules->failed_cohort_limit - 1e-9)
            return true;
    }
    w->failure += feedback_amount(rules->negative, w->size);
    while (w->failure >= rules->negative->hysteresis && rules->negative->value > 0) {
        size_t step = (size_t)(rules->negative->hysteresis + 0.5);
        w->size = w->size > step ? w->size - step : 1;
        w->failure -= rules->negative->hysteresis;
        w->success = 0;
    }
    return false;
}
