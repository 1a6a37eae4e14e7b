#include "util/cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/map.h"
#include "util/memory.h"

struct entry {
    struct entry *newer, *older; /* by last use */
    long expires_ms;
    size_t key_bytes, value_bytes;
    char bytes[]; /* key, then value */
};

struct cache {
    pthread_mutex_t lock; /* guards all below */
    struct map map;
    size_t max;
    struct entry *newest, *oldest;
};

struct cache *cache_new(size_t max_entries)
{
    struct cache *c = NEW(struct cache);

    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->map);
    c->max = max_entries ? max_entries : 1;
    return c;
}

static void unlink_entry(struct cache *c, struct entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void drop(struct cache *c, struct entry *e)
{
    if (e == NULL)
        return;
    unlink_entry(c, e);
    map_remove(&c->map, (struct str){e->bytes, e->key_bytes});
    free(e);
}

bool cache_get(struct cache *c, struct str key, struct arena *a, struct str *value)
{
    struct entry *e;
    bool found = false;

    pthread_mutex_lock(&c->lock);
    e = map_get(&c->map, key);
    if (e && e->expires_ms <= clock_ms()) {
        drop(c, e);
    } else if (e) {
        unlink_entry(c, e);
        link_newest(c, e);
        *value = arena_copy(a, (struct str){e->bytes + e->key_bytes, e->value_bytes});
        found = true;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void cache_put(struct cache *c, struct str key, struct str value, long ttl_seconds)
{
    struct entry *e;

    if (ttl_seconds <= 0)
        return;
    e = memory_new(sizeof *e + key.n + value.n);
    e->expires_ms = clock_ms() + ttl_seconds * 1000;
    e->key_bytes = key.n;
    e->value_bytes = value.n;
    memcpy(e->bytes, key.p, key.n);
    if (value.n)
        memcpy(e->bytes + key.n, value.p, value.n);
    pthread_mutex_lock(&c->lock);
    drop(c, map_get(&c->map, key));
    if (c->map.n >= c->max)
        drop(c, c->oldest);
    map_put(&c->map, key, e);
    link_newest(c, e);
    pthread_mutex_unlock(&c->lock);
}

void cache_remove(struct cache *c, struct str key)
{
    pthread_mutex_lock(&c->lock);
    drop(c, map_get(&c->map, key));
    pthread_mutex_unlock(&c->lock);
}

void cache_clear(struct cache *c)
{
    pthread_mutex_lock(&c->lock);
    while (c->oldest)
        drop(c, c->oldest);
    pthread_mutex_unlock(&c->lock);
}

void cache_free(struct cache *c)
{
    if (c == NULL)
        return;
    cache_clear(c);
    map_done(&c->map);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
