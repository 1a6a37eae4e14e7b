/* Start, and the end at reload. */
#include "qmgr/start.h"

#include <stdio.h>
#include <sys/resource.h>

#include "config/config.h"
#include "qmgr/qmgr.h"
#include "qmgr/worker.h"
#include "queue/index.h"
#include "util/memory.h"

enum { REPORT_THREADS = 4, SWEEP_MS = 10 * 1000 };

/* As many descriptors as the system gives; half for queue files, the rest for connections. */
static long descriptors_for_files(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 256;
    if (r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) < 0 && getrlimit(RLIMIT_NOFILE, &r) < 0)
            return 256;
    }
    return r.rlim_cur > 1000000 ? 500000 : (long)r.rlim_cur / 2;
}

static struct service_pool *pool(struct service_env *env, struct str service)
{
    char name[128];

    snprintf(name, sizeof name, "private/" STR_FMT, STR_ARG(service));
    return service_pool_new(env, name);
}

/* Mail flows without it as well. */
static void open_index(struct qmgr *q)
{
    struct service_env *env = q->env;
    struct why why = {0};
    enum rc rc = queue_index_open(&q->queue, env->config->data_directory, true, &q->index, &why);

    if (rc == RC_OK && !env->rootless)
        queue_index_give_to(q->index, env->mail_uid, env->mail_gid);
    else if (rc != RC_OK && rc != RC_CONFIG)
        log_warning(q->log, "%s; reading the directory deferred instead", why.text);
}

enum rc qmgr_start(struct service_env *env, void **state, struct why *why)
{
    struct qmgr *q = NEW(struct qmgr);

    q->env = env;
    q->config = env->config;
    q->log = &env->log;
    atomic_init(&q->index_failed, false);
    q->max_held = descriptors_for_files();
    TRY(queue_open(env->config, &q->queue, why));
    TRY(service_config_of(env, env->config->rewrite_service_name, &q->rewrite_config, why));
    TRY(rewriter_new(q->rewrite_config, &env->log, &q->rewriter, why));
    TRY(deliver_start(env, &q->shared, why));
    open_index(q);
    *state = q;
    return RC_OK;
}

static void sweep(void *context)
{
    struct qmgr *q = context;

    for (struct map_item *t = NULL; (t = map_next(&q->transports, t));)
        agent_sweep(t->value);
    clog_check(q);
    loop_after(q->loop, SWEEP_MS, sweep, q);
}

enum rc qmgr_confined(struct service_env *env, void *state, struct why *why)
{
    struct qmgr *q = state;

    (void)why;
    q->loop = env->loop;
    q->bounce = pool(env, q->config->bounce_service_name);
    q->defer = pool(env, q->config->defer_service_name);
    q->trace = pool(env, q->config->trace_service_name);
    q->disk = worker_new(q->loop, 1);
    q->indexer = worker_new(q->loop, 1);
    q->reports = worker_new(q->loop, REPORT_THREADS);
    map_init(&q->messages);
    map_init(&q->transports);
    map_init(&q->blocked);
    list_init(&q->intakes);
    buf_init(&q->scratch, IPC_FRAME_MAX);
    q->reply_arena = arena_new(4096);
    q->feed = feed_new(q);
    feed_scan(q->feed, SCAN_ACTIVE | SCAN_INCOMING | (q->index ? 0U : SCAN_DEFERRED));
    index_start(q);
    loop_after(q->loop, SWEEP_MS, sweep, q);
    return RC_OK;
}

void qmgr_accepted(struct service_env *env, void *state, int fd)
{
    (void)env;
    intake_accept(state, fd);
}

void qmgr_wakeup(struct service_env *env, void *state, struct str requests)
{
    (void)env;
    qmgr_trigger(state, requests);
}

static void enough(void *context)
{
    struct qmgr *q = context;

    service_exit(q->env);
}

void qmgr_end_if_drained(struct qmgr *q)
{
    if (q->n_in_flight || worker_pending(q->reports) || worker_pending(q->indexer))
        return;
    if (q->index_is_complete && !atomic_load(&q->index_failed) && feed_is_empty(q->feed) &&
        q->n_messages == 0)
        queue_index_mark_clean(q->index);
    service_exit(q->env);
}

/* What is not finished stays on disk; an agent that still delivers keeps the lock of the file. */
void qmgr_drain(struct service_env *env, void *state)
{
    struct qmgr *q = state;

    (void)env;
    q->draining = true;
    intake_close_all(q);
    loop_after(q->loop, DRAIN_SECONDS * 1000, enough, q);
    qmgr_end_if_drained(q);
}
