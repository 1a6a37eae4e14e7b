/* Requests of delivery agents, qmgr and cleanup, one after the other on a kept connection. */
#include "bounce/bounce.h"
#include "config/config.h"
#include "util/memory.h"

enum rc bounce_start(struct service_env *env, void **state, struct why *why)
{
    struct bounce_state *s = NEW(struct bounce_state);
    const struct config *c = env->config;
    struct arena *a = arena_new(4096); /* lives as long as the process */
    struct why template_why;

    TRY(queue_open_content(c, &s->queue, why));
    if (templates_load(c, a, &env->log, &s->templates, &template_why) != RC_OK)
        log_warning(&env->log, "%s -- using built-in bounce templates instead", template_why.text);
    s->cleanup = post_pool(env);
    s->log_class = str_eq(str_of(env->name), c->defer_service_name)   ? STR("defer")
                   : str_eq(str_of(env->name), c->trace_service_name) ? STR("trace")
                                                                      : STR("bounce");
    s->double_bounce = c->double_bounce_sender;
    if (str_index(s->double_bounce, '@') < 0)
        s->double_bounce = arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(c->double_bounce_sender),
                                        STR_ARG(c->myorigin));
    s->copy_bounces = str_list_has_nocase(c->notify_classes, STR("bounce"));
    s->double_bounces = s->copy_bounces || str_list_has_nocase(c->notify_classes, STR("2bounce"));
    s->copy_delays = str_list_has_nocase(c->notify_classes, STR("delay"));
    *state = s;
    return RC_OK;
}

struct session {
    struct service_env *env;
    struct bounce_state *state;
    struct arena *arena;
    struct ipc ipc;
};

static enum rc reply(struct session *s, enum rc rc, const struct why *result, struct why *why)
{
    struct status_reply r = {.status = rc == RC_OK ? 0 : -1,
                             .text = rc == RC_OK ? STR("") : str_of(result->text)};

    return ipc_send_status_reply(&s->ipc, &r, -1, why);
}

static enum rc check_id(struct str id, struct why *why)
{
    return queue_id_is_valid(id) ? RC_OK : FAIL(why, RC_PERM, "bad queue id in request");
}

static enum rc serve_append(struct session *s, struct why *why)
{
    struct bounce_append r = {0};
    struct why result = {0};
    enum rc rc;

    TRY(ipc_read_bounce_append(&s->ipc, s->arena, &r, NULL, why));
    TRY(check_id(r.queue_id, why));
    log_trace(&s->env->log, LOG_TRACE_BOUNCE, "bounce: " STR_FMT ": %s: " STR_FMT ": " STR_FMT,
              STR_ARG(r.queue_id), s->env->name, STR_ARG(r.recipient.address),
              STR_ARG(r.dsn.reason));
    rc = bounce_log_append(&s->state->queue, s->state->log_class, r.queue_id, &r.recipient, &r.dsn,
                           s->env->config->backwards_bounce_logfile_compatibility, &result);
    if (rc != RC_OK)
        log_warning(&s->env->log, STR_FMT ": %s", STR_ARG(r.queue_id), result.text);
    return reply(s, rc, &result, why);
}

static struct notice notice_for(struct session *s, const struct bounce_flush *request)
{
    struct notice n = {
        .env = s->env,
        .state = s->state,
        .arena = s->arena,
        .log = s->env->log,
        .request = request,
    };

    log_set_queue_id(&n.log, request->queue_id);
    return n;
}

static enum rc notify(struct notice *n, struct why *why)
{
    switch (n->request->kind) {
    case BOUNCE_KIND_DELAY: return notify_delay(n, why);
    case BOUNCE_KIND_TRACE: return notify_trace(n, why);
    case BOUNCE_KIND_VERP: return notify_verp(n, why);
    default: return notify_failure(n, why);
    }
}

/* After the sender was told, nothing more is owed to these recipients. */
static void delete_recipients(struct notice *n)
{
    struct why why;

    for (size_t i = 0; n->original.fd >= 0 && i < n->n_entries; i++)
        if (n->entries[i].recipient.offset > 0 &&
            queue_file_mark_done(n->original.fd, n->entries[i].recipient.offset, &why) != RC_OK)
            log_warning(&n->log, "mark recipient done: %s", why.text);
}

static enum rc flush(struct notice *n, struct why *why)
{
    const struct queue *q = &n->state->queue;
    const struct bounce_flush *r = n->request;
    enum rc rc = bounce_log_read(q, n->state->log_class, r->queue_id, n->arena, &n->entries,
                                 &n->n_entries, why);

    if (rc == RC_NONE)
        return RC_OK; /* nothing to tell */
    if (rc != RC_OK)
        return rc;
    original_open(n);
    TRY(notify(n, why));
    if (r->kind == BOUNCE_KIND_DELAY)
        return RC_OK; /* the log goes on */
    if (r->flags & BOUNCE_DELETE_RECIPIENT)
        delete_recipients(n);
    rc = bounce_log_remove(q, n->state->log_class, r->queue_id, why);
    return rc == RC_NONE ? RC_OK : rc;
}

static enum rc serve_flush(struct session *s, struct why *why)
{
    struct bounce_flush r = {0};
    struct why result = {0};
    struct notice n;
    enum rc rc;

    TRY(ipc_read_bounce_flush(&s->ipc, s->arena, &r, NULL, why));
    TRY(check_id(r.queue_id, why));
    log_trace(&s->env->log, LOG_TRACE_BOUNCE, "bounce: " STR_FMT ": %s: tell <" STR_FMT ">",
              STR_ARG(r.queue_id), s->env->name, STR_ARG(r.sender));
    n = notice_for(s, &r);
    rc = flush(&n, &result);
    return reply(s, rc, &result, why);
}

static enum rc serve_one(struct session *s, struct why *why)
{
    struct bounce_one r = {0};
    struct bounce_log_entry entry;
    struct bounce_flush request;
    struct why result = {0};
    struct notice n;
    enum rc rc;

    TRY(ipc_read_bounce_one(&s->ipc, s->arena, &r, NULL, why));
    TRY(check_id(r.queue_id, why));
    entry = (struct bounce_log_entry){r.recipient, r.dsn};
    request = (struct bounce_flush){.kind = BOUNCE_KIND_BOUNCE,
                                    .flags = r.flags,
                                    .queue_name = r.queue_name,
                                    .queue_id = r.queue_id,
                                    .encoding = r.encoding,
                                    .sendopts = r.sendopts,
                                    .sender = r.sender,
                                    .envid = r.envid,
                                    .dsn_ret = r.dsn_ret};
    n = notice_for(s, &request);
    n.entries = &entry;
    n.n_entries = 1;
    original_open(&n);
    rc = notify_failure(&n, &result);
    if (rc == RC_OK && (r.flags & BOUNCE_DELETE_RECIPIENT))
        delete_recipients(&n);
    return reply(s, rc, &result, why);
}

static enum rc serve(struct session *s, enum ipc_type type, struct why *why)
{
    switch (type) {
    case IPC_bounce_append: return serve_append(s, why);
    case IPC_bounce_flush: return serve_flush(s, why);
    case IPC_bounce_one: return serve_one(s, why);
    default: return FAIL(why, RC_PERM, "unexpected message %s", ipc_name(type));
    }
}

void bounce_session(struct service_env *env, void *state, int fd)
{
    AUTO_ARENA arena = arena_new(16 * 1024);
    struct session s = {.env = env, .state = state, .arena = arena};
    struct why why = {0};
    enum ipc_type type;
    enum rc rc = RC_OK;

    ipc_init(&s.ipc, fd, env->config->ipc_timeout * 1000);
    while (rc == RC_OK) {
        rc = service_next(env, &s.ipc, &type, &why);
        if (rc == RC_OK)
            rc = serve(&s, type, &why);
        arena_reset(arena);
    }
    if (rc != RC_EOF)
        log_warning(&env->log, "request of another service: %s", why.text);
    s.ipc.fd = -1; /* the runtime's */
    ipc_done(&s.ipc);
}
