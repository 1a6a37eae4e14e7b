/*
 * Questions to tlsmgr: ticket keys, cached sessions, random bytes. One kept connection per context,
 * taken by one thread at a time; they are short. Without an answer there is no resumption from
 * other processes, and nothing else is wrong.
 */
#include "tls/manager.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "ipc/ipc.h"
#include "util/clock.h"
#include "util/memory.h"

enum { TIMEOUT_MS = 2000, PATIENCE_MS = 10 * 1000 };

struct tls_manager {
    char *socket, *queue_directory;
    const struct log *log;
    struct str cache;
    long seed_bytes; /* wanted once; 0: done */
    pthread_mutex_t lock;
    struct ipc ipc;   /* lock */
    bool warned;      /* lock */
    long pause_until; /* lock: it did not answer, do not make everybody wait */
};

struct tls_manager *tls_manager_new(const char *socket, struct str queue_directory,
                                    struct str cache, long seed_bytes, const struct log *log)
{
    struct tls_manager *m = NEW(struct tls_manager);

    m->socket = memory_text(socket);
    m->queue_directory = memory_text(queue_directory.p);
    m->cache = cache;
    m->log = log;
    m->seed_bytes = seed_bytes;
    m->ipc.fd = -1;
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

void tls_manager_free(struct tls_manager *m)
{
    if (m == NULL)
        return;
    if (m->ipc.fd >= 0)
        ipc_done(&m->ipc);
    pthread_mutex_destroy(&m->lock);
    free(m->socket);
    free(m->queue_directory);
    free(m);
}

static enum rc converse(struct tls_manager *m, const struct tlsmgr_request *request,
                        struct arena *a, struct tlsmgr_reply *reply, struct why *why)
{
    enum rc rc = ipc_send_tlsmgr_request(&m->ipc, request, -1, why);

    if (rc == RC_OK)
        rc = ipc_read_tlsmgr_reply(&m->ipc, a, reply, NULL, why);
    if (rc == RC_OK)
        return RC_OK;
    ipc_done(&m->ipc);
    m->ipc.fd = -1;
    return rc;
}

/* The first thing over the first connection. */
static void stir(struct tls_manager *m)
{
    AUTO_ARENA a = arena_new(256);
    const struct tlsmgr_request request = {.operation = 's', .number = m->seed_bytes};
    struct tlsmgr_reply reply = {0};

    m->seed_bytes = 0;
    if (request.number && converse(m, &request, a, &reply, NULL) == RC_OK && reply.data.n)
        RAND_add(reply.data.p, (int)reply.data.n, 0);
}

/* A kept connection may turn out to be dead: once more over a new one. */
static enum rc ask_locked(struct tls_manager *m, const struct tlsmgr_request *request,
                          struct arena *a, struct tlsmgr_reply *reply, struct why *why)
{
    bool kept = m->ipc.fd >= 0;

    if (kept && converse(m, request, a, reply, why) == RC_OK)
        return RC_OK;
    if (m->pause_until > clock_ms())
        return FAIL(why, RC_TEMP, "no answer a moment ago");
    if (m->ipc.fd < 0)
        TRY(ipc_connect(&m->ipc, str_of(m->queue_directory), m->socket, TIMEOUT_MS, why));
    stir(m);
    if (m->ipc.fd < 0)
        TRY(ipc_connect(&m->ipc, str_of(m->queue_directory), m->socket, TIMEOUT_MS, why));
    return converse(m, request, a, reply, why);
}

static enum rc ask(struct tls_manager *m, const struct tlsmgr_request *request, struct arena *a,
                   struct tlsmgr_reply *reply)
{
    struct why why = {0};
    enum rc rc;

    pthread_mutex_lock(&m->lock);
    rc = ask_locked(m, request, a, reply, &why);
    if (rc != RC_OK && m->pause_until <= clock_ms()) {
        m->pause_until = clock_ms() + PATIENCE_MS;
        if (!m->warned)
            log_warning(m->log, "%s: %s; TLS sessions of other processes cannot be resumed",
                        m->socket, why.text);
        m->warned = true;
    } else if (rc == RC_OK) {
        m->warned = false;
    }
    pthread_mutex_unlock(&m->lock);
    if (rc != RC_OK || reply->status < 0)
        return RC_TEMP;
    return reply->status == 0 ? RC_OK : RC_NONE;
}

enum rc tls_manager_key(struct tls_manager *m, struct str name, struct arena *a,
                        struct tlsmgr_reply *reply)
{
    const struct tlsmgr_request request = {.operation = 'k', .cache = m->cache, .id = name};
    enum rc rc = ask(m, &request, a, reply);

    return rc == RC_OK && (reply->name.n != 16 || reply->key.n != 64) ? RC_TEMP : rc;
}

enum rc tls_manager_get(struct tls_manager *m, struct str id, struct arena *a, struct str *session)
{
    const struct tlsmgr_request request = {.operation = 'g', .cache = m->cache, .id = id};
    struct tlsmgr_reply reply = {0};
    enum rc rc = ask(m, &request, a, &reply);

    *session = reply.data;
    return rc;
}

void tls_manager_put(struct tls_manager *m, struct str id, struct str session)
{
    AUTO_ARENA a = arena_new(256);
    const struct tlsmgr_request request = {
        .operation = 'p', .cache = m->cache, .id = id, .data = session};
    struct tlsmgr_reply reply = {0};

    (void)ask(m, &request, a, &reply);
}

void tls_manager_delete(struct tls_manager *m, struct str id)
{
    AUTO_ARENA a = arena_new(256);
    const struct tlsmgr_request request = {.operation = 'd', .cache = m->cache, .id = id};
    struct tlsmgr_reply reply = {0};

    (void)ask(m, &request, a, &reply);
}
