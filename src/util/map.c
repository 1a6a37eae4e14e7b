#include "util/map.h"

#include <stdlib.h>

#include "util/memory.h"

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free((char *)m->items[i].key.p);
    free(m->items);
    map_init(m);
}

/* The place of key, or the free place where it would go. cap is a power of two, never full. */
static struct map_item *place_of(const struct map *m, struct str key)
{
    size_t at = str_hash(key) & (m->cap - 1);

    while (m->items[at].key.p && !str_eq(m->items[at].key, key))
        at = (at + 1) & (m->cap - 1);
    return &m->items[at];
}

static void grow(struct map *m)
{
    struct map old = *m;

    m->cap = old.cap ? old.cap * 2 : 16;
    m->items = NEW_ARRAY(struct map_item, m->cap);
    for (size_t i = 0; i < old.cap; i++)
        if (old.items[i].key.p)
            *place_of(m, old.items[i].key) = old.items[i];
    free(old.items);
}

void *map_get(const struct map *m, struct str key)
{
    return m->n ? place_of(m, key)->value : NULL;
}

void map_put(struct map *m, struct str key, void *value)
{
    struct map_item *item;

    if (m->n * 4 >= m->cap * 3)
        grow(m);
    item = place_of(m, key);
    if (item->key.p == NULL) {
        char *copy = memory_new(key.n + 1);
        if (key.n)
            memcpy(copy, key.p, key.n);
        item->key = (struct str){copy, key.n};
        m->n++;
    }
    item->value = value;
}

void *map_remove(struct map *m, struct str key)
{
    struct map_item *item = m->n ? place_of(m, key) : NULL;
    void *value;

    if (item == NULL || item->key.p == NULL)
        return NULL;
    value = item->value;
    free((char *)item->key.p);
    *item = (struct map_item){0};
    m->n--;
    /* what stands behind may have been pushed there by the removed item: place it again */
    for (size_t at = (size_t)(item - m->items + 1) & (m->cap - 1); m->items[at].key.p;
         at = (at + 1) & (m->cap - 1)) {
        struct map_item moved = m->items[at];
        m->items[at] = (struct map_item){0};
        *place_of(m, moved.key) = moved;
    }
    return value;
}

struct map_item *map_next(const struct map *m, struct map_item *after)
{
    for (size_t i = after ? (size_t)(after - m->items) + 1 : 0; i < m->cap; i++)
        if (m->items[i].key.p)
            return &m->items[i];
    return NULL;
}
