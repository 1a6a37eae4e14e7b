/* unionmap: "unionmap:{t1:n1, t2:n2}"; all answers to the same key, with commas between. */
#include "table/driver.h"
#include "table/members.h"
#include "util/buf.h"

enum { UNION_MAX = 1024 * 1024 };

static enum rc unionmap_open(struct driver_open *o, struct why *why)
{
    return members_open(o, why);
}

static enum rc unionmap_get(void *state, struct str key, struct arena *a, struct str *value,
                            struct why *why)
{
    const struct members *m = state;
    struct str one;
    AUTO_BUF all = {0};

    buf_init(&all, UNION_MAX);
    for (size_t i = 0; i < m->n; i++) {
        enum rc rc = table_get(m->tables[i], key, a, &one, why);
        if (rc == RC_NONE)
            continue;
        TRY(rc);
        if (all.n)
            buf_addc(&all, ',');
        buf_add(&all, one);
    }
    if (all.over)
        return FAIL(why, RC_TEMP, "unionmap: result larger than %d bytes", UNION_MAX);
    *value = arena_copy(a, buf_str(&all));
    return all.p ? RC_OK : RC_NONE;
}

const struct table_driver table_driver_unionmap = {
    .type = "unionmap",
    .flags = DRIVER_WHOLE | DRIVER_THREADS | DRIVER_CHECKS_UTF8,
    .open = unionmap_open,
    .get = unionmap_get,
    .close = members_close,
};
