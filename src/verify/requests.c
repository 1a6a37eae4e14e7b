#include "util/clock.h"
#include "util/memory.h"
#include "verify/verify.h"

/* The answer goes out before a probe is made: who asked is not kept waiting for that. */
static enum rc query(struct verify *v, struct ipc *c, struct str address, struct arena *a,
                     struct why *why)
{
    long now = clock_seconds();
    struct outcome o = {0};
    struct verify_reply reply = {0};
    struct why trouble;
    bool known = outcomes_get(&v->outcomes, address, now, a, &o, &trouble) == RC_OK;

    if (!known)
        log_warning(&v->env->log, "address_verify_map: %s", trouble.text);
    reply.status = known ? 0 : -1;
    reply.recipient_status = o.status;
    reply.reason = o.text;
    TRY(ipc_send_verify_reply(c, &reply, -1, why));
    if (!known || !outcome_needs_probe(v->env->config, &o, now))
        return RC_OK;
    if (outcomes_probed(&v->outcomes, address, &o, now, &trouble) != RC_OK)
        log_warning(&v->env->log, "address_verify_map: %s", trouble.text);
    probe_send(v, address);
    return RC_OK;
}

static enum rc update(struct verify *v, struct ipc *c, const struct verify_request *r,
                      struct why *why)
{
    struct verify_reply reply = {0};
    struct why trouble;

    if (r->recipient_status < ADDRESS_OK || r->recipient_status > ADDRESS_BOUNCE) {
        reply.status = -2;
    } else if (outcomes_update(&v->outcomes, r->address, (enum address_status)r->recipient_status,
                               r->reason, clock_seconds(), &trouble) != RC_OK) {
        log_warning(&v->env->log, "address_verify_map: %s", trouble.text);
        reply.status = -1;
    }
    return ipc_send_verify_reply(c, &reply, -1, why);
}

static enum rc answer(struct service_env *env, void *state, struct ipc *c, struct arena *a,
                      struct why *why)
{
    struct verify_request request = {0};
    struct verify_reply bad = {.status = -2};

    (void)env;
    TRY(ipc_read_verify_request(c, a, &request, NULL, why));
    if (request.operation == 'q' && request.address.n)
        return query(state, c, request.address, a, why);
    if (request.operation == 'u' && request.address.n)
        return update(state, c, &request, why);
    return ipc_send_verify_reply(c, &bad, -1, why);
}

void verify_accepted(struct service_env *env, void *state, int fd)
{
    service_answer_in_loop(env, state, fd, answer, NULL);
}

static void clean(void *context)
{
    struct verify *v = context;
    struct str name = table_name(v->outcomes.table);
    long kept, dropped;
    struct why why;

    if (outcomes_clean(&v->outcomes, clock_seconds(), &kept, &dropped, &why) == RC_OK)
        log_info(&v->env->log, "cache " STR_FMT " full cleanup: retained=%ld dropped=%ld entries",
                 STR_ARG(name), kept, dropped);
    else
        log_warning(&v->env->log, "address_verify_map: %s", why.text);
    loop_after(v->env->loop, v->env->config->address_verify_cache_cleanup_interval * 1000, clean,
               v);
}

enum rc verify_start(struct service_env *env, void **state, struct why *why)
{
    struct verify *v = NEW(struct verify);
    struct table_env table_env = {env->config, &env->log};
    struct str map = str_trim(env->config->address_verify_map);

    v->env = env;
    v->outcomes.config = env->config;
    if (map.n == 0)
        map = STR("internal:verify");
    TRY(table_open(map, TABLE_WRITE | TABLE_REPLACE | TABLE_CACHE, &table_env, &v->outcomes.table,
                   why));
    v->cleanup = post_pool(env);
    if (env->config->address_verify_cache_cleanup_interval > 0)
        loop_after(env->loop, env->config->address_verify_cache_cleanup_interval * 1000, clean, v);
    *state = v;
    return RC_OK;
}
