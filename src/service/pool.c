/* Kept connections to another service, last given first taken. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "service/runtime.h"
#include "util/clock.h"
#include "util/memory.h"

enum { KEPT_MAX = 64 };

struct kept {
    struct ipc connection;
    long idle_since_ms;
};

struct service_pool {
    char *socket_name;
    long timeout_ms, idle_ms;
    struct log log;       /* for traces */
    pthread_mutex_t lock; /* guards below */
    size_t n;
    struct kept kept[KEPT_MAX];
};

struct service_pool *service_pool_new(const struct service_env *env, const char *socket_name)
{
    struct service_pool *p = NEW(struct service_pool);

    p->socket_name = memory_text(socket_name);
    p->log = env->log;
    p->timeout_ms = env->config->ipc_timeout * 1000;
    p->idle_ms = env->config->ipc_idle * 1000;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

/* The other end has not closed it, and has not said anything that nobody asked for. */
static bool is_alive(const struct ipc *c)
{
    char byte;

    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool take_kept(struct service_pool *p, struct ipc *c)
{
    bool found = false;

    pthread_mutex_lock(&p->lock);
    while (p->n && !found) {
        *c = p->kept[--p->n].connection;
        found = is_alive(c);
        if (!found)
            ipc_done(c);
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

enum rc service_pool_take(struct service_pool *p, struct ipc *c, struct why *why)
{
    if (take_kept(p, c))
        return RC_OK;
    TRY(ipc_connect(c, STR("."), p->socket_name, p->timeout_ms, why));
    ipc_trace(c, &p->log);
    return RC_OK;
}

/* The oldest stand first; those that nobody has needed for ipc_idle go. lock held. */
static void close_idle(struct service_pool *p)
{
    long limit = clock_ms() - p->idle_ms;
    size_t n = 0;

    while (n < p->n && p->kept[n].idle_since_ms < limit)
        ipc_done(&p->kept[n++].connection);
    if (n == 0)
        return;
    memmove(p->kept, p->kept + n, (p->n - n) * sizeof *p->kept);
    p->n -= n;
}

void service_pool_give(struct service_pool *p, struct ipc *c, bool broken)
{
    pthread_mutex_lock(&p->lock);
    close_idle(p);
    if (!broken && p->n < KEPT_MAX && c->in_start == c->in_end && c->n_fds == 0) {
        free(c->in); /* a kept connection keeps no buffer */
        c->in = NULL;
        c->in_start = c->in_end = c->in_size = 0;
        p->kept[p->n++] = (struct kept){*c, clock_ms()};
        *c = (struct ipc){.fd = -1};
    }
    pthread_mutex_unlock(&p->lock);
    if (c->fd >= 0)
        ipc_done(c);
}

static enum rc ask_once(struct ipc *c, enum ipc_type request_type, const void *request,
                        enum ipc_type reply_type, struct arena *a, void *reply, struct why *why)
{
    TRY(ipc_send(c, request_type, request, -1, why));
    return ipc_read(c, reply_type, a, reply, NULL, why);
}

enum rc service_pool_ask(struct service_pool *p, enum ipc_type request_type, const void *request,
                         enum ipc_type reply_type, struct arena *a, void *reply, struct why *why)
{
    struct ipc c;
    enum rc rc = RC_EOF;

    if (take_kept(p, &c)) {
        rc = ask_once(&c, request_type, request, reply_type, a, reply, why);
        service_pool_give(p, &c, rc != RC_OK);
    }
    if (rc != RC_EOF)
        return rc;
    TRY(ipc_connect(&c, STR("."), p->socket_name, p->timeout_ms, why));
    ipc_trace(&c, &p->log);
    rc = ask_once(&c, request_type, request, reply_type, a, reply, why);
    service_pool_give(p, &c, rc != RC_OK);
    if (rc != RC_OK)
        why_prefix(why, "%s", p->socket_name);
    return rc;
}
