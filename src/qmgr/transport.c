/* Transports: parameters, state, and handing out what may go. */
#include <stdlib.h>

#include "config/config.h"
#include "qmgr/qmgr.h"
#include "util/clock.h"
#include "util/memory.h"

static long number(struct transport *t, const char *suffix, long fallback)
{
    struct why why = {0};
    long value;

    if (config_transport_long(t->q->config, t->name, suffix, &value, &why) == RC_OK)
        return value;
    log_warning(t->q->log, "%s; using %ld", why.text, fallback);
    return fallback;
}

static long seconds(struct transport *t, const char *suffix)
{
    struct why why = {0};
    long value;

    if (config_transport_time(t->q->config, t->name, suffix, &value, &why) == RC_OK)
        return value;
    log_warning(t->q->log, "%s; using 0", why.text);
    return 0;
}

static struct feedback feedback(struct transport *t, const char *suffix)
{
    struct feedback f = {.value = 1, .hysteresis = 1};
    struct why why = {0};

    if (feedback_parse(config_transport_get(t->q->config, t->name, suffix), &f, &why) != RC_OK)
        log_warning(t->q->log, "parameter " STR_FMT "_%s: %s; using 1", STR_ARG(t->name), suffix,
                    why.text);
    return f;
}

static void read_parameters(struct transport *t)
{
    t->recipient_limit = number(t, "destination_recipient_limit", 50);
    t->concurrency_limit = number(t, "destination_concurrency_limit", 20);
    t->initial_concurrency = number(t, "initial_destination_concurrency", 5);
    t->failed_cohort_limit = number(t, "destination_concurrency_failed_cohort_limit", 1);
    t->destination_rate_delay = seconds(t, "destination_rate_delay");
    t->transport_rate_delay = seconds(t, "transport_rate_delay");
    t->deferred_limit = number(t, "destination_deferred_limit", 0);
    t->lifetime = seconds(t, "queue_lifetime");
    t->positive = feedback(t, "destination_concurrency_positive_feedback");
    t->negative = feedback(t, "destination_concurrency_negative_feedback");
}

struct transport *transport_get(struct qmgr *q, struct str name)
{
    struct transport *t = map_get(&q->transports, name);

    if (t)
        return t;
    t = NEW(struct transport);
    t->q = q;
    map_init(&t->destinations);
    list_init(&t->ready);
    list_init(&t->unused);
    list_init(&t->idle);
    list_init(&t->all);
    t->name.p = memcpy(memory_new(name.n + 1), name.p, name.n);
    t->name.n = name.n;
    read_parameters(t);
    t->kind = control_kind(q, t->name);
    map_put(&q->transports, t->name, t);
    return t;
}

/* How many deliveries could start now, counted up to a few. */
static size_t startable(const struct transport *t, size_t enough)
{
    size_t n = 0;

    for (struct link *l = t->ready.next; l != &t->ready && n < enough; l = l->next) {
        const struct destination *d = ITEM_OF(l, struct destination, ready);
        size_t room = d->window.size - d->n_busy;
        n += d->n_waiting < room ? d->n_waiting : room;
    }
    return n < enough ? n : enough;
}

void transport_run(struct transport *t)
{
    struct qmgr *q = t->q;

    if (board_paused(&q->env->board) & t->kind)
        return;
    while (!t->dead && !t->paused && !q->draining) {
        struct entry *e;
        if (list_is_empty(&t->idle))
            break;
        e = schedule_next(t);
        if (e == NULL)
            return;
        if (!agent_deliver(t, e))
            destination_put_back(e->destination, e);
    }
    while (!t->dead && !t->paused && !q->draining && t->connect_timer == NULL &&
           t->n_waiting < startable(t, CONNECTIONS_WAITING_MAX)) {
        size_t before = t->n_waiting;
        agent_connect(t);
        if (t->n_waiting == before)
            break;
    }
}

static void end_of_death(void *context)
{
    struct transport *t = context;

    t->timer = NULL;
    t->dead = false;
    arena_free(t->dead_arena);
    t->dead_arena = NULL;
}

void transport_revive(struct transport *t)
{
    if (t->dead) {
        loop_cancel(t->q->loop, t->timer);
        end_of_death(t);
    }
    for (struct map_item *i = NULL; (i = map_next(&t->destinations, i));)
        destination_revive(i->value);
}

void transport_die(struct transport *t, const struct dsn *reason)
{
    struct qmgr *q = t->q;

    if (t->dead)
        return;
    t->dead = true;
    t->dead_arena = arena_new(256);
    t->dead_reason = dsn_copy(t->dead_arena, reason);
    loop_cancel(q->loop, t->timer);
    t->timer = loop_after(q->loop, q->config->transport_retry_time * 1000, end_of_death, t);
    for (struct map_item *i = NULL; (i = map_next(&t->destinations, i));) {
        struct destination *d = i->value;
        if (d->n_waiting)
            destination_defer_waiting(d, &t->dead_reason);
    }
}

static void end_of_pause(void *context)
{
    struct transport *t = context;

    t->connect_timer = NULL;
    t->paused = false;
    transport_run(t);
}

void transport_pause(struct transport *t)
{
    t->paused = true;
    loop_cancel(t->q->loop, t->connect_timer);
    t->connect_timer = loop_after(t->q->loop, t->transport_rate_delay * 1000, end_of_pause, t);
}
