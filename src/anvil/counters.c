#include <stdlib.h>

#include "anvil/anvil.h"
#include "util/memory.h"

static const char *const rate_names[RATES] = {
    [RATE_CONNECTION] = "connection", [RATE_MESSAGE] = "message", [RATE_RECIPIENT] = "recipient",
    [RATE_NEWTLS] = "newtls",         [RATE_AUTH] = "auth",
};

static void note(struct record *r, long value, const char *ident, time_t now)
{
    if (value <= r->value)
        return;
    *r = (struct record){.value = value, .at = now};
    memcpy(r->ident, ident, strlen(ident) + 1);
}

/* The rates of an interval that is over tell nothing. */
static void refresh(const struct counters *c, struct client *k, time_t now)
{
    if (now - k->since < c->unit_seconds && now >= k->since)
        return;
    k->since = now;
    memset(k->rates, 0, sizeof k->rates);
}

struct client *counters_client(struct counters *c, struct str ident, time_t now)
{
    struct client *k;

    ident = str_head(ident, IDENT_MAX);
    k = map_get(&c->clients, ident);
    if (k) {
        refresh(c, k, now);
        return k;
    }
    k = NEW(struct client);
    k->since = now;
    if (ident.n)
        memcpy(k->ident, ident.p, ident.n);
    map_put(&c->clients, ident, k);
    note(&c->cache, (long)c->clients.n, "", now);
    return k;
}

void counters_connect(struct counters *c, struct client *k, time_t now)
{
    k->connections++;
    note(&c->connections, k->connections, k->ident, now);
    counters_add(c, k, RATE_CONNECTION, now);
}

void counters_disconnect(struct client *k)
{
    if (k->connections > 0)
        k->connections--;
}

long counters_add(struct counters *c, struct client *k, enum rate rate, time_t now)
{
    note(&c->rates[rate], ++k->rates[rate], k->ident, now);
    return k->rates[rate];
}

void counters_forget_old(struct counters *c, time_t now)
{
    struct client **old = NEW_ARRAY(struct client *, c->clients.n);
    size_t n = 0;

    for (struct map_item *i = NULL; (i = map_next(&c->clients, i));) {
        struct client *k = i->value;
        if (k->connections == 0 && now - k->since >= c->unit_seconds)
            old[n++] = k;
    }
    for (size_t i = 0; i < n; i++) {
        map_remove(&c->clients, str_of(old[i]->ident));
        free(old[i]);
    }
    free(old);
}

static void time_text(time_t at, char text[32])
{
    struct tm tm;

    localtime_r(&at, &tm);
    strftime(text, 32, "%b %e %H:%M:%S", &tm);
}

void counters_log(struct counters *c, const struct log *log)
{
    char at[32];

    for (int i = 0; i < RATES; i++) {
        struct record *r = &c->rates[i];
        time_text(r->at, at);
        if (r->value)
            log_info(log, "statistics: max %s rate %ld/%lds for (%s) at %s", rate_names[i],
                     r->value, c->unit_seconds, r->ident, at);
        *r = (struct record){0};
        if (i == RATE_CONNECTION && c->connections.value) {
            time_text(c->connections.at, at);
            log_info(log, "statistics: max connection count %ld for (%s) at %s",
                     c->connections.value, c->connections.ident, at);
        }
    }
    if (c->cache.value) {
        time_text(c->cache.at, at);
        log_info(log, "statistics: max cache size %ld at %s", c->cache.value, at);
    }
    c->connections = c->cache = (struct record){0};
}
