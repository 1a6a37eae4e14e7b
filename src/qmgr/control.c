/* What smtpctl(8) may look at and change while qmgr runs: pauses, destinations, counters. */
#include <stdlib.h>

#include "config/config.h"
#include "qmgr/qmgr.h"
#include "util/clock.h"
#include "util/memory.h"

unsigned control_kind(const struct qmgr *q, struct str transport)
{
    static const struct {
        struct str program;
        unsigned kind;
    } kinds[] = {
        {STR_INIT("smtp"), PAUSED_MTA},    {STR_INIT("lmtp"), PAUSED_MDA},
        {STR_INIT("local"), PAUSED_MDA},   {STR_INIT("pipe"), PAUSED_MDA},
        {STR_INIT("virtual"), PAUSED_MDA}, {STR_INIT("smtpfwdd"), PAUSED_MTA},
    };
    AUTO_ARENA a = arena_new(16 * 1024);
    struct str program;
    struct why why;

    if (service_program_of(q->env, transport, a, &program, &why) != RC_OK)
        return 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(program, kinds[i].program))
            return kinds[i].kind;
    return 0;
}

void control_show_levels(const struct qmgr *q)
{
    board_set(&q->env->board, COUNTER_envelope, (long)q->n_recipients);
    board_set(&q->env->board, COUNTER_queue_active, (long)q->n_messages);
}

void control_run_all(struct qmgr *q)
{
    for (struct map_item *t = NULL; (t = map_next(&q->transports, t));)
        transport_run(t->value);
}

/* ---- destinations ---- */

/* Calls each(context, destination) until it returns false. */
static void walk(const struct qmgr *q, bool (*each)(void *context, struct destination *d),
                 void *context)
{
    for (struct map_item *t = NULL; (t = map_next(&q->transports, t));)
        for (struct map_item *i = NULL;
             (i = map_next(&((struct transport *)t->value)->destinations, i));)
            if (!each(context, i->value))
                return;
}

bool control_is_blocked(const struct qmgr *q, struct str nexthop)
{
    AUTO_ARENA a = arena_new(256);

    return q->blocked.n && map_get(&q->blocked, arena_lower(a, nexthop));
}

static bool look_whether_blocked(void *context, struct destination *d)
{
    (void)context;
    d->blocked = control_is_blocked(d->transport->q, d->nexthop);
    destination_update(d);
    return true;
}

void control_block(struct qmgr *q, struct str nexthop, struct str from, bool block)
{
    AUTO_ARENA a = arena_new(256);
    struct str key = arena_lower(a, nexthop);

    free(map_remove(&q->blocked, key));
    if (block) {
        char *kept = memory_new(key.n + from.n + 2); /* both texts, one behind the other */
        memcpy(kept, key.p, key.n);
        if (from.n)
            memcpy(kept + key.n + 1, from.p, from.n);
        map_put(&q->blocked, (struct str){kept, key.n}, kept);
    }
    walk(q, look_whether_blocked, NULL);
    control_run_all(q);
}

static bool resume_numbered(void *context, struct destination *d)
{
    if (d->number != *(unsigned long *)context)
        return true;
    destination_revive(d);
    return false;
}

void control_resume(struct qmgr *q, long number)
{
    unsigned long wanted = (unsigned long)number;

    walk(q, resume_numbered, &wanted);
    control_run_all(q);
}

static bool report_one(void *context, struct destination *d)
{
    struct str reason = d->dead ? d->dead_reason.reason : STR_NONE;
    long age = d->last_done_ms ? (clock_ms() - d->last_done_ms) / 1000 : -1;

    buf_addf(context, "%lu|" STR_FMT "|" STR_FMT "|%zu|%zu|%zu|%c%c%c%c|%ld|" STR_FMT "\n",
             d->number, STR_ARG(d->transport->name), STR_ARG(d->nexthop), d->n_waiting, d->n_busy,
             d->window.size, d->dead ? 'D' : '-', d->paused ? 'P' : '-', d->blocked ? 'B' : '-',
             d->transport->kind == PAUSED_MDA   ? 'L'
             : d->transport->kind == PAUSED_MTA ? 'R'
                                                : '-',
             age, STR_ARG(reason));
    return true;
}

void control_report(struct qmgr *q, struct buf *out)
{
    for (struct map_item *i = NULL; (i = map_next(&q->blocked, i));)
        buf_addf(out, "0|blocked|" STR_FMT "|0|0|0|--B|-1|%s\n", STR_ARG(i->key),
                 (const char *)i->value + i->key.n + 1);
    walk(q, report_one, out);
}
