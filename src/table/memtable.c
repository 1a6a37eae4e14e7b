#include "table/memtable.h"

static void done(void *p)
{
    map_done(&((struct memtable *)p)->map);
}

struct memtable *memtable_new(struct arena *a)
{
    struct memtable *m = arena_new_of(a, struct memtable);

    map_init(&m->map);
    arena_defer(a, done, m);
    return m;
}

void memtable_put(struct memtable *m, struct arena *a, struct str key, struct str value)
{
    struct str *stored = arena_new_of(a, struct str);

    *stored = value;
    map_put(&m->map, key, stored);
}

enum rc memtable_get(void *state, struct str key, struct arena *a, struct str *value,
                     struct why *why)
{
    const struct memtable *m = state;
    const struct str *found = map_get(&m->map, key);

    (void)why;
    if (found == NULL)
        return RC_NONE;
    *value = arena_copy(a, *found);
    return RC_OK;
}

enum rc memtable_next(void *state, bool first, struct arena *a, struct str *key, struct str *value,
                      struct why *why)
{
    struct memtable *m = state;

    (void)why;
    m->at = map_next(&m->map, first ? NULL : m->at);
    if (m->at == NULL)
        return RC_NONE;
    *key = arena_copy(a, m->at->key);
    *value = arena_copy(a, *(const struct str *)m->at->value);
    return RC_OK;
}
