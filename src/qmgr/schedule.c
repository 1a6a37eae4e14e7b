/* Which entry of a transport goes next: destinations in turn, within each the oldest first. */
#include "config/config.h"
#include "global/address.h"
#include "qmgr/qmgr.h"
#include "util/clock.h"

struct entry *schedule_next(struct transport *t)
{
    struct destination *d;
    struct entry *e;

    if (list_is_empty(&t->ready))
        return NULL;
    d = ITEM_OF(t->ready.next, struct destination, ready);
    e = destination_take(d);
    if (is_listed(&d->ready)) {
        list_remove(&d->ready);
        list_append(&t->ready, &d->ready);
    }
    return e;
}

static void warn_about(struct qmgr *q, const struct destination *d, size_t total)
{
    const struct transport *t = d->transport;

    log_warning(q->log, "mail for " STR_FMT " is using up %zu of %zu active queue entries",
                STR_ARG(d->nexthop), d->n_waiting + d->n_busy, total);
    log_warning(q->log,
                "you may need to increase the main.cf " STR_FMT
                "_destination_concurrency_limit from %ld",
                STR_ARG(t->name), t->concurrency_limit);
    log_warning(q->log, "you may need to increase the main.cf qmgr_message_active_limit from %ld",
                q->config->qmgr_message_active_limit);
    log_warning(q->log, "you may need a separate master.cf transport for " STR_FMT,
                STR_ARG(d->nexthop));
    log_warning(q->log, "you may need to reduce " STR_FMT " connect and helo timeouts",
                STR_ARG(t->name));
    log_warning(q->log, "please avoid flushing the whole queue when you have");
    log_warning(q->log, "lots of deferred mail, that is bad for performance");
    log_warning(q->log, "to turn off these warnings specify: qmgr_clog_warn_time = 0");
}

/* One destination that holds more than a fifth of a nearly full queue keeps others out. */
void clog_check(struct qmgr *q)
{
    struct destination *worst = NULL;
    struct timespec now = clock_now();

    if (q->config->qmgr_clog_warn_time == 0 ||
        q->n_messages < (size_t)q->config->qmgr_message_active_limit * 4 / 5 ||
        now.tv_sec - q->last_clog_warning.tv_sec < q->config->qmgr_clog_warn_time)
        return;
    for (struct map_item *t = NULL; (t = map_next(&q->transports, t));)
        for (struct map_item *i = NULL;
             (i = map_next(&((struct transport *)t->value)->destinations, i));) {
            struct destination *d = i->value;
            if (worst == NULL || d->n_waiting + d->n_busy > worst->n_waiting + worst->n_busy)
                worst = d;
        }
    if (worst == NULL || worst->n_waiting + worst->n_busy < q->n_messages / 5)
        return;
    q->last_clog_warning = now;
    warn_about(q, worst, q->n_messages);
}
