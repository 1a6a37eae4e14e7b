/* Without LMDB there is no index: everybody reads the directories. */
#include "queue/index.h"

#ifndef HAVE_LMDB

static enum rc none(struct why *why)
{
    return FAIL(why, RC_CONFIG, "queue index: built without LMDB");
}

enum rc queue_index_open(const struct queue *q, struct str data_directory, bool writer,
                         struct queue_index **out, struct why *why)
{
    (void)q, (void)data_directory, (void)writer, (void)out;
    return none(why);
}

void queue_index_give_to(struct queue_index *ix, uid_t uid, gid_t gid)
{
    (void)ix, (void)uid, (void)gid;
}

void queue_index_close(struct queue_index *ix)
{
    (void)ix;
}

bool queue_index_is_complete(struct queue_index *ix)
{
    (void)ix;
    return false;
}

enum rc queue_index_put(struct queue_index *ix, const struct queue_entry *e, long next_attempt,
                        struct why *why)
{
    (void)ix, (void)e, (void)next_attempt;
    return none(why);
}

enum rc queue_index_remove(struct queue_index *ix, struct str id, struct why *why)
{
    (void)ix, (void)id;
    return none(why);
}

enum rc queue_index_take_due(struct queue_index *ix, long now, size_t max, struct arena *a,
                             struct str **ids, size_t *n, long *next, struct why *why)
{
    (void)ix, (void)now, (void)max, (void)a, (void)ids, (void)n, (void)next;
    return none(why);
}

enum rc queue_index_make_all_due(struct queue_index *ix, long now, struct why *why)
{
    (void)ix, (void)now;
    return none(why);
}

enum rc queue_index_reconcile(struct queue_index *ix, struct why *why)
{
    (void)ix;
    return none(why);
}

void queue_index_discard(struct queue_index *ix)
{
    (void)ix;
}

void queue_index_mark_clean(struct queue_index *ix)
{
    (void)ix;
}

enum rc queue_index_list(struct queue_index *ix,
                         bool (*each)(void *context, const struct queue_entry *entry),
                         void *context, struct why *why)
{
    (void)ix, (void)each, (void)context;
    return none(why);
}

enum rc queue_index_site(struct queue_index *ix, struct str domain, struct arena *a,
                         struct str **ids, size_t *n, struct why *why)
{
    (void)ix, (void)domain, (void)a, (void)ids, (void)n;
    return none(why);
}

enum rc queue_index_get(struct queue_index *ix, struct str id, struct arena *a,
                        struct queue_entry *e, long *next_attempt, struct why *why)
{
    (void)ix, (void)id, (void)a, (void)e, (void)next_attempt;
    return none(why);
}

#endif
