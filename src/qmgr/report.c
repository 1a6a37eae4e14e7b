/*
 * Recipients that qmgr itself decides about: destination or transport dead, no transport, mail to
 * the double-bounce address. The delivery library does the rest as for an agent: log line, bounce
 * or defer log, mark in the queue file, probe results.
 */
#include "qmgr/qmgr.h"
#include "qmgr/worker.h"
#include "util/clock.h"

struct report {
    struct message *message;
    struct portion *portion;
    struct arena *arena;
    struct recipient *recipients;
    size_t n;
    struct dsn dsn;
    int fd;
    long status;
};

static void report_work(void *context)
{
    struct report *r = context;
    struct message *msg = r->message;
    struct delivery d = {
        .env = msg->q->env,
        .arena = r->arena,
        .log = msg->log,
        .fd = r->fd,
        .reported = arena_array(r->arena, bool, r->n),
        .relay = STR("none"),
        .shared = msg->q->shared,
    };

    message_fill_request(msg, &d.request);
    d.request.recipients = r->recipients;
    d.request.n_recipients = r->n;
    deliver_report_all(&d, &r->dsn);
    r->status = d.result.status;
}

static void report_done(void *context)
{
    struct report *r = context;
    struct message *msg = r->message;
    struct portion *p = r->portion;
    size_t n = r->n;

    if (r->status & 1)
        msg->remain = true;
    if (r->status & 2)
        msg->has_bounces = true;
    if (r->status & 4)
        msg->has_trace = true;
    arena_free(r->arena);
    msg->n_using_file--;
    message_close_unused_file(msg);
    message_unpend(msg, p, n);
}

void report_recipients(struct message *msg, struct portion *p, struct recipient *recipients,
                       size_t n, const struct dsn *dsn)
{
    struct arena *a = arena_new(1024);
    struct report *r = arena_new_of(a, struct report);
    struct why why = {0};

    msg->n_pending++;
    if (!message_open(msg, &why)) {
        msg->remain = true;
        arena_free(a);
        message_unpend(msg, p, n);
        return;
    }
    *r = (struct report){.message = msg,
                         .portion = p,
                         .arena = a,
                         .recipients = arena_array(a, struct recipient, n),
                         .n = n,
                         .dsn = dsn_copy(a, dsn),
                         .fd = msg->fd};
    memcpy(r->recipients, recipients, n * sizeof *recipients);
    msg->n_using_file++;
    worker_do(msg->q->reports, report_work, report_done, r);
}
