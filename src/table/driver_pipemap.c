/* pipemap: "pipemap:{t1:n1, t2:n2}"; what one table answers is the key for the next. */
#include "table/driver.h"
#include "table/members.h"

static enum rc pipemap_open(struct driver_open *o, struct why *why)
{
    return members_open(o, why);
}

static enum rc pipemap_get(void *state, struct str key, struct arena *a, struct str *value,
                           struct why *why)
{
    const struct members *m = state;

    for (size_t i = 0; i < m->n; i++)
        TRY(table_get(m->tables[i], key, a, &key, why));
    *value = key;
    return RC_OK;
}

const struct table_driver table_driver_pipemap = {
    .type = "pipemap",
    .flags = DRIVER_WHOLE | DRIVER_THREADS | DRIVER_CHECKS_UTF8,
    .open = pipemap_open,
    .get = pipemap_get,
    .close = members_close,
};
