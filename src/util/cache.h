/*
 * Cache of small answers, shared by the threads of a process: key bytes to value bytes, each with
 * a time to live, the least recently used dropped when full.
 */
#pragma once

#include "util/arena.h"

struct cache;

struct cache *cache_new(size_t max_entries);
void cache_free(struct cache *c);

/* Copy the value into the arena. False: not there, or older than its time to live. */
bool cache_get(struct cache *c, struct str key, struct arena *a, struct str *value);

void cache_put(struct cache *c, struct str key, struct str value, long ttl_seconds);
void cache_remove(struct cache *c, struct str key);
void cache_clear(struct cache *c);
