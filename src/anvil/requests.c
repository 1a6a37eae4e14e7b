#include "anvil/anvil.h"
#include "config/config.h"
#include "util/clock.h"
#include "util/memory.h"

/* c->own: the client that is counted as connected, until told otherwise or until the connection
 * ends. */
static void disconnect(struct ipc *c)
{
    if (c->own)
        counters_disconnect(c->own);
    c->own = NULL;
}

static void gone(void *state, struct ipc *c)
{
    (void)state;
    disconnect(c);
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

static void serve(struct anvil *a, struct ipc *asker, const struct anvil_request *request,
                  struct anvil_reply *reply)
{
    struct counters *c = &a->counters;
    time_t now = clock_seconds();
    struct client *k = counters_client(c, request->ident, now);

    switch (request->operation) {
    case 'c':
        disconnect(asker);
        counters_connect(c, k, now);
        asker->own = k;
        reply->count = k->connections;
        reply->rate = k->rates[RATE_CONNECTION];
        break;
    case 'd': disconnect(asker); break;
    case 'm': reply->rate = counters_add(c, k, RATE_MESSAGE, now); break;
    case 'r': reply->rate = counters_add(c, k, RATE_RECIPIENT, now); break;
    case 'a': reply->rate = counters_add(c, k, RATE_AUTH, now); break;
    case 't': reply->rate = counters_add(c, k, RATE_NEWTLS, now); break;
    case 'T': reply->rate = k->rates[RATE_NEWTLS]; break;
    case 'l': tell_all(k, reply); break;
    default: reply->status = -1;
    }
}

static enum rc answer(struct service_env *env, void *state, struct ipc *c, struct arena *a,
                      struct why *why)
{
    struct anvil_request request = {0};
    struct anvil_reply reply = {0};

    (void)env;
    TRY(ipc_read_anvil_request(c, a, &request, NULL, why));
    serve(state, c, &request, &reply);
    return ipc_send_anvil_reply(c, &reply, -1, why);
}

void anvil_accepted(struct service_env *env, void *state, int fd)
{
    service_answer_in_loop(env, state, fd, answer, gone);
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
