/* A destination of a transport: what waits for it, how many deliveries may run, dead or alive. */
#include <stdlib.h>

#include "config/config.h"
#include "qmgr/qmgr.h"
#include "util/clock.h"
#include "util/memory.h"

struct dsn dsn_copy(struct arena *a, const struct dsn *d)
{
    return (struct dsn){
        .status = arena_copy(a, d->status),
        .action = arena_copy(a, d->action),
        .reason = arena_copy(a, d->reason),
        .diag_type = arena_copy(a, d->diag_type),
        .diag_text = arena_copy(a, d->diag_text),
        .mta_type = arena_copy(a, d->mta_type),
        .mta_name = arena_copy(a, d->mta_name),
    };
}

void destination_fill_rules(const struct transport *t, struct window_rules *rules)
{
    bool one_by_one = t->destination_rate_delay > 0;

    *rules = (struct window_rules){
        .initial = (size_t)(one_by_one ? 1 : t->initial_concurrency),
        .limit = (size_t)(one_by_one ? 1 : t->concurrency_limit),
        .failed_cohort_limit = (double)t->failed_cohort_limit,
        .positive = &t->positive,
        .negative = &t->negative,
    };
}

static void reset_window(struct destination *d)
{
    struct window_rules rules;

    destination_fill_rules(d->transport, &rules);
    window_reset(&d->window, &rules);
}

static void destination_free(struct destination *d)
{
    list_remove(&d->ready);
    list_remove(&d->touched);
    if (is_listed(&d->unused)) {
        list_remove(&d->unused);
        d->transport->n_unused--;
    }
    loop_cancel(d->transport->q->loop, d->timer);
    map_remove(&d->transport->destinations, d->key);
    map_done(&d->deferred);
    arena_free(d->dead_arena);
    arena_free(d->arena);
}

struct destination *destination_get(struct transport *t, struct str key, struct str nexthop)
{
    struct destination *d = map_get(&t->destinations, key);
    struct arena *a;

    if (d)
        return d;
    while (t->n_unused > DESTINATIONS_IDLE_MAX) /* here, where nobody walks through the map */
        destination_free(ITEM_OF(t->unused.next, struct destination, unused));
    a = arena_new(1024);
    d = arena_new_of(a, struct destination);
    *d = (struct destination){
        .transport = t, .key = arena_copy(a, key), .nexthop = arena_copy(a, nexthop), .arena = a};
    d->number = ++t->q->n_routes;
    d->blocked = control_is_blocked(t->q, nexthop);
    list_init(&d->waiting);
    map_init(&d->deferred);
    reset_window(d);
    map_put(&t->destinations, d->key, d);
    destination_update(d);
    return d;
}

static bool is_ready(const struct destination *d)
{
    return d->n_waiting > 0 && d->n_busy < d->window.size && !d->dead && !d->paused && !d->blocked;
}

void destination_update(struct destination *d)
{
    struct transport *t = d->transport;
    bool unused = d->n_waiting == 0 && d->n_busy == 0 && !d->dead && !d->paused;

    if (is_ready(d) && !is_listed(&d->ready))
        list_append(&t->ready, &d->ready);
    else if (!is_ready(d))
        list_remove(&d->ready);
    if (unused && !is_listed(&d->unused)) {
        reset_window(d); /* what is idle starts anew */
        list_append(&t->unused, &d->unused);
        t->n_unused++;
    } else if (!unused && is_listed(&d->unused)) {
        list_remove(&d->unused);
        t->n_unused--;
    }
}

void destination_add(struct destination *d, struct entry *e)
{
    e->destination = d;
    list_append(&d->waiting, &e->link);
    d->n_waiting++;
    d->transport->n_entries++;
    destination_update(d);
}

struct entry *destination_take(struct destination *d)
{
    struct entry *e = ITEM_OF(d->waiting.next, struct entry, link);

    list_remove(&e->link);
    d->n_waiting--;
    d->n_busy++;
    destination_update(d);
    return e;
}

void destination_put_back(struct destination *d, struct entry *e)
{
    list_prepend(&d->waiting, &e->link);
    d->n_waiting++;
    d->n_busy--;
    destination_update(d);
}

static void end_of_pause(void *context)
{
    struct destination *d = context;

    d->timer = NULL;
    d->paused = false;
    destination_update(d);
    transport_run(d->transport);
}

static void end_of_death(void *context)
{
    struct destination *d = context;

    d->timer = NULL;
    destination_revive(d);
}

void destination_revive(struct destination *d)
{
    if (!d->dead)
        return;
    loop_cancel(d->transport->q->loop, d->timer);
    d->timer = NULL;
    d->dead = false;
    arena_free(d->dead_arena);
    d->dead_arena = NULL;
    reset_window(d);
    destination_update(d);
}

static void die(struct destination *d, const struct dsn *reason)
{
    struct qmgr *q = d->transport->q;
    struct dsn copy;

    if (d->dead)
        return;
    d->dead = true;
    d->dead_arena = arena_new(512);
    copy = dsn_copy(d->dead_arena, reason);
    if (copy.status.n && copy.status.p[0] != '4')
        copy.status = STR("4.4.0");
    copy.reason = arena_printf(d->dead_arena, "delivery temporarily suspended: " STR_FMT,
                               STR_ARG(copy.reason));
    copy.reason = str_head(copy.reason, 2000);
    d->dead_reason = copy;
    loop_cancel(q->loop, d->timer);
    d->timer = loop_after(q->loop, q->config->minimal_backoff_time * 1000, end_of_death, d);
    destination_defer_waiting(d, &d->dead_reason);
}

static void log_feedback(const struct destination *d, const char *what)
{
    const struct qmgr *q = d->transport->q;

    if (q->config->destination_concurrency_feedback_debug)
        log_info(q->log,
                 "%s: transport " STR_FMT " destination " STR_FMT
                 " window %zu busy %zu success %g failure %g fail_cohorts %g",
                 what, STR_ARG(d->transport->name), STR_ARG(d->nexthop), d->window.size, d->n_busy,
                 d->window.success, d->window.failure, d->window.fail_cohorts);
}

void destination_done(struct destination *d, const struct dsn *site_failed)
{
    struct transport *t = d->transport;
    struct window_rules rules;

    destination_fill_rules(t, &rules);
    d->n_busy--;
    t->n_entries--;
    d->last_done_ms = clock_ms();
    if (site_failed == NULL) {
        if (d->dead)
            destination_revive(d);
        window_success(&d->window, &rules, d->n_busy + 1);
    } else if (!d->dead && window_failure(&d->window, &rules)) {
        die(d, site_failed);
    }
    log_feedback(d, site_failed ? "failure" : "success");
    if (t->destination_rate_delay > 0 && !d->dead) {
        d->paused = true;
        loop_cancel(t->q->loop, d->timer);
        d->timer = loop_after(t->q->loop, t->destination_rate_delay * 1000, end_of_pause, d);
    }
    destination_update(d);
}

void destination_drop(struct entry *e)
{
    struct destination *d = e->destination;

    list_remove(&e->link);
    list_remove(&e->of_message);
    d->n_waiting--;
    d->transport->n_entries--;
    destination_update(d);
}

void destination_defer_waiting(struct destination *d, const struct dsn *reason)
{
    while (!list_is_empty(&d->waiting)) {
        struct entry *e = ITEM_OF(d->waiting.next, struct entry, link);
        struct message *msg = e->message;
        if (d->dead)
            destination_remember(d, msg);
        destination_drop(e);
        report_recipients(msg, e->portion, e->recipients, e->n, reason);
        message_unpend(msg, e->portion, 0); /* the entry; the report counts for itself */
    }
    destination_update(d);
}
