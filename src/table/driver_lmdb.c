/*
 * lmdb: one file (MDB_NOSUBDIR), as Postfix keeps it.
 *
 * Postfix opens these files with MDB_NOLOCK and locks them with flock() instead: shared for a
 * lookup, exclusive for a change. So do we. table.c lets one thread at a time in here; other
 * handles have descriptors, and so locks, of their own.
 *
 * Making a table is one transaction that empties the file, fills it and commits: readers see the
 * old table or the new one. Since a transaction cannot outgrow the map, what was put is also kept
 * in memory, and done again with a larger map when MDB_MAP_FULL says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/file.h>
#include <unistd.h>

#include "table/driver.h"
#include "table/settings.h"
#include "util/buf.h"
#include "util/file.h"

struct entry {
    struct str key, value;
};

struct lmdb {
    struct arena *arena;
    const char *path;
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *making; /* TABLE_CREATE: the transaction */
    size_t map_size;
    int lock_fd;
    VEC(struct entry) made; /* TABLE_CREATE: all that was put */
    struct buf last;        /* next(): the key it returned */
    unsigned flags;         /* of the table */
};

static MDB_val value_of(struct str s)
{
    return (MDB_val){.mv_size = s.n, .mv_data = (void *)s.p};
}

static struct str str_of_value(MDB_val v)
{
    return (struct str){v.mv_data, v.mv_size};
}

static enum rc error(const struct lmdb *db, const char *what, int code, struct why *why)
{
    return FAIL(why, RC_TEMP, "%s database %s: %s", what, db->path, mdb_strerror(code));
}

/* ---- open ---- */

static enum rc open_file(struct lmdb *db, struct why *why)
{
    int how = db->flags & TABLE_WRITE ? O_RDWR : O_RDONLY;

    if ((db->flags & TABLE_WRITE) && !(db->flags & TABLE_OLD_ONLY))
        how |= O_CREAT;
    db->lock_fd = open(db->path, how | O_CLOEXEC, 0644);
    if (db->lock_fd < 0)
        return FAIL(why, RC_TEMP, "open database %s: %m", db->path);
    return RC_OK;
}

static void choose_map_size(struct lmdb *db, const struct table_env *env)
{
    struct stat st;

    db->map_size = settings_lmdb_map_size(env);
    if (fstat(db->lock_fd, &st) == 0)
        while (db->map_size < (size_t)st.st_size * 2)
            db->map_size *= 2;
}

static enum rc open_environment(struct lmdb *db, struct why *why)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS;
    MDB_txn *txn;
    int code;

    if (!(db->flags & TABLE_WRITE))
        flags |= MDB_RDONLY;
    if (db->flags & TABLE_CACHE)
        flags |= MDB_NOSYNC;
    code = mdb_env_create(&db->env);
    if (code == 0)
        code = mdb_env_set_mapsize(db->env, db->map_size);
    if (code == 0)
        code = mdb_env_open(db->env, db->path, flags, 0644);
    if (code == 0)
        code = mdb_txn_begin(db->env, NULL, flags & MDB_RDONLY, &txn);
    if (code)
        return error(db, "open", code, why);
    code = mdb_dbi_open(txn, NULL, 0, &db->dbi);
    if (code == 0)
        code = mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
    return code ? error(db, "open", code, why) : RC_OK;
}

static enum rc begin_making(struct lmdb *db, struct why *why)
{
    int code = mdb_txn_begin(db->env, NULL, 0, &db->making);

    if (code == 0)
        code = mdb_drop(db->making, db->dbi, 0);
    return code ? error(db, "truncate", code, why) : RC_OK;
}

static void lmdb_close(void *state)
{
    struct lmdb *db = state;

    if (db->making)
        mdb_txn_abort(db->making);
    if (db->env)
        mdb_env_close(db->env);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    buf_done(&db->last);
}

static enum rc open_all(struct lmdb *db, const struct table_env *env, struct why *why)
{
    bool writes = db->flags & TABLE_WRITE;

    TRY(open_file(db, why));
    TRY(fd_lock(db->lock_fd, writes, true, why));
    choose_map_size(db, env);
    TRY(open_environment(db, why));
    if (db->flags & TABLE_CREATE)
        return begin_making(db, why); /* the lock stays until close */
    return flock(db->lock_fd, LOCK_UN) < 0 ? FAIL(why, RC_TEMP, "unlock %s: %m", db->path) : RC_OK;
}

static enum rc lmdb_open(struct driver_open *o, struct why *why)
{
    struct lmdb *db = arena_new_of(o->arena, struct lmdb);
    enum rc rc;

    db->arena = o->arena;
    db->flags = o->flags;
    db->lock_fd = -1;
    buf_init(&db->last, 4096);
    db->path = arena_text(o->arena, arena_printf(o->arena, STR_FMT ".lmdb", STR_ARG(o->name)));
    o->watch_path = db->path;
    rc = open_all(db, o->env, why);
    if (rc != RC_OK) {
        lmdb_close(db);
        return rc;
    }
    o->state = db;
    o->watch_fd = db->lock_fd;
    return RC_OK;
}

/* ---- lookups ---- */

/* Somebody made the map larger than we knew: take the new size and try once more. */
static bool adopt_size(struct lmdb *db, int code)
{
    return code == MDB_MAP_RESIZED && mdb_env_set_mapsize(db->env, 0) == 0;
}

static int begin(struct lmdb *db, unsigned flags, MDB_txn **txn)
{
    int code = mdb_txn_begin(db->env, NULL, flags, txn);

    return adopt_size(db, code) ? mdb_txn_begin(db->env, NULL, flags, txn) : code;
}

static enum rc get_locked(struct lmdb *db, struct str key, struct arena *a, struct str *value,
                          struct why *why)
{
    MDB_val k = value_of(key), v;
    MDB_txn *txn = db->making;
    int code = txn ? 0 : begin(db, MDB_RDONLY, &txn);

    if (code)
        return error(db, "read", code, why);
    code = mdb_get(txn, db->dbi, &k, &v);
    if (code == 0)
        *value = arena_copy(a, str_of_value(v));
    if (txn != db->making)
        mdb_txn_abort(txn);
    if (code == MDB_NOTFOUND || code == MDB_BAD_VALSIZE) /* empty, or longer than a key can be */
        return RC_NONE;
    return code ? error(db, "read", code, why) : RC_OK;
}

static enum rc lmdb_get(void *state, struct str key, struct arena *a, struct str *value,
                        struct why *why)
{
    struct lmdb *db = state;
    enum rc rc;

    if (!db->making)
        TRY(fd_lock(db->lock_fd, false, true, why));
    rc = get_locked(db, key, a, value, why);
    if (!db->making)
        (void)flock(db->lock_fd, LOCK_UN);
    return rc;
}

/* The entry behind the one that next() returned last. */
static int step(struct lmdb *db, MDB_txn *txn, bool first, struct arena *a, struct str *key,
                struct str *value)
{
    MDB_val k = value_of(buf_str(&db->last)), v;
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, db->dbi, &cursor);

    if (code)
        return code;
    code = mdb_cursor_get(cursor, &k, &v, first ? MDB_FIRST : MDB_SET_RANGE);
    if (code == 0 && !first && str_eq(str_of_value(k), buf_str(&db->last)))
        code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    if (code == 0) {
        *key = arena_copy(a, str_of_value(k));
        *value = arena_copy(a, str_of_value(v));
        buf_reset(&db->last);
        buf_add(&db->last, *key);
    }
    mdb_cursor_close(cursor);
    return code;
}

/* Each step stands alone, so that what was returned can be deleted before the next one, and no lock
   is held meanwhile. */
static enum rc lmdb_next(void *state, bool first, struct arena *a, struct str *key,
                         struct str *value, struct why *why)
{
    struct lmdb *db = state;
    MDB_txn *txn = db->making;
    int code;

    if (!first && db->last.n == 0)
        return RC_NONE;
    if (!db->making)
        TRY(fd_lock(db->lock_fd, false, true, why));
    code = txn ? 0 : begin(db, MDB_RDONLY, &txn);
    if (code == 0)
        code = step(db, txn, first, a, key, value);
    if (txn && txn != db->making)
        mdb_txn_abort(txn);
    if (!db->making)
        (void)flock(db->lock_fd, LOCK_UN);
    if (code)
        buf_reset(&db->last);
    if (code == MDB_NOTFOUND)
        return RC_NONE;
    return code ? error(db, "read", code, why) : RC_OK;
}

/* ---- changes ---- */

static int grow(struct lmdb *db)
{
    MDB_envinfo info;

    if (mdb_env_info(db->env, &info) == 0 && info.me_mapsize > db->map_size)
        db->map_size = info.me_mapsize; /* another process made it larger */
    db->map_size *= 2;
    return mdb_env_set_mapsize(db->env, db->map_size);
}

static int put_one(struct lmdb *db, MDB_txn *txn, const struct entry *e, bool replace)
{
    MDB_val k = value_of(e->key), v = value_of(e->value);

    return mdb_put(txn, db->dbi, &k, &v, replace ? 0 : MDB_NOOVERWRITE);
}

/* Start the transaction again with a larger map, and put all again. */
static int make_again(struct lmdb *db)
{
    int code = MDB_MAP_FULL;

    while (code == MDB_MAP_FULL) {
        mdb_txn_abort(db->making);
        db->making = NULL;
        code = grow(db);
        if (code == 0)
            code = mdb_txn_begin(db->env, NULL, 0, &db->making);
        if (code == 0)
            code = mdb_drop(db->making, db->dbi, 0);
        for (size_t i = 0; code == 0 && i < db->made.n; i++)
            code = put_one(db, db->making, &db->made.v[i], true);
    }
    return code;
}

static enum rc put_making(struct lmdb *db, const struct entry *e, bool replace, struct why *why)
{
    struct entry kept = {arena_copy(db->arena, e->key), arena_copy(db->arena, e->value)};
    int code = put_one(db, db->making, e, replace);

    if (code == MDB_KEYEXIST)
        return RC_NONE;
    vec_add(db->arena, &db->made, kept);
    if (code == MDB_MAP_FULL)
        code = make_again(db);
    return code ? error(db, "write", code, why) : RC_OK;
}

/* One change in a transaction of its own: a put, or with value == NULL a delete. */
static int change(struct lmdb *db, struct str key, const struct str *value, bool replace)
{
    MDB_val k = value_of(key);
    MDB_txn *txn;
    int code = begin(db, 0, &txn);

    if (code)
        return code;
    code = value ? put_one(db, txn, &(struct entry){key, *value}, replace)
                 : mdb_del(txn, db->dbi, &k, NULL);
    if (code == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

static enum rc change_locked(struct lmdb *db, struct str key, const struct str *value, bool replace,
                             struct why *why)
{
    int code;

    TRY(fd_lock(db->lock_fd, true, true, why));
    do
        code = change(db, key, value, replace);
    while (code == MDB_MAP_FULL && grow(db) == 0);
    (void)flock(db->lock_fd, LOCK_UN);
    if (code == MDB_KEYEXIST || code == MDB_NOTFOUND)
        return RC_NONE;
    return code ? error(db, "write", code, why) : RC_OK;
}

static enum rc lmdb_put(void *state, struct str key, struct str value, bool replace,
                        struct why *why)
{
    struct lmdb *db = state;

    if (db->making)
        return put_making(db, &(struct entry){key, value}, replace, why);
    return change_locked(db, key, &value, replace, why);
}

static enum rc lmdb_delete(void *state, struct str key, struct why *why)
{
    struct lmdb *db = state;

    if (db->making)
        return FAIL(why, RC_PERM, "%s: no delete while the table is made", db->path);
    return change_locked(db, key, NULL, false, why);
}

static enum rc lmdb_commit(void *state, struct why *why)
{
    struct lmdb *db = state;
    int code;

    if (db->making == NULL)
        return RC_OK;
    code = mdb_txn_commit(db->making);
    db->making = NULL;
    if (code == MDB_MAP_FULL) {
        code = make_again(db);
        if (code == 0)
            return lmdb_commit(db, why);
    }
    (void)flock(db->lock_fd, LOCK_UN);
    return code ? error(db, "write", code, why) : RC_OK;
}

const struct table_driver table_driver_lmdb = {
    .type = "lmdb",
    .flags = DRIVER_FOLDS | DRIVER_CREATES | DRIVER_UPDATES | DRIVER_NUL | DRIVER_WRITES_NUL,
    .open = lmdb_open,
    .get = lmdb_get,
    .put = lmdb_put,
    .delete = lmdb_delete,
    .next = lmdb_next,
    .commit = lmdb_commit,
    .close = lmdb_close,
};
