/*
 * TRANSPORT_destination_deferred_limit: which messages were deferred because their destination did
 * not work. When mail gets there again they are tried at once instead of at their own time. Nothing
 * of this is on disk: what is forgotten, or was too much, waits for its time.
 */
#include "qmgr/qmgr.h"

void destination_remember(struct destination *d, const struct message *msg)
{
    if (msg->hurried || d->deferred.n >= (size_t)d->transport->deferred_limit)
        return; /* what fails again at once must not do so with each success of another */
    map_put(&d->deferred, msg->m.queue_id, d);
}

void destination_works(struct destination *d, const struct message *msg)
{
    struct qmgr *q = d->transport->q;
    struct map ids = d->deferred;

    if (ids.n == 0 || q->draining)
        return;
    map_init(&d->deferred);
    (void)map_remove(&ids, msg->m.queue_id);
    if (ids.n)
        log_info(q->log,
                 "destination " STR_FMT ":" STR_FMT " takes mail again; trying %zu deferred "
                 "message%s at once",
                 STR_ARG(d->transport->name), STR_ARG(d->nexthop), ids.n, ids.n == 1 ? "" : "s");
    for (struct map_item *i = NULL; (i = map_next(&ids, i));)
        feed_hurry(q->feed, i->key);
    map_done(&ids);
}
