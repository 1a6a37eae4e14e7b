#include <stdlib.h>

#include "anvil/anvil.h"
#include "config/config.h"
#include "util/clock.h"
#include "util/memory.h"

enum { REPLY_TIMEOUT_MS = 1000 }; /* who does not take its answer is not served any more */

/* Somebody who asks: one SMTP session at a time. */
struct asker {
    struct anvil *anvil;
    struct ipc ipc;
    struct client *connected; /* counted until told otherwise, or until this connection ends */
};

static void disconnect(struct asker *a)
{
    if (a->connected)
        counters_disconnect(a->connected);
    a->connected = NULL;
}

static void asker_free(struct asker *a)
{
    disconnect(a);
    loop_unwatch(a->anvil->env->loop, a->ipc.fd);
    ipc_done(&a->ipc);
    free(a);
}

static void tell_all(const struct client *k, struct anvil_reply *reply)
{
    reply->count = k->connections;
    reply->rate = k->rates[RATE_CONNECTION];
    reply->mail = k->rates[RATE_MESSAGE];
    reply->recipients = k->rates[RATE_RECIPIENT];
    reply->auth = k->rates[RATE_AUTH];
    reply->newtls = k->rates[RATE_NEWTLS];
}

static void serve(struct asker *a, const struct anvil_request *request, struct anvil_reply *reply)
{
    struct counters *c = &a->anvil->counters;
    time_t now = clock_seconds();
    struct client *k = counters_client(c, request->ident, now);

    switch (request->operation) {
    case 'c':
        disconnect(a);
        counters_connect(c, k, now);
        a->connected = k;
        reply->count = k->connections;
        reply->rate = k->rates[RATE_CONNECTION];
        break;
    case 'd': disconnect(a); break;
    case 'm': reply->rate = counters_add(c, k, RATE_MESSAGE, now); break;
    case 'r': reply->rate = counters_add(c, k, RATE_RECIPIENT, now); break;
    case 'a': reply->rate = counters_add(c, k, RATE_AUTH, now); break;
    case 't': reply->rate = counters_add(c, k, RATE_NEWTLS, now); break;
    case 'T': reply->rate = k->rates[RATE_NEWTLS]; break;
    case 'l': tell_all(k, reply); break;
    default: reply->status = -1;
    }
}

static void asker_speaks(void *context, int events)
{
    struct asker *a = context;
    AUTO_ARENA arena = arena_new(512);
    enum ipc_type type;
    struct why why;
    enum rc rc = ipc_receive(&a->ipc, &why);

    (void)events;
    while (rc == RC_OK && ipc_has_frame(&a->ipc, &type)) {
        struct anvil_request request;
        struct anvil_reply reply = {0};
        rc = ipc_read_anvil_request(&a->ipc, arena, &request, NULL, &why);
        if (rc != RC_OK)
            break;
        serve(a, &request, &reply);
        rc = ipc_send_anvil_reply(&a->ipc, &reply, -1, &why);
    }
    if (rc == RC_PERM)
        log_warning(&a->anvil->env->log, "request: %s", why.text);
    if (rc != RC_OK && rc != RC_NONE)
        asker_free(a);
}

void anvil_accepted(struct service_env *env, void *state, int fd)
{
    struct asker *a = NEW(struct asker);

    a->anvil = state;
    ipc_init(&a->ipc, fd, REPLY_TIMEOUT_MS);
    ipc_trace(&a->ipc, &env->log);
    loop_watch(env->loop, fd, LOOP_READ, asker_speaks, a);
}

static void forget(void *context)
{
    struct anvil *a = context;

    counters_forget_old(&a->counters, clock_seconds());
    loop_after(a->env->loop, a->counters.unit_seconds * 1000, forget, a);
}

static void update_status(void *context)
{
    struct anvil *a = context;

    counters_log(&a->counters, &a->env->log);
    loop_after(a->env->loop, a->env->config->anvil_status_update_time * 1000, update_status, a);
}

enum rc anvil_start(struct service_env *env, void **state, struct why *why)
{
    struct anvil *a = NEW(struct anvil);

    (void)why;
    a->env = env;
    a->counters.unit_seconds = env->config->anvil_rate_time_unit;
    map_init(&a->counters.clients);
    loop_after(env->loop, a->counters.unit_seconds * 1000, forget, a);
    loop_after(env->loop, env->config->anvil_status_update_time * 1000, update_status, a);
    *state = a;
    return RC_OK;
}

void anvil_drain(struct service_env *env, void *state)
{
    struct anvil *a = state;

    counters_log(&a->counters, &env->log);
    service_exit(env);
}
