/*
 * Map from bytes to pointers. Keys are copied; values belong to the caller. Not thread-safe.
 */
#pragma once

#include "util/str.h"

struct map_item {
    struct str key; /* p == NULL: free place */
    void *value;
};

struct map {
    struct map_item *items;
    size_t n, cap;
};

void map_init(struct map *m);
void map_done(struct map *m); /* forgets keys; values are not touched */

void *map_get(const struct map *m, struct str key);       /* NULL: not there */
void map_put(struct map *m, struct str key, void *value); /* replaces; value not NULL */
void *map_remove(struct map *m, struct str key);          /* the value, or NULL */

/* for (struct map_item *i = NULL; (i = map_next(m, i));) in no order; do not change m meanwhile. */
struct map_item *map_next(const struct map *m, struct map_item *after);
