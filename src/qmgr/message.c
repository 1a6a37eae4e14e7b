/* A message in memory, from the notice or the file to its end. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "config/config.h"
#include "global/logline.h"
#include "qmgr/qmgr.h"
#include "util/clock.h"
#include "util/file.h"

static bool has_room(const struct qmgr *q)
{
    return q->n_messages < (size_t)q->config->qmgr_message_active_limit && !q->draining;
}

bool message_from_notice(struct qmgr *q, struct arena *a, const struct message_ready *notice,
                         int fd)
{
    struct message *msg;

    if (fd < 0 || !has_room(q) || map_get(&q->messages, notice->queue_id)) {
        if (fd >= 0)
            close(fd);
        arena_free(a);
        return false;
    }
    msg = arena_new_of(a, struct message);
    *msg = (struct message){.q = q,
                            .arena = a,
                            .m = *notice,
                            .queue_name = STR("incoming"),
                            .fd = fd,
                            .has_trace = notice->traced};
    q->n_held++;
    if (!notice->complete) { /* more recipients than a notice holds: they are read from the file */
        message_close_file(msg);
        feed_later(q->feed, STR("incoming"), notice->queue_id, 0);
        arena_free(a);
        return true;
    }
    message_start(msg);
    return true;
}

bool message_open(struct message *msg, struct why *why)
{
    char path[QUEUE_PATH_SIZE];

    if (msg->fd >= 0)
        return true;
    queue_path(&msg->q->queue, msg->queue_name, msg->m.queue_id, path);
    msg->fd = openat(msg->q->queue.dir, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (msg->fd < 0) {
        msg->file_is_gone = errno == ENOENT;
        why_set(why, RC_TEMP, "open %s: %m", path);
        return false;
    }
    msg->q->n_held++;
    if (fd_lock(msg->fd, true, false, why) != RC_OK) {
        message_close_file(msg);
        return false;
    }
    return true;
}

void message_close_file(struct message *msg)
{
    if (msg->fd < 0)
        return;
    close(msg->fd);
    msg->fd = -1;
    msg->q->n_held--;
}

void message_close_unused_file(struct message *msg)
{
    if (msg->n_using_file == 0 && msg->q->n_held > msg->q->max_held)
        message_close_file(msg);
}

static const struct dsn too_many_probes = {
    .status = STR_INIT("4.3.3"), .reason = STR_INIT("Too many address verification requests")};

static bool is_one_probe_too_many(struct message *msg)
{
    return msg->m.trace_flags & DELIVER_MTA_VERIFY &&
           msg->q->n_probes > (size_t)msg->q->config->address_verify_pending_request_limit;
}

static void refuse(struct message *msg, const struct dsn *dsn)
{
    size_t n = msg->m.n_recipients;

    msg->n_recipients += n;
    msg->q->n_recipients += n;
    report_recipients(msg, NULL, msg->m.recipients, n, dsn);
}

void message_start(struct message *msg)
{
    struct qmgr *q = msg->q;
    size_t n = msg->m.n_recipients;

    list_init(&msg->entries);
    map_put(&q->messages, msg->m.queue_id, msg);
    q->n_messages++;
    q->n_probes += msg->m.trace_flags & DELIVER_MTA_VERIFY ? 1 : 0;
    if (str_eq(msg->queue_name, STR("incoming"))) {
        board_count(&q->env->board, COUNTER_queue_message, 1);
        board_count(&q->env->board, COUNTER_envelope_enqueued, (long)(n + msg->rest.unread));
    }
    msg->flushes = q->flushes;
    msg->active = clock_now();
    msg->log = *q->log;
    log_set_queue_id(&msg->log, msg->m.queue_id);
    logline_queue_active(&msg->log, msg->m.sender, msg->m.size, (long)(n + msg->rest.unread));
    msg->nobody_left = n == 0 && msg->rest.unread == 0;
    if (msg->nobody_left) /* an agent was quicker than the end of an old qmgr */
        finish_message(msg);
    else if (is_one_probe_too_many(msg))
        refuse(msg, &too_many_probes);
    else if (route_is_resolved(&msg->m))
        message_add_recipients(msg, NULL, msg->m.recipients, n);
    else
        portion_resolve(msg);
}

void message_fill_request(const struct message *msg, struct deliver_request *out)
{
    const struct message_ready *m = &msg->m;
    bool tell_delay_is_over = m->warn_time < 0 && msg->q->config->confirm_delay_cleared;
    long trace_flags = m->trace_flags;

    if (str_eq(msg->queue_name, STR("deferred"))) /* "sendmail -v" is about the first attempt */
        trace_flags &= ~(long)DELIVER_RECORD;
    *out = (struct deliver_request){
        .flags = DELIVER_SUCCESS | DELIVER_BOUNCE | trace_flags |
                 (tell_delay_is_over ? DELIVER_RECORD_SENT : 0),
        .queue_name = msg->queue_name,
        .queue_id = m->queue_id,
        .data_offset = m->data_offset,
        .data_size = m->data_size,
        .size = m->size,
        .encoding = m->encoding,
        .sendopts = m->sendopts,
        .sender = m->sender,
        .envid = m->envid,
        .dsn_ret = m->dsn_ret,
        .arrival_sec = m->arrival_sec,
        .arrival_usec = m->arrival_usec,
        .active_sec = msg->active.tv_sec,
        .active_usec = msg->active.tv_nsec / 1000,
        .origin = m->origin,
    };
}

void message_add_recipients(struct message *msg, struct portion *p, struct recipient *r, size_t n)
{
    msg->n_pending++; /* of this function: what is routed may end at once */
    msg->n_recipients += n;
    msg->q->n_recipients += n;
    control_show_levels(msg->q);
    route_assign(msg, p, r, n);
    message_close_unused_file(msg);
    message_unpend(msg, p, 0);
}

void message_unpend(struct message *msg, struct portion *p, size_t n_recipients)
{
    msg->n_recipients -= n_recipients;
    msg->q->n_recipients -= n_recipients;
    portion_done(p, n_recipients);
    control_show_levels(msg->q);
    msg->n_pending--;
    if (!msg->reading && msg->rest.unread && msg->n_recipients < REFILL_LIMIT) {
        if (msg->file_is_gone)
            msg->remain = true;
        else
            portion_read(msg);
    }
    if (msg->n_pending == 0)
        finish_message(msg);
}

void message_forget(struct message *msg)
{
    msg->file_is_gone = true;
    if (msg->is_ending)
        return;
    msg->n_pending++;
    for (struct link *l = msg->entries.next, *next; l != &msg->entries; l = next) {
        struct entry *e = ITEM_OF(l, struct entry, of_message);
        struct portion *p = e->portion;
        next = l->next;
        if (!is_listed(&e->link)) /* being delivered */
            continue;
        msg->remain = true;
        destination_drop(e);
        message_unpend(msg, p, e->n);
    }
    message_unpend(msg, NULL, 0);
}

void message_free(struct message *msg)
{
    struct qmgr *q = msg->q;

    message_close_file(msg);
    if (map_get(&q->messages, msg->m.queue_id) == msg)
        map_remove(&q->messages, msg->m.queue_id);
    q->n_messages--;
    control_show_levels(q);
    q->n_probes -= msg->m.trace_flags & DELIVER_MTA_VERIFY ? 1 : 0;
    if (msg->hurry_again)
        feed_hurry(q->feed, msg->m.queue_id);
    else if (msg->look_again)
        feed_one(q->feed, msg->m.queue_id);
    arena_free(msg->arena);
    feed_run(q->feed);
    if (q->draining)
        qmgr_end_if_drained(q);
}
