/* Inside of struct resolver, shared by resolver.c and native.c. */
#pragma once

#include <pthread.h>
#include <time.h>

#include "dns/transport.h"
#include "dns/validator.h"
#include "util/cache.h"

struct resolver {
    struct resolver_options options;
    char *path;
    struct cache *cache;         /* has its own lock */
    struct validator *validator; /* NULL: trust the name servers */
    dns_drop *drop;              /* resolver_filter(); NULL: none */
    void *drop_context;
    pthread_mutex_t lock;
    struct name_servers servers; /* lock; so the rest */
    struct timespec changed;     /* resolv.conf when it was read */
    long looked_ms;
};

/* The name servers now; reads resolv.conf again when it has changed. */
void resolver_servers(struct resolver *r, struct name_servers *out);
