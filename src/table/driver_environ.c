/* environ: the process's environment. Read only: threads share it. */
#include <stdlib.h>

#include "table/driver.h"

static enum rc environ_open(struct driver_open *o, struct why *why)
{
    (void)o;
    (void)why;
    return RC_OK;
}

static enum rc environ_get(void *state, struct str key, struct arena *a, struct str *value,
                           struct why *why)
{
    const char *text = getenv(arena_text(a, key));

    (void)state;
    (void)why;
    if (text == NULL)
        return RC_NONE;
    *value = arena_copy(a, str_of(text));
    return RC_OK;
}

const struct table_driver table_driver_environ = {
    .type = "environ",
    .flags = DRIVER_THREADS,
    .open = environ_open,
    .get = environ_get,
};
