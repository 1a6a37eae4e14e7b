/* internal: a table in memory that the process itself fills. */
#include <stdlib.h>

#include "table/driver.h"
#include "util/map.h"
#include "util/memory.h"

struct value {
    size_t n;
    char bytes[];
};

struct internal {
    struct map map;
    struct map_item *at;
};

static void free_all(void *p)
{
    struct internal *t = p;

    for (struct map_item *i = NULL; (i = map_next(&t->map, i));)
        free(i->value);
    map_done(&t->map);
}

static enum rc internal_open(struct driver_open *o, struct why *why)
{
    struct internal *t = arena_new_of(o->arena, struct internal);

    (void)why;
    map_init(&t->map);
    arena_defer(o->arena, free_all, t);
    o->state = t;
    return RC_OK;
}

static enum rc internal_get(void *state, struct str key, struct arena *a, struct str *value,
                            struct why *why)
{
    const struct internal *t = state;
    const struct value *v = map_get(&t->map, key);

    (void)why;
    if (v == NULL)
        return RC_NONE;
    *value = arena_copy(a, (struct str){v->bytes, v->n});
    return RC_OK;
}

static enum rc internal_put(void *state, struct str key, struct str value, bool replace,
                            struct why *why)
{
    struct internal *t = state;
    struct value *old = map_get(&t->map, key), *v;

    (void)why;
    if (old && !replace)
        return RC_NONE;
    v = memory_new(sizeof *v + value.n);
    v->n = value.n;
    if (value.n)
        memcpy(v->bytes, value.p, value.n);
    map_put(&t->map, key, v);
    free(old);
    return RC_OK;
}

static enum rc internal_delete(void *state, struct str key, struct why *why)
{
    struct internal *t = state;
    struct value *old = map_remove(&t->map, key);

    (void)why;
    free(old);
    return old ? RC_OK : RC_NONE;
}

static enum rc internal_next(void *state, bool first, struct arena *a, struct str *key,
                             struct str *value, struct why *why)
{
    struct internal *t = state;
    const struct value *v;

    (void)why;
    t->at = map_next(&t->map, first ? NULL : t->at);
    if (t->at == NULL)
        return RC_NONE;
    v = t->at->value;
    *key = arena_copy(a, t->at->key);
    *value = arena_copy(a, (struct str){v->bytes, v->n});
    return RC_OK;
}

const struct table_driver table_driver_internal = {
    .type = "internal",
    .flags = DRIVER_FOLDS | DRIVER_UPDATES,
    .open = internal_open,
    .get = internal_get,
    .put = internal_put,
    .delete = internal_delete,
    .next = internal_next,
};
