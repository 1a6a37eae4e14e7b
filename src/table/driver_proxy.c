/* proxy: "proxy:type:name"; the proxymap service looks it up. */
#include <pthread.h>
#include <stdlib.h>

#include "ipc/ipc.h"
#include "table/driver.h"
#include "table/settings.h"
#include "util/memory.h"

enum { PROXY_KEPT = 8, PROXY_TIMEOUT_MS = 100 * 1000, PROXY_TRIES = 3 };

struct proxy {
    struct str table; /* "type:name" */
    unsigned flags;   /* of the table inside */
    struct str queue_directory;
    const char *service;
    pthread_mutex_t lock;
    struct ipc *kept[PROXY_KEPT]; /* lock: idle connections */
    size_t n_kept;                /* lock */
};

/* ---- connections ---- */

static struct ipc *take(struct proxy *p)
{
    struct ipc *c = NULL;

    pthread_mutex_lock(&p->lock);
    if (p->n_kept)
        c = p->kept[--p->n_kept];
    pthread_mutex_unlock(&p->lock);
    return c;
}

static void drop(struct ipc *c)
{
    if (c)
        ipc_done(c);
    free(c);
}

static void give(struct proxy *p, struct ipc *c)
{
    pthread_mutex_lock(&p->lock);
    if (p->n_kept < PROXY_KEPT) {
        p->kept[p->n_kept++] = c;
        c = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    drop(c);
}

static enum rc connect_new(const struct proxy *p, struct ipc **out, struct why *why)
{
    struct ipc *c = NEW(struct ipc);
    enum rc rc = ipc_connect(c, p->queue_directory, p->service, PROXY_TIMEOUT_MS, why);

    if (rc != RC_OK) /* after chroot the queue directory is the root */
        rc = ipc_connect(c, STR(""), p->service, PROXY_TIMEOUT_MS, NULL);
    if (rc != RC_OK) {
        free(c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

static enum rc ask_once(struct ipc *c, const struct table_request *request, struct arena *a,
                        struct table_reply *reply, struct why *why)
{
    TRY(ipc_send_table_request(c, request, -1, why));
    return ipc_read_table_reply(c, a, reply, NULL, why);
}

/* A kept connection may have been closed by the other end meanwhile: then once more, on a new one.
 */
static enum rc ask(struct proxy *p, const struct table_request *request, struct arena *a,
                   struct table_reply *reply, struct why *why)
{
    for (int i = 0; i < PROXY_TRIES; i++) {
        struct ipc *c = take(p);
        bool is_new = c == NULL;
        enum rc rc;
        if (is_new)
            TRY(connect_new(p, &c, why));
        rc = ask_once(c, request, a, reply, why);
        if (rc == RC_OK) {
            give(p, c);
            return RC_OK;
        }
        drop(c);
        if (is_new || rc == RC_PERM || rc == RC_TIMEOUT)
            break;
    }
    return RC_TEMP;
}

static enum rc request(struct proxy *p, int operation, struct str key, struct str value,
                       struct arena *a, struct table_reply *reply, struct why *why)
{
    struct table_request q = {
        .operation = operation, .table = p->table, .flags = p->flags, .key = key, .value = value};

    if (ask(p, &q, a, reply, why) != RC_OK) {
        why_prefix(why, "%s service", p->service);
        return RC_TEMP;
    }
    switch ((enum rc)reply->status) {
    case RC_OK:
    case RC_NONE: return (enum rc)reply->status;
    default: return FAIL(why, RC_TEMP, STR_FMT, STR_ARG(reply->text));
    }
}

/* ---- the driver ---- */

static void proxy_close(void *state)
{
    struct proxy *p = state;

    while (p->n_kept)
        drop(p->kept[--p->n_kept]);
    pthread_mutex_destroy(&p->lock);
}

static enum rc proxy_open(struct driver_open *o, struct why *why)
{
    struct proxy *p = arena_new_of(o->arena, struct proxy);
    AUTO_ARENA a = arena_new(1024);
    struct table_reply reply;
    enum rc rc;

    if (str_index(o->name, ':') < 0)
        return FAIL(why, RC_CONFIG, "proxy:" STR_FMT ": need \"proxy:type:name\" form",
                    STR_ARG(o->name));
    p->table = o->name;
    p->flags = o->flags & ~(unsigned)(TABLE_BASE64 | TABLE_STRICT);
    p->queue_directory = settings_queue_directory(o->env);
    p->service = arena_text(
        o->arena, arena_printf(o->arena, "private/" STR_FMT,
                               STR_ARG(settings_proxy_service(o->env, o->flags & TABLE_WRITE))));
    pthread_mutex_init(&p->lock, NULL);
    rc = request(p, 'o', STR_NONE, STR_NONE, a, &reply, why);
    if (rc != RC_OK) {
        proxy_close(p);
        return rc == RC_NONE ? RC_TEMP : rc;
    }
    if (reply.flags)
        o->driver_flags |= DRIVER_WHOLE;
    o->state = p;
    return RC_OK;
}

static enum rc proxy_get(void *state, struct str key, struct arena *a, struct str *value,
                         struct why *why)
{
    struct table_reply reply;

    TRY(request(state, 'g', key, STR_NONE, a, &reply, why));
    *value = reply.value;
    return RC_OK;
}

static enum rc proxy_put(void *state, struct str key, struct str value, bool replace,
                         struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct table_reply reply;

    (void)replace; /* among the flags */
    return request(state, 'p', key, value, a, &reply, why);
}

static enum rc proxy_delete(void *state, struct str key, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct table_reply reply;

    return request(state, 'd', key, STR_NONE, a, &reply, why);
}

static enum rc proxy_next(void *state, bool first, struct arena *a, struct str *key,
                          struct str *value, struct why *why)
{
    struct table_reply reply;

    /* a listing belongs to one connection: table.c lets one thread list, and the one connection
       that it used last is on top */
    TRY(request(state, first ? 'f' : 'n', STR_NONE, STR_NONE, a, &reply, why));
    *key = reply.key;
    *value = reply.value;
    return RC_OK;
}

const struct table_driver table_driver_proxy = {
    .type = "proxy",
    .flags = DRIVER_THREADS | DRIVER_UPDATES | DRIVER_CHECKS_UTF8,
    .open = proxy_open,
    .get = proxy_get,
    .put = proxy_put,
    .delete = proxy_delete,
    .next = proxy_next,
    .close = proxy_close,
};
