/*
 * Messages from files: what stood in the queue at start, what nobody told us about, what is due
 * again. Reading is done by the disk worker; here is the order in which it is asked to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "qmgr/load.h"
#include "qmgr/qmgr.h"
#include "qmgr/worker.h"
#include "queue/index.h"
#include "util/clock.h"
#include "util/memory.h"

enum { LOADS_AT_ONCE = 32, TAKE_AT_ONCE = 200 };

struct found { /* a file that is to be read */
    struct feed *feed;
    struct link link;
    struct loop_timer *timer;
    bool ignore_times, loading;
    bool hurried; /* a destination of it works again */
    bool again;   /* it was found in deferred/ while we looked for it elsewhere */
    struct str queue_name;
    struct str id;
    char text[QUEUE_ID_SIZE];
};

struct feed {
    struct qmgr *q;
    struct map known;            /* ids that wait here or are being read */
    struct link fresh, deferred; /* struct found */
    size_t n_loading;
    bool turn;                  /* whose turn it is */
    bool taking;                /* asking the index what is due */
    bool more_is_due, flushing; /* it had more than we took; they are to be tried whatever */
    long due_at;                /* when the timer goes off; 0: it is not set */
    struct loop_timer *due_timer;
    bool missed;              /* notices that were not taken */
    unsigned scanning, again; /* what is being scanned, and what after that */
    struct loop_timer *timer;
};

static void scan_periodically(void *context);

struct feed *feed_new(struct qmgr *q)
{
    struct feed *f = NEW(struct feed);

    f->q = q;
    map_init(&f->known);
    list_init(&f->fresh);
    list_init(&f->deferred);
    f->timer = loop_after(q->loop, q->config->queue_run_delay * 1000, scan_periodically, f);
    return f;
}

static void scan_periodically(void *context)
{
    struct feed *f = context;

    f->timer = loop_after(f->q->loop, f->q->config->queue_run_delay * 1000, scan_periodically, f);
    feed_scan(f, SCAN_DEFERRED | SCAN_INCOMING);
}

static struct str constant_name(struct str queue_name)
{
    return str_eq(queue_name, STR("deferred")) ? STR("deferred")
           : str_eq(queue_name, STR("active")) ? STR("active")
                                               : STR("incoming");
}

static void enqueue(struct found *e)
{
    bool deferred = str_eq(e->queue_name, STR("deferred"));

    list_append(deferred ? &e->feed->deferred : &e->feed->fresh, &e->link);
}

static void forget(struct found *e)
{
    list_remove(&e->link);
    loop_cancel(e->feed->q->loop, e->timer);
    map_remove(&e->feed->known, e->id);
    free(e);
}

/* NULL: it is in memory, or known here already. */
static struct found *note(struct feed *f, struct str queue_name, struct str id)
{
    struct found *e;

    if (!queue_id_is_valid(id) || map_get(&f->q->messages, id) || map_get(&f->known, id))
        return NULL;
    e = NEW(struct found);
    e->feed = f;
    e->queue_name = constant_name(queue_name);
    memcpy(e->text, id.p, id.n);
    e->id = (struct str){e->text, id.n};
    map_put(&f->known, e->id, e);
    return e;
}

static void its_time_has_come(void *context)
{
    struct found *e = context;

    e->timer = NULL;
    enqueue(e);
    feed_run(e->feed);
}

void feed_later(struct feed *f, struct str queue_name, struct str id, long seconds)
{
    struct found *e = note(f, queue_name, id);

    if (e)
        e->timer = loop_after(f->q->loop, seconds * 1000, its_time_has_come, e);
}

static bool uses_index(struct qmgr *q)
{
    return q->index_is_complete && !atomic_load(&q->index_failed);
}

bool feed_is_empty(const struct feed *f)
{
    return f->known.n == 0;
}

static void take_due(struct feed *f);

/* ---- reading files ---- */
static void load_done(void *context)
{
    struct load *l = context;
    struct feed *f = l->context;
    struct qmgr *q = f->q;
    struct found *e = map_get(&f->known, l->id);
    struct message *msg = l->message;
    enum load_result result = l->result;
    long age = l->age;

    f->n_loading--;
    load_free(l);
    if (q->draining) {
        if (msg)
            message_discard(msg);
        return;
    }
    if (msg == NULL && e->again && !map_get(&q->messages, e->id)) {
        e->again = e->loading = false;
        e->queue_name = STR("deferred");
        enqueue(e);
    } else if (result == LOAD_LOCKED && !map_get(&q->messages, e->id)) {
        if (age >= SHORT_RETRY_SECONDS) {
            struct log log = *q->log;
            log_set_queue_id(&log, e->id);
            log_info(&log, "skipped, still being delivered");
        }
        e->loading = false;
        e->timer = loop_after(q->loop, SHORT_RETRY_SECONDS * 1000, its_time_has_come, e);
    } else {
        forget(e);
    }
    if (msg && map_get(&q->messages, msg->m.queue_id))
        message_discard(msg);
    else if (msg) {
        q->n_held++;
        message_start(msg);
    }
    feed_run(f);
}

/* ---- what the index says is due ---- */
struct take {
    struct feed *feed;
    struct arena *arena;
    bool all;      /* make everything due first */
    bool flushing; /* the times of what comes are to be ignored */
    struct str *ids;
    size_t n;
    long next;
    enum rc rc;
};

/* It may be known from a time when it was elsewhere. */
static struct found *note_due(struct feed *f, struct str id, bool ignore_times)
{
    struct found *e = map_get(&f->known, id);

    if (e && e->loading) {
        e->again = true;
        e->ignore_times = ignore_times;
        return NULL;
    }
    if (e)
        forget(e);
    e = note(f, STR("deferred"), id);
    if (e)
        e->ignore_times = ignore_times;
    return e;
}

static void take_work(void *context)
{
    struct take *t = context;
    struct qmgr *q = t->feed->q;
    long now = clock_seconds();
    struct why why = {0};

    t->rc = t->all ? queue_index_make_all_due(q->index, now, &why) : RC_OK;
    if (t->rc == RC_OK)
        t->rc = queue_index_take_due(q->index, now, TAKE_AT_ONCE, t->arena, &t->ids, &t->n,
                                     &t->next, &why);
    if (t->rc != RC_OK)
        index_trouble(q, &why);
}

static void take_done(void *context)
{
    struct take *t = context;
    struct feed *f = t->feed;

    f->taking = false;
    f->more_is_due = t->n == TAKE_AT_ONCE;
    if (t->flushing)
        f->flushing = f->more_is_due;
    for (size_t i = 0; i < t->n; i++) {
        struct found *e = note_due(f, t->ids[i], t->flushing);
        if (e)
            enqueue(e);
    }
    if (t->rc != RC_OK)
        feed_scan(f, SCAN_DEFERRED);
    else if (t->next && !f->more_is_due)
        feed_due_at(f, t->next);
    arena_free(t->arena);
    feed_run(f);
}

static void take_due_or_all(struct feed *f, bool all)
{
    struct arena *a;
    struct take *t;

    if (f->q->draining || !uses_index(f->q) || (f->taking && !all))
        return;
    if (!all && !list_is_empty(&f->deferred)) { /* first those that we have */
        f->more_is_due = true;
        return;
    }
    f->taking = true;
    a = arena_new(4096);
    t = arena_new_of(a, struct take);
    *t = (struct take){.feed = f, .arena = a, .all = all, .flushing = all || f->flushing};
    worker_do(f->q->indexer, take_work, take_done, t);
}

static void take_due(struct feed *f)
{
    take_due_or_all(f, false);
}

static void due_now(void *context)
{
    struct feed *f = context;

    f->due_timer = NULL;
    f->due_at = 0;
    take_due(f);
}

void feed_due_at(struct feed *f, long when)
{
    long now = clock_seconds();

    if (!uses_index(f->q) || (f->due_at && f->due_at <= when))
        return;
    loop_cancel(f->q->loop, f->due_timer);
    f->due_at = when;
    f->due_timer = loop_after(f->q->loop, when > now ? (when - now) * 1000 : 0, due_now, f);
}

static struct found *next_found(struct feed *f)
{
    struct link *first = f->turn ? &f->deferred : &f->fresh,
                *second = f->turn ? &f->fresh : &f->deferred;

    f->turn = !f->turn;
    if (list_is_empty(first))
        first = second;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return list_is_empty(first) ? NULL : ITEM_OF(first->next, struct found, link);
}

void feed_run(struct feed *f)
{
    struct qmgr *q = f->q;
    size_t limit = (size_t)q->config->qmgr_message_active_limit;

    while (!q->draining && f->n_loading < LOADS_AT_ONCE && q->n_messages + f->n_loading < limit) {
        struct found *e = next_found(f);
        struct load *l;
        if (e == NULL)
            break;
        list_remove(&e->link);
        if (map_get(&q->messages, e->id)) {
            forget(e);
            continue;
        }
        e->loading = true;
        f->n_loading++;
        l = load_new(q, e->queue_name, e->id, e->ignore_times);
        l->hurried = e->hurried;
        l->context = f;
        worker_do(q->disk, load_work, load_done, l);
    }
    if (f->more_is_due && list_is_empty(&f->deferred))
        take_due(f);
    if (f->missed && list_is_empty(&f->fresh) && q->n_messages < limit) {
        f->missed = false;
        feed_scan(f, SCAN_INCOMING);
    }
}

void feed_missed(struct feed *f)
{
    f->missed = true;
}

/* ---- looking at directories ---- */
static void scan_done(void *context)
{
    struct scan *s = context;
    struct feed *f = s->context;
    unsigned again = f->again;

    for (size_t i = 0; i < s->found.n; i++) {
        struct found *e = note(f, s->found.v[i].queue_name, str_of(s->found.v[i].id));
        if (e) {
            e->ignore_times = s->what & SCAN_IGNORE_TIMES;
            enqueue(e);
        }
    }
    f->scanning = f->again = 0;
    scan_free(s);
    if (again)
        feed_scan(f, again);
    feed_run(f);
}

void feed_scan(struct feed *f, unsigned what)
{
    struct scan *s;

    if (f->q->draining)
        return;
    if (what & SCAN_DEFERRED && uses_index(f->q)) {
        take_due_or_all(f, what & SCAN_IGNORE_TIMES);
        what &= ~(unsigned)SCAN_DEFERRED;
        if ((what & ~(unsigned)SCAN_IGNORE_TIMES) == 0)
            return;
    }
    if (f->scanning) {
        f->again |= what;
        return;
    }
    f->scanning = what;
    s = scan_new(f->q, what);
    s->context = f;
    worker_do(f->q->disk, scan_work, scan_done, s);
}

static void look_everywhere(struct feed *f, struct str id, bool hurried)
{
    struct found *e = map_get(&f->known, id);

    if (e && e->loading)
        e->again = true;
    if (e && !e->loading) /* look again, it may be elsewhere now */
        forget(e);
    e = note(f, STR(""), id);
    if (e == NULL)
        return;
    e->queue_name = STR(""); /* load looks in all queues */
    e->ignore_times = !hurried;
    e->hurried = hurried;
    list_append(&f->fresh, &e->link);
    feed_run(f);
}

void feed_one(struct feed *f, struct str id)
{
    struct message *msg = map_get(&f->q->messages, id);

    if (msg)
        msg->look_again = msg->file_is_gone;
    look_everywhere(f, id, false);
}

void feed_hurry(struct feed *f, struct str id)
{
    struct message *msg = map_get(&f->q->messages, id);

    if (msg)
        msg->hurry_again = true; /* it is just being put back */
    else
        look_everywhere(f, id, true);
}
