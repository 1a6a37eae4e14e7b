/* fail: every lookup is trouble; for tests of how that is handled. */
#include "table/driver.h"

static enum rc fail_open(struct driver_open *o, struct why *why)
{
    (void)o;
    (void)why;
    return RC_OK;
}

static enum rc fail_get(void *state, struct str key, struct arena *a, struct str *value,
                        struct why *why)
{
    (void)state;
    (void)key;
    (void)a;
    (void)value;
    return FAIL(why, RC_TEMP, "Application error");
}

static enum rc fail_put(void *state, struct str key, struct str value, bool replace,
                        struct why *why)
{
    (void)state;
    (void)key;
    (void)value;
    (void)replace;
    return FAIL(why, RC_TEMP, "Application error");
}

static enum rc fail_delete(void *state, struct str key, struct why *why)
{
    (void)state;
    (void)key;
    return FAIL(why, RC_TEMP, "Application error");
}

static enum rc fail_next(void *state, bool first, struct arena *a, struct str *key,
                         struct str *value, struct why *why)
{
    (void)first;
    return fail_get(state, STR(""), a, value, why) == RC_OK ? (*key = *value, RC_OK) : RC_TEMP;
}

const struct table_driver table_driver_fail = {
    .type = "fail",
    .flags = DRIVER_WHOLE | DRIVER_THREADS | DRIVER_CREATES | DRIVER_UPDATES,
    .open = fail_open,
    .get = fail_get,
    .put = fail_put,
    .delete = fail_delete,
    .next = fail_next,
};
