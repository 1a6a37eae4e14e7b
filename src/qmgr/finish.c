/*
 * The end of a delivery attempt. Most messages: nothing is left, no notification is due: the file
 * is removed. Otherwise a worker asks the bounce services for notifications, and what remains goes
 * to deferred/ with the time of the next attempt.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "config/config.h"
#include "global/address.h"
#include "global/logline.h"
#include "qmgr/qmgr.h"
#include "qmgr/worker.h"
#include "util/clock.h"

struct ending {
    struct message *message;
    struct arena *arena;
};

static bool log_exists(struct message *msg, struct str log_class)
{
    char path[QUEUE_PATH_SIZE];

    queue_path(&msg->q->queue, log_class, msg->m.queue_id, path);
    return faccessat(msg->q->queue.dir, path, F_OK, 0) == 0;
}

/* Ask one of the bounce services to turn its log into a notification. */
static bool flush_log(struct message *msg, struct service_pool *pool, long kind, struct arena *a)
{
    const struct message_ready *m = &msg->m;
    struct deliver_request delivery;
    struct bounce_flush request = {
        .kind = kind,
        .flags = kind == BOUNCE_KIND_DELAY ? 0 : BOUNCE_CLEAN,
        .queue_name = msg->queue_name,
        .queue_id = m->queue_id,
        .encoding = m->encoding,
        .sendopts = m->sendopts,
        .sender = m->sender,
        .envid = m->envid,
        .dsn_ret = m->dsn_ret,
        .verp = m->verp,
    };
    struct status_reply reply = {.status = -1};
    struct why why = {0};
    enum rc rc;

    message_fill_request(msg, &delivery);
    if (kind == BOUNCE_KIND_TRACE) /* what kind of report was asked for */
        request.flags |=
            delivery.flags & (DELIVER_USER_VERIFY | DELIVER_RECORD | DELIVER_RECORD_SENT);
    rc = service_pool_ask(pool, IPC_bounce_flush, &request, IPC_status_reply, a, &reply, &why);
    if (rc != RC_OK)
        log_warning(&msg->log, "notification: %s", why.text);
    return rc == RC_OK && reply.status == 0;
}

static long lifetime(const struct message *msg)
{
    const struct config *config = msg->q->config;

    return msg->m.sender.n ? config->maximal_queue_lifetime : config->bounce_queue_lifetime;
}

/* True: the sender was told, nothing remains to be done. */
static bool expire(struct message *msg, struct arena *a)
{
    struct str from = address_quote(a, msg->m.sender);
    bool too_old = clock_seconds() - msg->m.create_sec >= lifetime(msg);

    if (!too_old && !msg->force_expire)
        return false;
    board_count(&msg->q->env->board, COUNTER_envelope_expired, (long)msg->m.n_recipients);
    log_info(&msg->log, "from=<" STR_FMT ">, status=%s, returned to sender", STR_ARG(from),
             msg->force_expire ? "force-expired" : "expired");
    if (msg->nobody_left) {
        log_warning(&msg->log, "giving up the notification");
        return true;
    }
    return flush_log(msg, msg->q->defer, BOUNCE_KIND_BOUNCE, a);
}

static void warn_of_delay(struct message *msg, struct arena *a)
{
    struct message_ready *m = &msg->m;
    struct why why = {0};
    long next;

    if (m->warn_time <= 0 || m->warn_offset <= 0 || clock_seconds() < m->warn_time ||
        !flush_log(msg, msg->q->defer, BOUNCE_KIND_DELAY, a))
        return;
    next = queue_warn_delay(msg->q->config, clock_seconds() - m->arrival_sec);
    m->warn_time = next ? m->arrival_sec + next : -1;
    if (queue_file_set_warn_time(msg->fd, m->warn_offset, m->warn_time, &why) != RC_OK)
        log_warning(&msg->log, "mark the delay warning as sent: %s", why.text);
}

/* The older the message, the longer the pause. */
static long next_attempt(const struct config *config, long created, long now)
{
    long delay = now - created;

    if (delay < config->minimal_backoff_time)
        delay = config->minimal_backoff_time;
    if (delay > config->maximal_backoff_time)
        delay = config->maximal_backoff_time;
    return now + delay;
}

static void move_to_deferred(struct message *msg)
{
    struct qmgr *q = msg->q;
    struct why why = {0};

    switch (queue_move(&q->queue, msg->queue_name, STR("deferred"), msg->m.queue_id, &why)) {
    case RC_OK: msg->queue_name = STR("deferred"); break;
    case RC_NONE: break; /* postsuper took it */
    default: log_warning(&msg->log, "%s", why.text);
    }
}

static void count_attempt(struct message *msg)
{
    bool was_tried = str_eq(msg->queue_name, STR("deferred"));
    struct why why = {0};

    if (queue_file_add_attempt(msg->fd, was_tried, &why) == RC_TEMP)
        log_warning(&msg->log, "count the attempt: %s", why.text);
}

static void defer(struct message *msg)
{
    struct qmgr *q = msg->q;
    long when = next_attempt(q->config, msg->m.create_sec, clock_seconds());
    struct timespec times[2] = {{when, 0}, {when, 0}};
    struct timespec began = log_profile_begin(&msg->log, LOG_PROFILE_QUEUE);

    count_attempt(msg); /* before the time of the file is set */
    if (futimens(msg->fd, times) < 0)
        log_warning(&msg->log, "set the time of the next attempt: %m");
    msg->next_attempt = when;
    if (!str_eq(msg->queue_name, STR("deferred")))
        move_to_deferred(msg);
    index_defer(msg, when);
    log_profile_end(&msg->log, began, "profile-queue: message_defer");
}

/* dont_remove: for those who look for what went wrong. */
static enum rc remove_or_save(struct message *msg, struct why *why)
{
    const struct queue *queue = &msg->q->queue;

    if (msg->q->config->dont_remove)
        return queue_move(queue, msg->queue_name, STR("saved"), msg->m.queue_id, why);
    return queue_remove(queue, msg->queue_name, msg->m.queue_id, why);
}

static void remove_file(struct message *msg)
{
    struct timespec began = log_profile_begin(&msg->log, LOG_PROFILE_QUEUE);
    struct why why = {0};

    switch (remove_or_save(msg, &why)) {
    case RC_OK: logline_removed(&msg->log); break;
    case RC_NONE: /* postsuper removed it, or put it on hold meanwhile: then it is done as well */
        if (queue_remove(&msg->q->queue, STR("hold"), msg->m.queue_id, &why) == RC_OK)
            logline_removed(&msg->log);
        break;
    default: log_warning(&msg->log, "%s", why.text);
    }
    log_profile_end(&msg->log, began, "profile-queue: message_delete");
}

static void ending_work(void *context)
{
    struct ending *e = context;
    struct message *msg = e->message;

    if (msg->has_bounces && log_exists(msg, STR("bounce")) &&
        !flush_log(msg, msg->q->bounce, msg->m.verp.n ? BOUNCE_KIND_VERP : BOUNCE_KIND_BOUNCE,
                   e->arena))
        msg->remain = true;
    if (msg->has_trace && log_exists(msg, STR("trace")) &&
        !flush_log(msg, msg->q->trace, BOUNCE_KIND_TRACE, e->arena))
        msg->remain = true;
    if (!msg->remain || expire(msg, e->arena)) {
        if (str_eq(msg->queue_name, STR("deferred"))) /* first: no listing shows what is gone */
            index_remove(msg->q, msg->m.queue_id);
        remove_file(msg);
        return;
    }
    warn_of_delay(msg, e->arena);
    defer(msg);
}

static void ending_done(void *context)
{
    struct ending *e = context;
    struct message *msg = e->message;

    arena_free(e->arena);
    if (msg->next_attempt && msg->flushes != msg->q->flushes)
        msg->look_again =
            true; /* a flush has come meanwhile, and has not seen it among the deferred */
    if (msg->next_attempt)
        feed_due_at(msg->q->feed, msg->next_attempt);
    message_free(msg);
}

void finish_message(struct message *msg)
{
    struct qmgr *q = msg->q;
    struct arena *a;
    struct ending *e;
    struct why why = {0};

    if (msg->m.trace_flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY))
        msg->remain = false; /* a probe is made once */
    if (msg->file_is_gone && msg->remain) {
        message_free(msg);
        return;
    }
    if (!msg->remain && !msg->has_bounces && !msg->has_trace) {
        remove_file(msg);
        message_free(msg);
        return;
    }
    if (!msg->file_is_gone && !message_open(msg, &why)) { /* the next scan finds it */
        message_free(msg);
        return;
    }
    msg->is_ending = true;
    a = arena_new(512);
    e = arena_new_of(a, struct ending);
    *e = (struct ending){.message = msg, .arena = a};
    worker_do(q->reports, ending_work, ending_done, e);
}
