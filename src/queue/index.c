#include "queue/index.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue/index_db.h"
#include "util/clock.h"
#include "util/memory.h"

#ifdef HAVE_LMDB

enum {
    ENTRY_RECIPIENTS = 100,
    VALUE_MAX = IPC_FRAME_MAX,
    DUE_STAMP_BYTES = 8,
    DOMAIN_MAX = 255,
    LIST_CHUNK = 200
};

static const MDB_val nothing = {0, NULL};

static MDB_val as_value(struct str s)
{
    return (MDB_val){s.n, (void *)s.p};
}

static struct str as_str(MDB_val v)
{
    return (struct str){v.mv_data, v.mv_size};
}

/* Big-endian, so that keys sort by time. */
static struct str due_key(char space[64], long when, struct str id)
{
    unsigned long stamp = when > 0 ? (unsigned long)when : 0;

    for (int i = 0; i < DUE_STAMP_BYTES; i++)
        space[i] = (char)(stamp >> (8 * (DUE_STAMP_BYTES - 1 - i)));
    memcpy(space + DUE_STAMP_BYTES, id.p, id.n);
    return (struct str){space, DUE_STAMP_BYTES + id.n};
}

static long due_time(struct str key)
{
    unsigned long stamp = 0;

    for (int i = 0; i < DUE_STAMP_BYTES; i++)
        stamp = stamp << 8 | (unsigned char)key.p[i];
    return (long)stamp;
}

static struct str site_key(char space[320], struct str domain, struct str id)
{
    size_t n = domain.n;

    memcpy(space, domain.p, n);
    str_lower_bytes(space, n);
    space[n++] = '\0';
    memcpy(space + n, id.p, id.n);
    return (struct str){space, n + id.n};
}

static struct str domain_of(struct str address)
{
    ssize_t at = str_rindex(address, '@');

    return at < 0 ? STR("") : str_head(str_from(address, (size_t)at + 1), DOMAIN_MAX);
}

/* ---- one message ---- */
static enum rc encode(const struct queue_entry *e, long next_attempt, struct buf *b,
                      struct why *why)
{
    struct queue_entry brief = *e;

    if (brief.n_recipients > ENTRY_RECIPIENTS) {
        brief.n_recipients = ENTRY_RECIPIENTS;
        brief.more = true;
    }
    buf_reset(b);
    buf_add(b, (struct str){(const char *)&next_attempt, sizeof next_attempt});
    if (ipc_encode(b, IPC_queue_entry, &brief, why) == RC_OK)
        return RC_OK;
    brief.n_recipients = 0; /* something is longer than the format allows: the file tells */
    brief.more = true;
    brief.sender = str_head(brief.sender, 1024);
    buf_reset(b);
    buf_add(b, (struct str){(const char *)&next_attempt, sizeof next_attempt});
    return ipc_encode(b, IPC_queue_entry, &brief, why);
}

static enum rc decode(struct str value, struct arena *a, struct queue_entry *e, long *next_attempt,
                      struct why *why)
{
    if (value.n < sizeof *next_attempt)
        return FAIL(why, RC_PERM, "queue index: damaged entry");
    memcpy(next_attempt, value.p, sizeof *next_attempt);
    return ipc_decode(str_from(value, sizeof *next_attempt), IPC_queue_entry, a, e, why);
}

static enum rc get_entry(struct index_txn *t, struct str id, struct arena *a, struct queue_entry *e,
                         long *next_attempt, struct why *why)
{
    MDB_val key = as_value(id), value;

    TRY(index_get(t, t->ix->messages, &key, &value, why));
    return decode(as_str(value), a, e, next_attempt, why);
}

static enum rc put_sites(struct index_txn *t, const struct queue_entry *e, bool present,
                         struct why *why)
{
    char space[320];
    struct str last = STR_NONE;

    for (size_t i = 0; i < e->n_recipients; i++) {
        struct str domain = domain_of(e->recipients[i].address);
        MDB_val key, none = nothing;
        if (domain.n == 0 || str_eq_nocase(domain, last))
            continue;
        last = domain;
        key = as_value(site_key(space, domain, e->queue_id));
        TRY(present ? index_put(t, t->ix->sites, &key, &none, why)
                    : index_delete(t, t->ix->sites, &key, why));
    }
    return RC_OK;
}

static enum rc put_due(struct index_txn *t, struct str id, long when, bool present, struct why *why)
{
    char space[64];
    MDB_val key = as_value(due_key(space, when, id)), none = nothing;

    return present ? index_put(t, t->ix->due, &key, &none, why)
                   : index_delete(t, t->ix->due, &key, why);
}

/* With everything that points to it. RC_NONE: it was not there. */
static enum rc drop_entry(struct index_txn *t, struct str id, struct arena *a, struct why *why)
{
    struct queue_entry e = {0};
    MDB_val key = as_value(id);
    long when = 0;
    enum rc rc = get_entry(t, id, a, &e, &when, why);

    if (rc == RC_NONE || rc == RC_TEMP)
        return rc;
    if (rc == RC_OK) {
        TRY(put_due(t, id, when, false, why));
        TRY(put_sites(t, &e, false, why));
    }
    return index_delete(t, t->ix->messages, &key, why);
}

static enum rc put_entry(struct index_txn *t, const struct queue_entry *e, long next_attempt,
                         struct arena *a, struct why *why)
{
    MDB_val key = as_value(e->queue_id), value;
    AUTO_BUF b;
    enum rc rc;

    buf_init(&b, VALUE_MAX);
    rc = drop_entry(t, e->queue_id, a, why);
    if (rc != RC_OK && rc != RC_NONE)
        return rc;
    TRY(encode(e, next_attempt, &b, why));
    value = as_value(buf_str(&b));
    TRY(index_put(t, t->ix->messages, &key, &value, why));
    TRY(put_due(t, e->queue_id, next_attempt, true, why));
    return put_sites(t, e, true, why);
}

struct put_job {
    const struct queue_entry *e;
    long when;
};

static enum rc do_put(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    const struct put_job *j = context;

    return put_entry(t, j->e, j->when, a, why);
}

enum rc queue_index_put(struct queue_index *ix, const struct queue_entry *e, long next_attempt,
                        struct why *why)
{
    struct put_job j = {e, next_attempt};

    if (e->queue_id.n == 0 || e->queue_id.n >= QUEUE_ID_SIZE)
        return FAIL(why, RC_PERM, "queue index: bad queue id");
    return index_write(ix, do_put, &j, why);
}

static enum rc do_remove(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    enum rc rc = drop_entry(t, *(const struct str *)context, a, why);

    return rc == RC_NONE ? RC_OK : rc;
}

enum rc queue_index_remove(struct queue_index *ix, struct str id, struct why *why)
{
    return index_write(ix, do_remove, &id, why);
}

/* ---- what is due ---- */
struct take_job {
    long now, next;
    size_t max;
    struct arena *result;
    VEC(struct str) ids;
};

static enum rc do_take(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    struct take_job *j = context;
    MDB_val key, value;
    enum rc rc;

    (void)a;
    j->ids.n = 0;
    j->next = 0;
    TRY(index_cursor(t, t->ix->due, why));
    while ((rc = index_step(t, &key, &value, MDB_FIRST, why)) == RC_OK) {
        struct str k = as_str(key), id = str_from(k, DUE_STAMP_BYTES);
        j->next = k.n > DUE_STAMP_BYTES ? due_time(k) : 0;
        if (j->next > j->now || j->ids.n == j->max)
            return RC_OK;
        if (id.n) {
            id = arena_copy(j->result, id);
            vec_add(j->result, &j->ids, id);
        }
        TRY(index_cursor_delete(t, why));
        j->next = 0;
    }
    return rc == RC_NONE ? RC_OK : rc;
}

enum rc queue_index_take_due(struct queue_index *ix, long now, size_t max, struct arena *a,
                             struct str **ids, size_t *n, long *next, struct why *why)
{
    struct take_job j = {.now = now, .max = max, .result = a};

    TRY(index_write(ix, do_take, &j, why));
    *ids = j.ids.v;
    *n = j.ids.n;
    *next = j.next;
    return RC_OK;
}

struct back_job {
    struct str id;
    long when;
};

static enum rc do_give_back(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    const struct back_job *j = context;
    struct queue_entry e = {0};
    long old;
    enum rc rc = get_entry(t, j->id, a, &e, &old, why);

    if (rc == RC_NONE)
        return RC_OK;
    if (rc != RC_OK)
        return rc;
    return put_entry(t, &e, j->when, a, why);
}

struct all_job {
    long now;
    bool done;
};

/* The entries keep their old time, which only tells where their key in "due" was: remember zero. */
static enum rc do_all_due(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    struct all_job *j = context;
    char space[64];
    MDB_val key, value;
    enum rc rc;

    j->done = false;
    TRY(index_cursor(t, t->ix->due, why));
    for (size_t i = 0; i < INDEX_BATCH; i++) {
        struct str id;
        key = as_value(due_key(space, j->now + 1, STR("")));
        rc = index_step(t, &key, &value, MDB_SET_RANGE, why);
        if (rc == RC_NONE) {
            j->done = true;
            return RC_OK;
        }
        if (rc != RC_OK)
            return rc;
        id = arena_copy(a, str_from(as_str(key), DUE_STAMP_BYTES));
        TRY(index_cursor_delete(t, why));
        TRY(do_give_back(t, &(struct back_job){id, j->now}, a, why));
        TRY(index_cursor(t, t->ix->due, why));
    }
    return RC_OK;
}

enum rc queue_index_make_all_due(struct queue_index *ix, long now, struct why *why)
{
    struct all_job j = {.now = now};

    while (!j.done)
        TRY(index_write(ix, do_all_due, &j, why));
    return RC_OK;
}

/* ---- reading ---- */
enum rc queue_index_get(struct queue_index *ix, struct str id, struct arena *a,
                        struct queue_entry *e, long *next_attempt, struct why *why)
{
    struct index_txn t;
    enum rc rc;

    TRY(index_begin(ix, false, &t, why));
    rc = get_entry(&t, id, a, e, next_attempt, why);
    index_abort(&t);
    return rc;
}

struct chunk {
    struct str last; /* where to go on */
    VEC(struct queue_entry) entries;
};

/* Copy some entries, so that no slow reader keeps old pages in use. */
static enum rc read_chunk(struct queue_index *ix, struct chunk *c, struct arena *a, struct why *why)
{
    struct index_txn t;
    MDB_val key = as_value(c->last), value;
    MDB_cursor_op op = c->last.n ? MDB_SET_RANGE : MDB_FIRST;
    enum rc rc;

    TRY(index_begin(ix, false, &t, why));
    rc = index_cursor(&t, ix->messages, why);
    while (rc == RC_OK && c->entries.n < LIST_CHUNK) {
        struct queue_entry e = {0};
        long when;
        rc = index_step(&t, &key, &value, op, why);
        if (rc != RC_OK)
            break;
        op = MDB_NEXT;
        if (str_eq(as_str(key), c->last)) /* the last one of the chunk before */
            continue;
        rc = decode(as_str(value), a, &e, &when, why);
        if (rc == RC_OK)
            vec_add(a, &c->entries, e);
    }
    index_abort(&t);
    return rc;
}

static bool give_entry(struct queue_index *ix, const struct queue_entry *e, struct arena *a,
                       bool (*each)(void *, const struct queue_entry *), void *context)
{
    struct queue_entry whole = {0};
    struct why why;
    long modified;

    if (!e->more)
        return each(context, e);
    if (queue_list_file(ix->q, STR("deferred"), e->queue_id, a, &whole, &modified, &why) != RC_OK)
        return true;
    while (whole.n_recipients > ENTRY_RECIPIENTS) {
        struct queue_entry part = whole;
        part.n_recipients = ENTRY_RECIPIENTS;
        part.more = true;
        if (!each(context, &part))
            return false;
        whole.recipients += ENTRY_RECIPIENTS;
        whole.n_recipients -= ENTRY_RECIPIENTS;
    }
    return each(context, &whole);
}

enum rc queue_index_list(struct queue_index *ix,
                         bool (*each)(void *context, const struct queue_entry *entry),
                         void *context, struct why *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    char last[QUEUE_ID_SIZE] = "";
    enum rc rc;

    do {
        struct chunk c = {.last = str_of(last)};
        rc = read_chunk(ix, &c, a, why);
        for (size_t i = 0; i < c.entries.n; i++) {
            if (!give_entry(ix, &c.entries.v[i], a, each, context))
                return RC_OK;
            snprintf(last, sizeof last, STR_FMT, STR_ARG(c.entries.v[i].queue_id));
        }
        arena_reset(a);
    } while (rc == RC_OK);
    return rc == RC_NONE ? RC_OK : rc;
}

enum rc queue_index_site(struct queue_index *ix, struct str domain, struct arena *a,
                         struct str **ids, size_t *n, struct why *why)
{
    VEC(struct str) list = {0};
    char space[320];
    struct str start;
    MDB_val key, value;
    struct index_txn t;
    enum rc rc;

    if (domain.n > DOMAIN_MAX)
        return FAIL(why, RC_PERM, "domain name too long");
    start = site_key(space, domain, STR(""));
    key = as_value(start);
    TRY(index_begin(ix, false, &t, why));
    rc = index_cursor(&t, ix->sites, why);
    for (MDB_cursor_op op = MDB_SET_RANGE; rc == RC_OK; op = MDB_NEXT) {
        struct str id;
        rc = index_step(&t, &key, &value, op, why);
        if (rc != RC_OK || !str_has_prefix(as_str(key), start))
            break;
        id = arena_copy(a, str_from(as_str(key), start.n));
        vec_add(a, &list, id);
    }
    index_abort(&t);
    if (rc != RC_OK && rc != RC_NONE)
        return rc;
    *ids = list.v;
    *n = list.n;
    return RC_OK;
}

/* ---- comparing with the files ---- */
struct check {
    struct queue_index *ix;
    char last[QUEUE_ID_SIZE];
    bool end;
    struct why why;
    enum rc rc;
    VEC(struct str) unknown;
    struct arena *arena;
};

static bool is_due_at(struct index_txn *t, struct str id, struct str value, long when)
{
    char space[64];
    MDB_val key = as_value(due_key(space, when, id)), unused;
    long stored = 0;

    if (value.n >= sizeof stored)
        memcpy(&stored, value.p, sizeof stored);
    return stored == when && index_get(t, t->ix->due, &key, &unused, NULL) == RC_OK;
}

/* A batch of entries: is the file there, and is the time right? */
static enum rc check_batch(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    struct check *c = context;
    char last[QUEUE_ID_SIZE];

    memcpy(last, c->last, sizeof last);
    for (size_t i = 0; i < INDEX_BATCH; i++) {
        MDB_val key = as_value(str_of(last)), value;
        char path[QUEUE_PATH_SIZE];
        struct stat st;
        struct str id;
        enum rc rc;
        TRY(index_cursor(t, t->ix->messages, why));
        rc = index_step(t, &key, &value, last[0] ? MDB_SET_RANGE : MDB_FIRST, why);
        if (rc == RC_OK && str_eq(as_str(key), str_of(last)))
            rc = index_step(t, &key, &value, MDB_NEXT, why);
        if (rc == RC_NONE) {
            c->end = true;
            break;
        }
        if (rc != RC_OK)
            return rc;
        id = arena_copy(a, str_head(as_str(key), QUEUE_ID_SIZE - 1));
        snprintf(last, sizeof last, "%s", id.p);
        queue_path(t->ix->q, STR("deferred"), id, path);
        if (fstatat(t->ix->q->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
            TRY(do_remove(t, &id, a, why));
        else if (!is_due_at(t, id, as_str(value), st.st_mtim.tv_sec))
            TRY(do_give_back(t, &(struct back_job){id, st.st_mtim.tv_sec}, a, why));
    }
    memcpy(c->last, last, sizeof last);
    return RC_OK;
}

static enum rc add_unknown(struct check *c)
{
    for (size_t i = 0; i < c->unknown.n; i++) {
        AUTO_ARENA a = arena_new(4096);
        struct queue_entry e = {0};
        long modified;
        enum rc rc =
            queue_list_file(c->ix->q, STR("deferred"), c->unknown.v[i], a, &e, &modified, &c->why);
        if (rc == RC_OK)
            rc = queue_index_put(c->ix, &e, modified, &c->why);
        if (rc != RC_OK && rc != RC_NONE)
            return rc;
    }
    c->unknown.n = 0;
    return RC_OK;
}

static bool check_name(void *context, struct str id, const char *path)
{
    struct check *c = context;
    AUTO_ARENA a = arena_new(1024);
    struct queue_entry e;
    long when;

    (void)path;
    if (!queue_id_is_valid(id))
        return true;
    c->rc = queue_index_get(c->ix, id, a, &e, &when, &c->why);
    if (c->rc == RC_NONE) {
        struct str copy = arena_copy(c->arena, id);
        vec_add(c->arena, &c->unknown, copy);
        c->rc = RC_OK;
    }
    if (c->rc == RC_OK && c->unknown.n >= INDEX_BATCH)
        c->rc = add_unknown(c);
    return c->rc == RC_OK;
}

enum rc queue_index_reconcile(struct queue_index *ix, struct why *why)
{
    AUTO_ARENA arena = arena_new(4096);
    struct check c = {.ix = ix, .arena = arena};
    enum rc rc;

    if (ix->was_clean) {
        ix->was_clean = false; /* the next time somebody may have touched them */
        return index_set_complete(ix, why);
    }
    while (!c.end)
        TRY(index_write(ix, check_batch, &c, why));
    rc = queue_scan(ix->q, STR("deferred"), check_name, &c, why);
    if (rc == RC_NONE)
        rc = RC_OK;
    if (rc == RC_OK && c.rc == RC_OK)
        c.rc = add_unknown(&c);
    if (rc == RC_OK && c.rc != RC_OK)
        rc = FAIL(why, c.rc, "%s", c.why.text);
    TRY(rc);
    return index_set_complete(ix, why);
}

#endif
