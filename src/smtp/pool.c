#include "smtp/pool.h"

#include <pthread.h>

#include "util/clock.h"
#include "util/memory.h"

enum { RESTING_MAX = 200, NOTED = 256 };

struct session_pool {
    long rest_ms, age_ms, reuse_limit;
    pthread_mutex_t lock; /* guards all below */
    struct session *newest;
    size_t n;
    struct {
        unsigned long hash;
        long ms;
    } noted[NOTED]; /* when a request for a next hop began last, by hash; collisions do no harm */
};

struct session_pool *session_pool_new(long rest_seconds, long age_seconds, long reuse_limit)
{
    struct session_pool *p = NEW(struct session_pool);

    p->rest_ms = rest_seconds * 1000;
    p->age_ms = age_seconds * 1000;
    p->reuse_limit = reuse_limit;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

bool session_pool_note(struct session_pool *p, struct str key)
{
    unsigned long hash = str_hash(key);
    long now = clock_ms();
    bool recent;

    pthread_mutex_lock(&p->lock);
    recent = p->noted[hash % NOTED].hash == hash && p->noted[hash % NOTED].ms &&
             now - p->noted[hash % NOTED].ms < p->rest_ms;
    p->noted[hash % NOTED].hash = hash;
    p->noted[hash % NOTED].ms = now;
    pthread_mutex_unlock(&p->lock);
    return recent;
}

/* With the lock held: take out the sessions that have rested too long, and beyond max. */
static struct session *take_expired(struct session_pool *p, size_t max)
{
    struct session **link = &p->newest, *expired;
    long oldest = clock_ms() - p->rest_ms;
    size_t kept = 0;

    while (*link && (*link)->rested_ms > oldest && kept < max) { /* the list is in this order */
        link = &(*link)->next;
        kept++;
    }
    expired = *link;
    *link = NULL;
    p->n = kept;
    return expired;
}

static void close_all(struct session *s)
{
    while (s) {
        struct session *next = s->next;
        session_close(s, false);
        s = next;
    }
}

static bool is_for(const struct session *s, struct str key, struct str tls, struct str login,
                   const struct addr *address)
{
    if (!str_eq(s->login_key, login))
        return false;
    if (address == NULL)
        return str_eq(s->key, key) && str_eq(s->tls_hop, tls);
    return addr_equal(&s->address, address) && addr_port(&s->address) == addr_port(address) &&
           str_eq(s->tls_key, tls);
}

struct session *session_pool_take(struct session_pool *p, struct str key, struct str tls,
                                  struct str login, const struct addr *address)
{
    struct session *expired, *found = NULL;

    pthread_mutex_lock(&p->lock);
    expired = take_expired(p, RESTING_MAX);
    for (struct session **link = &p->newest; *link; link = &(*link)->next) {
        struct session *s = *link;
        if (!is_for(s, key, tls, login, address))
            continue;
        found = s;
        *link = s->next;
        p->n--;
        break;
    }
    pthread_mutex_unlock(&p->lock);
    close_all(expired);
    return found;
}

void session_pool_put(struct session_pool *p, struct session *s)
{
    struct session *expired;

    s->rested_ms = clock_ms();
    if (s->broken || s->closing || s->rested_ms - s->opened_ms >= p->age_ms ||
        (p->reuse_limit > 0 && s->messages > p->reuse_limit)) {
        session_close(s, false);
        return;
    }
    pthread_mutex_lock(&p->lock);
    s->next = p->newest;
    p->newest = s;
    p->n++;
    expired = take_expired(p, RESTING_MAX);
    pthread_mutex_unlock(&p->lock);
    close_all(expired);
}

void session_pool_expire(struct session_pool *p, bool all)
{
    struct session *expired;

    pthread_mutex_lock(&p->lock);
    expired = take_expired(p, all ? 0 : RESTING_MAX);
    pthread_mutex_unlock(&p->lock);
    close_all(expired);
}
