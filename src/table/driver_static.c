/* static: always the same answer; "static:text" or "static:{ text }". */
#include "table/driver.h"
#include "table/source.h"

static enum rc static_open(struct driver_open *o, struct why *why)
{
    struct str *value = arena_new_of(o->arena, struct str);

    if (source_unbrace(o->name, value, why) != RC_OK) {
        why_prefix(why, "bad static:name syntax");
        return RC_CONFIG;
    }
    if ((o->flags & TABLE_BASE64) && source_value_of_files(*value, o->arena, value, why) != RC_OK)
        return RC_CONFIG;
    o->state = value;
    return RC_OK;
}

static enum rc static_get(void *state, struct str key, struct arena *a, struct str *value,
                          struct why *why)
{
    (void)key;
    (void)why;
    *value = arena_copy(a, *(const struct str *)state);
    return RC_OK;
}

const struct table_driver table_driver_static = {
    .type = "static",
    .flags = DRIVER_FOLDS | DRIVER_THREADS,
    .open = static_open,
    .get = static_get,
};
