/* The index as services read it, together with the directories. */
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "queue/index.h"
#include "util/map.h"
#include "util/memory.h"

struct queue_index_reader {
    const struct queue *q;
    struct str data_directory;
    pthread_mutex_t lock; /* guards below */
    struct queue_index *index;
    dev_t device;
    ino_t inode;
    long users;
};

struct queue_index_reader *queue_index_reader_new(const struct queue *q, struct str data_directory)
{
    struct queue_index_reader *r = NEW(struct queue_index_reader);

    r->q = q;
    r->data_directory = data_directory;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

static bool is_current(const struct queue_index_reader *r, const struct stat *st)
{
    return r->index && st->st_dev == r->device && st->st_ino == r->inode;
}

static void open_index(struct queue_index_reader *r, const struct stat *st)
{
    queue_index_close(r->index);
    r->index = NULL;
    if (queue_index_open(r->q, r->data_directory, false, &r->index, NULL) != RC_OK)
        return;
    r->device = st->st_dev;
    r->inode = st->st_ino;
}

struct queue_index *queue_index_reader_get(struct queue_index_reader *r)
{
    struct queue_index *index = NULL;
    char path[4096];
    struct stat st;

    snprintf(path, sizeof path, STR_FMT "/queue_index.lmdb", STR_ARG(r->data_directory));
    if (stat(path, &st) < 0)
        return NULL;
    pthread_mutex_lock(&r->lock);
    if (!is_current(r, &st) && r->users == 0)
        open_index(r, &st);
    if (is_current(r, &st) && queue_index_is_complete(r->index)) {
        index = r->index;
        r->users++;
    }
    pthread_mutex_unlock(&r->lock);
    return index;
}

void queue_index_reader_put(struct queue_index_reader *r)
{
    pthread_mutex_lock(&r->lock);
    r->users--;
    pthread_mutex_unlock(&r->lock);
}

struct listing {
    const struct map *active;
    struct map seen; /* of those that are active: in which part of the list */
    const char *part;
    bool (*each)(void *context, const struct queue_entry *entry);
    void *context;
    bool stopped;
};

static bool pass_on(void *context, const struct queue_entry *entry)
{
    struct listing *l = context;

    l->stopped = !l->each(l->context, entry);
    if (l->active && map_get(l->active, entry->queue_id))
        map_put(&l->seen, entry->queue_id, (void *)l->part);
    return !l->stopped;
}

static bool pass_on_deferred(void *context, const struct queue_entry *entry)
{
    struct listing *l = context;
    struct queue_entry e = *entry;

    const char *seen = map_get(&l->seen, e.queue_id);

    if (seen && seen != l->part) /* it moved while we looked */
        return true;
    if (l->active && map_get(l->active, e.queue_id))
        e.queue_name = STR("active");
    return pass_on(context, &e);
}

/* What qmgr has taken from hold/ a moment ago is not in the index yet. */
static void list_others(struct listing *l, const struct queue *q)
{
    AUTO_ARENA a = arena_new(4096);

    for (struct map_item *i = NULL; l->active && !l->stopped && (i = map_next(l->active, i));) {
        struct queue_entry e = {0};
        long modified;
        if (map_get(&l->seen, i->key) ||
            queue_list_file(q, STR("deferred"), i->key, a, &e, &modified, NULL) != RC_OK)
            continue;
        e.queue_name = STR("active");
        e.n_recipients = e.n_recipients > 100 ? 100 : e.n_recipients;
        l->stopped = !l->each(l->context, &e);
        arena_reset(a);
    }
}

enum rc queue_index_list_queue(struct queue_index *ix, const struct queue *q,
                               const struct map *active,
                               bool (*each)(void *context, const struct queue_entry *entry),
                               void *context, struct why *why)
{
    static const char *const before[] = {"maildrop", "active", "incoming"}, *const after[] = {
                                                                                "hold"};
    struct listing l = {.active = active, .each = each, .context = context, .part = "fresh"};
    enum rc rc;

    map_init(&l.seen);
    rc = queue_list_some(q, before, 3, active, pass_on, &l, why);
    l.part = "deferred";
    if (rc == RC_OK && !l.stopped)
        rc = queue_index_list(ix, pass_on_deferred, &l, why);
    if (rc == RC_OK)
        list_others(&l, q);
    if (rc == RC_OK && !l.stopped)
        rc = queue_list_some(q, after, 1, NULL, pass_on, &l, why);
    map_done(&l.seen);
    return rc;
}
