#include "table/peers.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/memory.h"
#include "util/net.h"

enum { KEPT_MAX = 16, KEPT_IDLE_MS = 10 * 1000, ADDRESSES_MAX = 8 };

struct kept {
    struct stream *stream;
    long since_ms;
};

struct peers {
    struct str endpoint;
    char *path, *host, *port; /* path, or host and port */
    long timeout_ms;
    pthread_mutex_t lock;
    struct kept kept[KEPT_MAX]; /* lock; the one used last is the last one */
    size_t n;                   /* lock */
};

static void stream_drop(struct stream *s)
{
    stream_done(s);
    free(s);
}

static void close_all(void *context)
{
    struct peers *p = context;

    while (p->n)
        stream_drop(p->kept[--p->n].stream);
    pthread_mutex_destroy(&p->lock);
}

enum rc peers_new(struct arena *a, struct str endpoint, long timeout_ms, struct peers **out,
                  struct why *why)
{
    struct peers *p = arena_new_of(a, struct peers);
    struct str rest = endpoint, host, port;

    if (str_has_prefix(rest, STR("unix:"))) {
        p->path = arena_text(a, str_from(rest, 5));
    } else {
        if (str_has_prefix(rest, STR("inet:")))
            rest = str_from(rest, 5);
        if (host_port_split(rest, &host, &port, why) != RC_OK || host.n == 0 || port.n == 0)
            return FAIL(why, RC_CONFIG,
                        "bad server \"" STR_FMT "\"; need inet:host:port or unix:path",
                        STR_ARG(endpoint));
        p->host = arena_text(a, host);
        p->port = arena_text(a, port);
    }
    p->endpoint = arena_copy(a, endpoint);
    p->timeout_ms = timeout_ms;
    pthread_mutex_init(&p->lock, NULL);
    arena_defer(a, close_all, p);
    *out = p;
    return RC_OK;
}

static enum rc connect_host(const struct peers *p, int *fd, struct why *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(p->host, p->port, &hints, &found);
    enum rc rc = RC_TEMP;

    if (error)
        return FAIL(why, RC_TEMP, "%s", gai_strerror(error));
    for (struct addrinfo *i = found; i && rc != RC_OK; i = i->ai_next) {
        struct addr to = {.bytes = i->ai_addrlen};
        memcpy(&to.sa, i->ai_addr, i->ai_addrlen);
        rc = net_connect(&to, NULL, p->timeout_ms, fd, why);
    }
    freeaddrinfo(found);
    return rc;
}

static enum rc peers_take(struct peers *p, struct stream **s, bool *kept, struct why *why)
{
    struct kept last = {0};
    int fd;

    pthread_mutex_lock(&p->lock);
    if (p->n)
        last = p->kept[--p->n];
    pthread_mutex_unlock(&p->lock);
    if (last.stream && clock_ms() - last.since_ms < KEPT_IDLE_MS) {
        *s = last.stream;
        *kept = true;
        return RC_OK;
    }
    if (last.stream)
        stream_drop(last.stream);
    if ((p->path ? net_connect_unix(p->path, SOCK_STREAM, p->timeout_ms, &fd, why)
                 : connect_host(p, &fd, why)) != RC_OK) {
        why_prefix(why, "connect to " STR_FMT, STR_ARG(p->endpoint));
        return RC_TEMP;
    }
    *s = NEW(struct stream);
    stream_init(*s, fd, p->timeout_ms);
    *kept = false;
    return RC_OK;
}

static void peers_give(struct peers *p, struct stream *s, bool broken)
{
    pthread_mutex_lock(&p->lock);
    if (!broken && p->n < KEPT_MAX) {
        p->kept[p->n++] = (struct kept){s, clock_ms()};
        s = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    if (s)
        stream_drop(s);
}

enum rc peers_ask(struct peers *p,
                  enum rc (*exchange)(void *context, struct stream *s, struct why *why),
                  void *context, struct why *why)
{
    for (;;) {
        struct stream *s;
        bool kept;
        enum rc rc;
        TRY(peers_take(p, &s, &kept, why));
        rc = exchange(context, s, why);
        peers_give(p, s, rc == RC_EOF || rc == RC_TIMEOUT || rc == RC_PERM);
        if (kept && rc == RC_EOF)
            continue;
        if (rc == RC_EOF)
            why_set(why, RC_TEMP, "connection closed");
        if (rc == RC_EOF || rc == RC_TIMEOUT || rc == RC_PERM) {
            why_prefix(why, STR_FMT, STR_ARG(p->endpoint));
            return RC_TEMP;
        }
        return rc;
    }
}
