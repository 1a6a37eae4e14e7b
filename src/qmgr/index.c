/* The queue manager keeps the queue index: everything in deferred/ stands there. */
#include "queue/index.h"

#include <stdlib.h>

#include "qmgr/qmgr.h"
#include "qmgr/worker.h"
#include "util/memory.h"

enum { COMPARE_EVERY_MS = 3600 * 1000 };

void index_trouble(struct qmgr *q, const struct why *why)
{
    if (atomic_exchange(&q->index_failed, true))
        return;
    log_warning(q->log, "%s; reading the directory deferred instead until the next start",
                why->text);
    queue_index_discard(q->index);
}

static bool is_usable(struct qmgr *q)
{
    return q->index && !atomic_load(&q->index_failed);
}

/* when: of the next attempt; 0: what the time stamp of the file says. Returns it. */
static long put_file(struct qmgr *q, struct str id, long when)
{
    AUTO_ARENA a = arena_new(4096);
    struct queue_entry e = {0};
    struct why why = {0};
    long modified;
    enum rc rc;

    if (!is_usable(q))
        return 0;
    rc = queue_list_file(&q->queue, STR("deferred"), id, a, &e, &modified, &why);
    if (rc == RC_OK) {
        when = when ? when : modified;
        rc = queue_index_put(q->index, &e, when, &why);
    } else if (rc == RC_NONE) { /* postsuper was quicker */
        rc = queue_index_remove(q->index, id, &why);
    }
    if (rc != RC_OK)
        index_trouble(q, &why);
    return when;
}

void index_defer(struct message *msg, long when)
{
    (void)put_file(msg->q, msg->m.queue_id, when);
}

void index_remove(struct qmgr *q, struct str id)
{
    struct why why = {0};

    if (is_usable(q) && queue_index_remove(q->index, id, &why) != RC_OK)
        index_trouble(q, &why);
}

struct file_job {
    struct qmgr *q;
    char id[QUEUE_ID_SIZE];
    long due; /* 0: never */
};

static void forget_work(void *context)
{
    struct file_job *j = context;

    index_remove(j->q, str_of(j->id));
}

static void refresh_work(void *context)
{
    struct file_job *j = context;

    j->due = put_file(j->q, str_of(j->id), 0);
}

static void file_done(void *context)
{
    struct file_job *j = context;

    if (j->due)
        feed_due_at(j->q->feed, j->due);
    free(j);
}

static void do_with_file(struct qmgr *q, struct str id, void (*work)(void *context))
{
    struct file_job *j;

    if (!is_usable(q) || !queue_id_is_valid(id))
        return;
    j = NEW(struct file_job);
    j->q = q;
    memcpy(j->id, id.p, id.n);
    worker_do(q->indexer, work, file_done, j);
}

void index_forget(struct qmgr *q, struct str id)
{
    do_with_file(q, id, forget_work);
}

void index_refresh(struct qmgr *q, struct str id)
{
    do_with_file(q, id, refresh_work);
}

struct compare_job {
    struct qmgr *q;
    enum rc rc;
};

static void compare_again(void *context)
{
    index_start(context);
}

static void compare_work(void *context)
{
    struct compare_job *j = context;
    struct why why = {0};

    j->rc = queue_index_reconcile(j->q->index, &why);
    if (j->rc != RC_OK)
        index_trouble(j->q, &why);
}

static void compare_done(void *context)
{
    struct compare_job *j = context;
    struct qmgr *q = j->q;

    if (j->rc == RC_OK) {
        q->index_is_complete = true;
        loop_after(q->loop, COMPARE_EVERY_MS, compare_again, q);
    }
    free(j);
    feed_scan(q->feed, SCAN_DEFERRED);
}

void index_start(struct qmgr *q)
{
    struct compare_job *j;

    if (!is_usable(q) || q->draining)
        return;
    j = NEW(struct compare_job);
    j->q = q;
    worker_do(q->indexer, compare_work, compare_done, j);
}
