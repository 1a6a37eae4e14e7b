/*
 * The environment of the queue index: opening, growing, and what it remembers about itself.
 *
 * Nothing is synced while it is in use: it is a cache. So after a crash of the machine it is thrown
 * away; "meta" holds the boot id by which that is known.
 */
#include "queue/index_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file.h"
#include "util/memory.h"

#ifdef HAVE_LMDB

enum { FIRST_MAP_BYTES = 32 * 1024 * 1024, READERS = 200, TABLES = 4, STAMP_MAX = 1024 * 1024 };

#    define INDEX_VERSION "1"

static enum rc failed(const char *what, int code, struct why *why)
{
    bool damaged = code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
                   code == MDB_VERSION_MISMATCH || code == MDB_PANIC;

    return FAIL(why, damaged ? RC_PERM : RC_TEMP, "queue index: %s: %s", what, mdb_strerror(code));
}

enum rc index_begin(struct queue_index *ix, bool write, struct index_txn *t, struct why *why)
{
    int code;

    *t = (struct index_txn){.ix = ix};
    pthread_rwlock_rdlock(&ix->growing);
    code = mdb_txn_begin(ix->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
    if (code == MDB_MAP_RESIZED) { /* the writer's process has made it larger */
        pthread_rwlock_unlock(&ix->growing);
        pthread_rwlock_wrlock(&ix->growing);
        mdb_env_set_mapsize(ix->env, 0);
        pthread_rwlock_unlock(&ix->growing);
        pthread_rwlock_rdlock(&ix->growing);
        code = mdb_txn_begin(ix->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
    }
    if (code == 0)
        return RC_OK;
    pthread_rwlock_unlock(&ix->growing);
    return failed("begin", code, why);
}

void index_abort(struct index_txn *t)
{
    if (t->cursor)
        mdb_cursor_close(t->cursor);
    mdb_txn_abort(t->txn);
    pthread_rwlock_unlock(&t->ix->growing);
}

static int commit(struct index_txn *t)
{
    int code;

    if (t->cursor)
        mdb_cursor_close(t->cursor);
    code = mdb_txn_commit(t->txn);
    pthread_rwlock_unlock(&t->ix->growing);
    return code;
}

static enum rc grow(struct queue_index *ix, struct why *why)
{
    MDB_envinfo info;
    int code;

    pthread_rwlock_wrlock(&ix->growing);
    mdb_env_info(ix->env, &info);
    code = mdb_env_set_mapsize(ix->env, info.me_mapsize * 2);
    pthread_rwlock_unlock(&ix->growing);
    return code ? failed("grow", code, why) : RC_OK;
}

enum rc index_write(struct queue_index *ix,
                    enum rc (*change)(struct index_txn *, void *, struct arena *, struct why *),
                    void *context, struct why *why)
{
    AUTO_ARENA a = arena_new(2048);

    for (;;) {
        struct why trouble = {0};
        struct index_txn t;
        enum rc rc;
        int code;
        TRY(index_begin(ix, true, &t, why));
        rc = change(&t, context, a, &trouble);
        if (rc == RC_OK) {
            code = commit(&t);
            if (code == 0)
                return RC_OK;
            rc = failed("commit", code, &trouble);
        } else {
            code = rc == RC_TEMP && strstr(trouble.text, mdb_strerror(MDB_MAP_FULL)) ? MDB_MAP_FULL
                                                                                     : 0;
            index_abort(&t);
        }
        if (code != MDB_MAP_FULL)
            return FAIL(why, rc, "%s", trouble.text);
        TRY(grow(ix, why));
        arena_reset(a);
    }
}

enum rc index_get(struct index_txn *t, MDB_dbi dbi, MDB_val *key, MDB_val *value, struct why *why)
{
    int code = mdb_get(t->txn, dbi, key, value);

    if (code == MDB_NOTFOUND)
        return FAIL(why, RC_NONE, "queue index: not found");
    return code ? failed("get", code, why) : RC_OK;
}

enum rc index_put(struct index_txn *t, MDB_dbi dbi, MDB_val *key, MDB_val *value, struct why *why)
{
    int code = mdb_put(t->txn, dbi, key, value, 0);

    return code ? failed("put", code, why) : RC_OK;
}

enum rc index_delete(struct index_txn *t, MDB_dbi dbi, MDB_val *key, struct why *why)
{
    int code = mdb_del(t->txn, dbi, key, NULL);

    return code && code != MDB_NOTFOUND ? failed("delete", code, why) : RC_OK;
}

enum rc index_cursor(struct index_txn *t, MDB_dbi dbi, struct why *why)
{
    int code;

    if (t->cursor)
        mdb_cursor_close(t->cursor);
    t->cursor = NULL;
    code = mdb_cursor_open(t->txn, dbi, &t->cursor);
    return code ? failed("cursor", code, why) : RC_OK;
}

enum rc index_step(struct index_txn *t, MDB_val *key, MDB_val *value, MDB_cursor_op op,
                   struct why *why)
{
    int code = mdb_cursor_get(t->cursor, key, value, op);

    if (code == MDB_NOTFOUND)
        return FAIL(why, RC_NONE, "queue index: end");
    return code ? failed("read", code, why) : RC_OK;
}

enum rc index_cursor_delete(struct index_txn *t, struct why *why)
{
    int code = mdb_cursor_del(t->cursor, 0);

    return code ? failed("delete", code, why) : RC_OK;
}

/* ---- what it remembers about itself ---- */
static enum rc put_meta(struct index_txn *t, const char *name, struct str value, struct why *why)
{
    MDB_val key = {strlen(name), (void *)name}, v = {value.n, (void *)value.p};

    return value.n ? index_put(t, t->ix->meta, &key, &v, why)
                   : index_delete(t, t->ix->meta, &key, why);
}

static struct str get_meta(struct index_txn *t, const char *name, struct arena *a)
{
    MDB_val key = {strlen(name), (void *)name}, v;

    if (index_get(t, t->ix->meta, &key, &v, NULL) != RC_OK)
        return STR("");
    return arena_copy(a, (struct str){v.mv_data, v.mv_size});
}

static struct str boot_id(struct arena *a)
{
    struct str text = STR_NONE;

    if (file_read("/proc/sys/kernel/random/boot_id", 4096, a, &text, NULL) != RC_OK)
        return STR("unknown");
    return str_trim(text);
}

static struct str queue_identity(const struct queue *q, struct arena *a)
{
    struct stat st = {0};

    (void)fstat(q->dir, &st);
    return arena_printf(a, "%lx:%lx hash %ld", (unsigned long)st.st_dev, (unsigned long)st.st_ino,
                        q->hash_depth);
}

static void stamp_directory(const struct queue *q, const char *path, int depth, struct buf *b)
{
    struct stat st;

    if (fstatat(q->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return;
    buf_addf(b, "%s %lu %ld.%09ld\n", path, (unsigned long)st.st_ino, st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec);
    for (const char *c = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
         depth > 0 && *c; c++) {
        char below[QUEUE_PATH_SIZE];
        if (snprintf(below, sizeof below, "%s/%c", path, *c) < (int)sizeof below)
            stamp_directory(q, below, depth - 1, b);
    }
}

/* Change times of the directories of deferred/: the same only if nobody has added or removed. */
static void stamp(const struct queue *q, struct buf *b)
{
    buf_init(b, STAMP_MAX);
    stamp_directory(q, "deferred", q->hash_depth < 3 ? (int)q->hash_depth : 0, b);
}

static enum rc set_complete(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    (void)a;
    return put_meta(t, "complete", *(const struct str *)context, why);
}

enum rc index_set_complete(struct queue_index *ix, struct why *why)
{
    struct str yes = STR("1");

    return index_write(ix, set_complete, &yes, why);
}

bool queue_index_is_complete(struct queue_index *ix)
{
    AUTO_ARENA a = arena_new(256);
    struct index_txn t;
    bool complete;

    if (index_begin(ix, false, &t, NULL) != RC_OK)
        return false;
    complete = get_meta(&t, "complete", a).n > 0;
    index_abort(&t);
    return complete;
}

static struct str owner(struct arena *a)
{
    return arena_printf(a, "%ld", (long)getpid());
}

static enum rc set_stamp(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    if (!str_eq(get_meta(t, "owner", a), owner(a)))
        return RC_OK;
    return put_meta(t, "stamp", *(const struct str *)context, why);
}

void queue_index_mark_clean(struct queue_index *ix)
{
    AUTO_BUF b;
    struct str text;
    struct why why;

    stamp(ix->q, &b);
    text = b.over ? STR("") : buf_str(&b);
    if (index_write(ix, set_stamp, &text, &why) == RC_OK)
        mdb_env_sync(ix->env, 1);
}

/* ---- opening ---- */
static int open_tables(struct queue_index *ix)
{
    MDB_txn *txn;
    unsigned flags = ix->writer ? MDB_CREATE : 0;
    int code = mdb_txn_begin(ix->env, NULL, ix->writer ? 0 : MDB_RDONLY, &txn);

    if (code)
        return code;
    if ((code = mdb_dbi_open(txn, "messages", flags, &ix->messages)) == 0 &&
        (code = mdb_dbi_open(txn, "due", flags, &ix->due)) == 0 &&
        (code = mdb_dbi_open(txn, "sites", flags, &ix->sites)) == 0 &&
        (code = mdb_dbi_open(txn, "meta", flags, &ix->meta)) == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

static int open_environment(struct queue_index *ix)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD |
                     (ix->writer ? MDB_NOSYNC | MDB_NOMETASYNC : MDB_RDONLY);
    struct stat st;
    int code = mdb_env_create(&ix->env);

    if (code)
        return code;
    mdb_env_set_maxdbs(ix->env, TABLES);
    mdb_env_set_maxreaders(ix->env, READERS);
    if (ix->writer)
        mdb_env_set_mapsize(ix->env, stat(ix->path, &st) == 0 && st.st_size > FIRST_MAP_BYTES
                                         ? (size_t)st.st_size * 2
                                         : FIRST_MAP_BYTES);
    code = mdb_env_open(ix->env, ix->path, flags, 0600);
    if (code == 0)
        code = open_tables(ix);
    if (code) {
        mdb_env_close(ix->env);
        ix->env = NULL;
    }
    return code;
}

/* Is what stands there ours, whole, and about this queue? Then note that it is in use. */
static enum rc adopt(struct index_txn *t, void *context, struct arena *a, struct why *why)
{
    struct queue_index *ix = t->ix;
    struct str boot = boot_id(a), identity = queue_identity(ix->q, a),
               old = get_meta(t, "stamp", a);
    bool same_boot = str_eq(get_meta(t, "boot", a), boot);
    AUTO_BUF now;

    stamp(ix->q, &now);
    ix->was_clean = old.n && str_eq(old, buf_str(&now)) && get_meta(t, "complete", a).n;
    *(bool *)context = (old.n || same_boot) && str_eq(get_meta(t, "queue", a), identity) &&
                       str_eq(get_meta(t, "version", a), STR(INDEX_VERSION));
    if (!*(bool *)context) {
        int code;
        ix->was_clean = false;
        if ((code = mdb_drop(t->txn, ix->messages, 0)) || (code = mdb_drop(t->txn, ix->due, 0)) ||
            (code = mdb_drop(t->txn, ix->sites, 0)))
            return failed("empty", code, why);
    }
    TRY(put_meta(t, "version", STR(INDEX_VERSION), why));
    TRY(put_meta(t, "queue", identity, why));
    TRY(put_meta(t, "boot", boot, why));
    TRY(put_meta(t, "owner", owner(a), why));
    TRY(put_meta(t, "stamp", STR(""), why));
    return ix->was_clean ? RC_OK : put_meta(t, "complete", STR(""), why);
}

static void remove_files(const struct queue_index *ix)
{
    char lock[sizeof ix->path + 8];

    snprintf(lock, sizeof lock, "%s-lock", ix->path);
    unlink(ix->path);
    unlink(lock);
}

/* What cannot be used any more makes place for a new one. */
static enum rc open_writer(struct queue_index *ix, struct why *why)
{
    for (int attempt = 0;; attempt++) {
        int code = open_environment(ix);
        bool kept;
        int dead;
        enum rc rc = code ? failed(ix->path, code, why) : index_write(ix, adopt, &kept, why);
        if (rc == RC_OK) {
            mdb_reader_check(ix->env, &dead);
            return RC_OK;
        }
        if (ix->env)
            mdb_env_close(ix->env);
        ix->env = NULL;
        if (attempt > 0 || code == EACCES || code == ENOSPC || code == ENOENT)
            return rc;
        remove_files(ix);
    }
}

enum rc queue_index_open(const struct queue *q, struct str data_directory, bool writer,
                         struct queue_index **out, struct why *why)
{
    struct queue_index *ix = NEW(struct queue_index);
    enum rc rc = RC_OK;
    int code;

    ix->q = q;
    ix->writer = writer;
    snprintf(ix->path, sizeof ix->path, STR_FMT "/queue_index.lmdb", STR_ARG(data_directory));
    pthread_rwlock_init(&ix->growing, NULL);
    if (writer)
        rc = open_writer(ix, why);
    else if ((code = open_environment(ix)))
        rc = failed(ix->path, code, why);
    if (rc == RC_OK)
        *out = ix;
    else
        queue_index_close(ix);
    return rc;
}

void queue_index_discard(struct queue_index *ix)
{
    struct str no = STR("");

    if (index_write(ix, set_complete, &no, NULL) != RC_OK)
        remove_files(ix);
}

void queue_index_give_to(struct queue_index *ix, uid_t uid, gid_t gid)
{
    char lock[sizeof ix->path + 8];

    snprintf(lock, sizeof lock, "%s-lock", ix->path);
    (void)!lchown(ix->path, uid, gid);
    (void)!lchown(lock, uid, gid);
}

void queue_index_close(struct queue_index *ix)
{
    if (ix == NULL)
        return;
    if (ix->env)
        mdb_env_close(ix->env);
    pthread_rwlock_destroy(&ix->growing);
    free(ix);
}

#endif
