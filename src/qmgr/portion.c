/*
 * Recipients in portions: a message may have more than memory shall hold. Each portion is read and
 * resolved by the disk worker, into memory of its own, while others are being delivered.
 */
#include "config/config.h"
#include "qmgr/qmgr.h"
#include "qmgr/worker.h"

size_t portion_size(const struct qmgr *q)
{
    size_t limit = (size_t)q->config->qmgr_message_recipient_limit,
           least = (size_t)q->config->qmgr_message_recipient_minimum,
           room = q->n_recipients < limit ? limit - q->n_recipients : 0;

    if (room < least)
        room = least;
    return room < PORTION ? room : PORTION;
}

void portion_done(struct portion *p, size_t n)
{
    if (p == NULL || n == 0)
        return;
    p->left -= n;
    if (p->left == 0)
        arena_free(p->arena);
}

static void work(void *context)
{
    struct portion *p = context;
    struct message *msg = p->message;

    if (p->read)
        p->rc = queue_file_read_recipients(msg->fd, &msg->rest, p->n, p->arena, &p->recipients,
                                           &p->n, &p->why);
    if (p->rc == RC_OK)
        route_resolve(msg->q, msg, p->recipients, p->n, p->arena);
}

static void done(void *context)
{
    struct portion *p = context;
    struct message *msg = p->message;

    if (p->rc != RC_OK) {
        log_warning(&msg->log, "read recipients: %s", p->why.text);
        msg->rest.unread = 0;
        msg->remain = true;
        p->n = 0;
    }
    msg->reading = false;
    msg->n_using_file--;
    p->left = p->n + 1; /* itself, as long as it is looked at */
    message_add_recipients(msg, p, p->recipients, p->n);
    msg->n_recipients++;
    msg->q->n_recipients++;
    message_unpend(msg, p, 1);
}

static void start(struct message *msg, struct recipient *recipients, size_t n, bool read)
{
    struct arena *a = arena_new(read ? 16 * 1024 : 1024);
    struct portion *p = arena_new_of(a, struct portion);

    *p = (struct portion){
        .message = msg, .arena = a, .recipients = recipients, .n = n, .read = read};
    msg->reading = true;
    msg->n_pending++;
    msg->n_using_file++;
    worker_do(msg->q->disk, work, done, p);
}

void portion_read(struct message *msg)
{
    struct why why = {0};

    if (message_open(msg, &why)) {
        start(msg, NULL, portion_size(msg->q), true);
    } else {
        msg->rest.unread = 0;
        msg->remain = true;
    }
}

void portion_resolve(struct message *msg)
{
    start(msg, msg->m.recipients, msg->m.n_recipients, false);
}
