#include "tlsmgr/tlsmgr.h"
#include "util/clock.h"
#include "util/memory.h"

enum { SEED_MAX = 1024 };

static struct session_cache *cache_of(struct tlsmgr *m, struct str name)
{
    for (size_t i = 0; i < SESSION_CACHES; i++)
        if (str_eq(name, str_of(m->caches[i].name)))
            return &m->caches[i];
    return NULL;
}

static void answer_key(struct tlsmgr *m, struct session_cache *c, struct str name,
                       struct tlsmgr_reply *reply)
{
    const struct ticket_key *k = ticket_key_find(c, name, clock_seconds());

    ticket_keys_keep(m);
    reply->status = k ? 0 : 1;
    if (k == NULL)
        return;
    reply->name = (struct str){k->name, sizeof k->name};
    reply->key = (struct str){k->key, sizeof k->key};
    reply->until = k->made + c->timeout;
}

static void answer_seed(const struct tlsmgr_request *r, struct arena *a, struct tlsmgr_reply *reply)
{
    size_t n = (size_t)(r->number < 1 ? 1 : r->number > SEED_MAX ? SEED_MAX : r->number);
    char *bytes = arena_alloc(a, n);

    if (seed_bytes(bytes, n))
        reply->data = (struct str){bytes, n};
    else
        reply->status = -1;
}

static void answer_session(struct tlsmgr *m, struct session_cache *c,
                           const struct tlsmgr_request *r, struct arena *a,
                           struct tlsmgr_reply *reply)
{
    long now = clock_seconds();
    struct why why = {0};
    enum rc rc = RC_PERM;

    if (r->operation == 'g')
        rc = sessions_get(c, r->id, now, a, &reply->data, &why);
    else if (r->operation == 'p')
        rc = sessions_put(c, r->id, r->data, now, &why);
    else if (r->operation == 'd')
        rc = sessions_delete(c, r->id, &why);
    reply->status = rc == RC_OK ? 0 : rc == RC_NONE ? 1 : -1;
    if (reply->status < 0)
        log_warning(&m->env->log, "%s: %s", c->parameter, why.text);
}

static enum rc answer(struct service_env *env, void *state, struct ipc *asker, struct arena *a,
                      struct why *why)
{
    struct tlsmgr_request r = {0};
    struct tlsmgr_reply reply = {0};
    struct session_cache *c;

    (void)env;
    TRY(ipc_read_tlsmgr_request(asker, a, &r, NULL, why));
    c = cache_of(state, r.cache);
    if (r.operation == 's')
        answer_seed(&r, a, &reply);
    else if (c == NULL)
        reply.status = -1;
    else if (r.operation == 'k')
        answer_key(state, c, r.id, &reply);
    else
        answer_session(state, c, &r, a, &reply);
    return ipc_send_tlsmgr_reply(asker, &reply, -1, why);
}

void tlsmgr_accepted(struct service_env *env, void *state, int fd)
{
    service_answer_in_loop(env, state, fd, answer, NULL);
}

/* ---- what happens from time to time ---- */

static void again(struct tlsmgr *m, long seconds, void (*what)(void *))
{
    loop_after(m->env->loop, seconds * 1000, what, m);
}

static void clean(void *context)
{
    struct tlsmgr *m = context;
    long kept, dropped, wait = 0;
    struct why why;

    for (size_t i = 0; i < SESSION_CACHES; i++) {
        struct session_cache *c = &m->caches[i];
        if (c->table == NULL)
            continue;
        wait = wait == 0 || c->timeout < wait ? c->timeout : wait;
        if (sessions_clean(c, clock_seconds(), &kept, &dropped, &why) == RC_OK)
            log_info(&m->env->log,
                     "cache " STR_FMT " full cleanup: retained=%ld dropped=%ld entries",
                     STR_ARG(table_name(c->table)), kept, dropped);
        else
            log_warning(&m->env->log, "%s: %s", c->parameter, why.text);
    }
    if (wait)
        again(m, wait, clean);
}

static void reseed(void *context)
{
    struct tlsmgr *m = context;

    seed_more(m);
    again(m, m->env->config->tls_random_reseed_period, reseed);
}

static void save(void *context)
{
    struct tlsmgr *m = context;

    seed_save(m);
    again(m, m->env->config->tls_random_prng_update_period, save);
}

/* ---- start ---- */

#define CACHE(word)                                                                                \
    {                                                                                              \
        .name = #word, .parameter = #word "_tls_session_cache_database",                           \
        .spec = c->word##_tls_session_cache_database,                                              \
        .timeout = c->word##_tls_session_cache_timeout,                                            \
    }

enum rc tlsmgr_start(struct service_env *env, void **state, struct why *why)
{
    const struct config *c = env->config;
    const struct session_cache caches[SESSION_CACHES] = {CACHE(smtpd), CACHE(smtp), CACHE(lmtp)};
    struct tlsmgr *m = NEW(struct tlsmgr);

    (void)why;
    m->env = env;
    memcpy(m->caches, caches, sizeof caches);
    ticket_keys_take(m);
    seed_open(m);
    *state = m;
    return RC_OK;
}

/* Files are made by mail_owner, not by root. */
enum rc tlsmgr_confined(struct service_env *env, void *state, struct why *why)
{
    struct tlsmgr *m = state;
    long wait = 0;

    (void)env;
    for (size_t i = 0; i < SESSION_CACHES; i++) {
        struct session_cache *c = &m->caches[i];
        if (sessions_open(m, c, why) != RC_OK) {
            why_prefix(why, "%s", c->parameter);
            return RC_CONFIG;
        }
        if (c->table)
            wait = wait == 0 || c->timeout < wait ? c->timeout : wait;
    }
    if (wait)
        again(m, wait, clean);
    seed_more(m);
    seed_load(m);
    again(m, m->env->config->tls_random_reseed_period, reseed);
    again(m, m->env->config->tls_random_prng_update_period, save);
    return RC_OK;
}
