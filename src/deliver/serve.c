/* Requests of qmgr, one after the other on a kept connection. */
#include <unistd.h>

#include "config/config.h"
#include "deliver/shared.h"
#include "table/table.h"
#include "util/clock.h"
#include "util/memory.h"

enum { IDLE_MS = 1000 };

static enum rc filter_open(struct service_env *env, struct maps **out, struct why *why)
{
    static const char *const programs[] = {"smtp", "lmtp", "local", "virtual", "pipe"};
    struct table_env tables = {env->config, &env->log};
    const char *program = env->service->name;
    struct str spec = env->config->default_delivery_status_filter, own;
    char name[64] = "";

    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (strcmp(program, programs[i]) == 0) {
            (void)stpcpy(stpcpy(name, program), "_delivery_status_filter");
            if (config_get(env->config, str_of(name), &own) == RC_OK)
                spec = own;
        }
    return maps_open(name[0] ? name : "default_delivery_status_filter", spec, 0, &tables, out, why);
}

enum rc deliver_start(struct service_env *env, struct deliver_shared **out, struct why *why)
{
    struct deliver_shared *s = NEW(struct deliver_shared);

    TRY(filter_open(env, &s->status_filter, why));
    TRY(queue_keys_open(env->config, &s->keys, why));
    s->bounce = service_pool_new(env, "private/bounce");
    s->defer = service_pool_new(env, "private/defer");
    s->trace = service_pool_new(env, "private/trace");
    s->verify = service_pool_new(env, "private/verify");
    s->digits = env->config->delay_logging_resolution_limit;
    s->soft_bounce = env->config->soft_bounce;
    *out = s;
    return RC_OK;
}

enum rc deliver_agent_start(struct service_env *env, void **state, struct why *why)
{
    struct deliver_shared *shared = NULL;

    TRY(deliver_start(env, &shared, why));
    *state = shared;
    return RC_OK;
}

bool deliver_agent_has_changed(struct service_env *env, void *state)
{
    (void)env;
    return deliver_tables_have_changed(state);
}

/* Whatever the agent did not report is tried again. */
static void defer_forgotten(struct delivery *d)
{
    struct dsn dsn =
        dsn_simple("4.3.0", STR("internal error: the delivery agent reported no status"));

    deliver_report_all(d, &dsn);
}

static void count_running(const struct service_env *env, long n)
{
    const char *name = env->service->name;
    bool is_remote = strcmp(name, "smtp") == 0;
    bool is_local = strcmp(name, "local") == 0 || strcmp(name, "virtual") == 0 ||
                    strcmp(name, "pipe") == 0 || strcmp(name, "lmtp") == 0;

    if (is_remote || is_local)
        board_count(&env->board, is_remote ? COUNTER_mta_session : COUNTER_mda_running, n);
}

static enum rc serve_request(struct ipc *qmgr, struct delivery *d,
                             void (*deliver)(void *, struct delivery *), void *context,
                             struct why *why)
{
    TRY(ipc_read_deliver_request(qmgr, d->arena, &d->request, &d->fd, why));
    d->time = (struct delivery_time){.agent = clock_now()};
    d->result = (struct deliver_result){0};
    d->relay = STR("none");
    d->tls = STR("");
    d->conn_use = 0;
    d->bounce_to = STR_NONE;
    d->reported = arena_array(d->arena, bool, d->request.n_recipients + 1);
    log_set_queue_id(&d->log, d->request.queue_id);
    if (d->fd < 0)
        return FAIL(why, RC_PERM, "request for " STR_FMT " came without queue file",
                    STR_ARG(d->request.queue_id));
    count_running(d->env, 1);
    deliver(context, d);
    defer_forgotten(d);
    count_running(d->env, -1);
    close(d->fd); /* before the answer: it holds the lock of the file that qmgr removes or moves
                     next */
    return ipc_send_deliver_result(qmgr, &d->result, -1, why);
}

bool deliver_tables_have_changed(const struct deliver_shared *shared)
{
    return maps_have_changed(shared->status_filter);
}

/* RC_OK: a request is there. RC_NONE: not within a second, when somebody wants to know. */
static enum rc wait_for_request(struct service_env *env, struct ipc *qmgr, bool idle,
                                struct why *why)
{
    enum ipc_type type;

    return idle ? service_wait(env, qmgr, IDLE_MS, why) : service_next(env, qmgr, &type, why);
}

void deliver_serve(struct service_env *env, struct deliver_shared *shared, int fd,
                   void (*deliver)(void *, struct delivery *), void (*idle)(void *, bool),
                   void *context)
{
    AUTO_ARENA arena = arena_new(8 * 1024);
    struct delivery d = {.env = env, .arena = arena, .log = env->log, .shared = shared};
    struct agent_ready ready = {1};
    struct ipc qmgr;
    struct why why = {0};
    enum rc rc;

    ipc_init(&qmgr, fd, 0);
    ipc_trace(&qmgr, &env->log);
    rc = ipc_send_agent_ready(&qmgr, &ready, -1, &why);
    while (rc == RC_OK || rc == RC_NONE) {
        rc = wait_for_request(env, &qmgr, idle != NULL, &why);
        if (rc == RC_NONE && idle)
            idle(context, false);
        else if (rc == RC_OK)
            rc = serve_request(&qmgr, &d, deliver, context, &why);
        arena_reset(arena);
        if (service_is_draining(env))
            break;
    }
    if (rc != RC_OK && rc != RC_NONE && rc != RC_EOF)
        log_warning(&env->log, "connection from the queue manager: %s", why.text);
    if (idle)
        idle(context, true);
    qmgr.fd = -1; /* the runtime's */
    ipc_done(&qmgr);
}
