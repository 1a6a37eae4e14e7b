/* Fixed strings in memory: what texthash, inline and internal have in common. */
#pragma once

#include "table/driver.h"
#include "util/map.h"

struct memtable {
    struct map map; /* to struct str * */
    struct map_item *at;
};

struct memtable *memtable_new(struct arena *a); /* the map is freed with the arena */

/* The value is not copied. */
void memtable_put(struct memtable *m, struct arena *a, struct str key, struct str value);

enum rc memtable_get(void *state, struct str key, struct arena *a, struct str *value,
                     struct why *why);
enum rc memtable_next(void *state, bool first, struct arena *a, struct str *key, struct str *value,
                      struct why *why);
