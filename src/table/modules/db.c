/*
 * hash and btree: Berkeley DB files, as Postfix writes and reads them.
 *
 * Locks are flock() on the file: shared for a lookup, exclusive for a change. The library keeps
 * pages in memory, so a file that somebody has changed since is opened again before it is used. A
 * TABLE_CACHE belongs to one process: it keeps the exclusive lock, and is synced once a second.
 */
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "table/driver.h"
#include "table/replace.h"
#include "table/settings.h"
#include "util/clock.h"
#include "util/file.h"

enum { EXCLUSIVE_WAIT_MS = 10000, EXCLUSIVE_STEP_US = 50000 };

struct handle {
    const char *path;
    DBTYPE type;
    unsigned flags; /* of the table */
    size_t cache_bytes;
    DB *db;
    int lock_fd;      /* TABLE_CREATE: -1 */
    struct stat seen; /* the file as it was when db was opened, or when we wrote it */
    struct replacement made;
    DBC *cursor; /* next() */
    time_t synced;
};

static enum rc error(const struct handle *h, const char *what, int code, struct why *why)
{
    return FAIL(why, RC_TEMP, "%s database %s: %s", what, h->path, db_strerror(code));
}

/* ---- open and close ---- */

static void quiet(const DB_ENV *env, const char *prefix, const char *message)
{
    (void)env;
    (void)prefix;
    (void)message;
}

static enum rc open_db(struct handle *h, const char *path, unsigned how, struct why *why)
{
    int code = db_create(&h->db, NULL, 0);

    if (code)
        return error(h, "create", code, why);
    h->db->set_errcall(h->db, quiet);
    code = h->db->set_cachesize(h->db, 0, (unsigned)h->cache_bytes, 0);
    if (code == 0)
        code = h->db->open(h->db, NULL, path, NULL, h->type, how, 0644);
    if (code == 0)
        return RC_OK;
    h->db->close(h->db, 0);
    h->db = NULL;
    return error(h, "open", code, why);
}

static void end_listing(struct handle *h)
{
    if (h->cursor)
        h->cursor->close(h->cursor);
    h->cursor = NULL;
}

/* Reading keeps no pages that could be written at close. */
static void close_db(struct handle *h)
{
    end_listing(h);
    if (h->db)
        h->db->close(h->db, h->flags & TABLE_WRITE ? 0 : DB_NOSYNC);
    h->db = NULL;
}

static void db_close(void *state)
{
    struct handle *h = state;

    close_db(h);
    if (h->flags & TABLE_CREATE)
        replacement_end(&h->made);
    if (h->lock_fd >= 0)
        close(h->lock_fd);
}

/* The one user of a cache may still be ending when the next one starts. */
static enum rc lock_alone(struct handle *h, struct why *why)
{
    long end = clock_ms() + EXCLUSIVE_WAIT_MS;

    while (fd_lock(h->lock_fd, true, false, why) != RC_OK) {
        if (clock_ms() > end)
            return FAIL(why, RC_TEMP,
                        "database %s is in use by another process; use proxy:, or another file",
                        h->path);
        usleep(EXCLUSIVE_STEP_US);
    }
    return RC_OK;
}

static enum rc lock(const struct handle *h, bool exclusive, struct why *why)
{
    return h->flags & (TABLE_CACHE | TABLE_CREATE) ? RC_OK
                                                   : fd_lock(h->lock_fd, exclusive, true, why);
}

static void unlock(const struct handle *h)
{
    if (!(h->flags & (TABLE_CACHE | TABLE_CREATE)))
        (void)flock(h->lock_fd, LOCK_UN);
}

static enum rc open_old(struct handle *h, struct why *why)
{
    bool writes = h->flags & TABLE_WRITE;
    int how = writes ? O_RDWR : O_RDONLY;
    bool empty;

    if (writes && !(h->flags & TABLE_OLD_ONLY))
        how |= O_CREAT;
    h->lock_fd = open(h->path, how | O_CLOEXEC, 0644);
    if (h->lock_fd < 0)
        return FAIL(why, RC_TEMP, "open database %s: %m", h->path);
    TRY(h->flags & TABLE_CACHE ? lock_alone(h, why) : fd_lock(h->lock_fd, writes, true, why));
    TRY(file_stat(h->lock_fd, &h->seen, why));
    empty = writes && h->seen.st_size == 0;
    TRY(open_db(h, h->path, !writes ? DB_RDONLY : empty ? DB_CREATE | DB_TRUNCATE : 0, why));
    if (empty && h->db->sync(h->db, 0) != 0)
        return FAIL(why, RC_TEMP, "write database %s: %m", h->path);
    TRY(file_stat(h->lock_fd, &h->seen, why));
    unlock(h);
    return RC_OK;
}

/* The file is ours, the directory is not: no other way than to empty the file in place. Readers
   wait for the lock meanwhile. */
static enum rc open_in_place(struct handle *h, struct why *why)
{
    h->lock_fd = open(h->path, O_RDWR | O_CLOEXEC);
    if (h->lock_fd < 0)
        return FAIL(why, RC_TEMP, "open database %s: %m", h->path);
    TRY(fd_lock(h->lock_fd, true, true, why));
    return open_db(h, h->path, DB_CREATE | DB_TRUNCATE, why);
}

static enum rc open_new(struct handle *h, struct arena *a, struct why *why)
{
    enum rc rc = replacement_begin(&h->made, h->path, a, why);

    if (rc == RC_TEMP && access(h->path, W_OK) == 0)
        return open_in_place(h, why);
    TRY(rc);
    return open_db(h, h->made.tmp, DB_CREATE | DB_TRUNCATE, why);
}

static enum rc db_open(struct driver_open *o, DBTYPE type, struct why *why)
{
    struct handle *h = arena_new_of(o->arena, struct handle);
    bool makes = o->flags & TABLE_CREATE;
    enum rc rc;

    h->type = type;
    h->flags = o->flags;
    h->lock_fd = h->made.fd = h->made.old_fd = -1;
    h->cache_bytes = makes ? settings_db_create_buffer(o->env) : settings_db_read_buffer(o->env);
    h->path = arena_text(o->arena, arena_printf(o->arena, STR_FMT ".db", STR_ARG(o->name)));
    o->watch_path = o->label = h->path;
    rc = makes ? open_new(h, o->arena, why) : open_old(h, why);
    if (rc != RC_OK) {
        db_close(h);
        return rc;
    }
    o->watch_fd = h->lock_fd;
    o->state = h;
    return RC_OK;
}

static enum rc hash_open(struct driver_open *o, struct why *why)
{
    return db_open(o, DB_HASH, why);
}

static enum rc btree_open(struct driver_open *o, struct why *why)
{
    return db_open(o, DB_BTREE, why);
}

/* ---- staying current ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* With the lock held: forget pages of a file that was written since. */
static enum rc refresh(struct handle *h, struct why *why)
{
    struct stat now;

    if (h->flags & (TABLE_CACHE | TABLE_CREATE))
        return RC_OK;
    TRY(file_stat(h->lock_fd, &now, why));
    if (h->db && is_same(&now, &h->seen))
        return RC_OK;
    close_db(h);
    TRY(open_db(h, h->path, h->flags & TABLE_WRITE ? 0 : DB_RDONLY, why));
    h->seen = now;
    return RC_OK;
}

static enum rc wrote(struct handle *h, struct why *why)
{
    int code;

    if (h->flags & TABLE_CREATE)
        return RC_OK;
    if (h->flags & TABLE_CACHE) {
        if (h->synced == clock_seconds())
            return RC_OK;
        h->synced = clock_seconds();
    }
    code = h->db->sync(h->db, 0);
    if (code)
        return error(h, "write", code, why);
    return file_stat(h->lock_fd, &h->seen, why);
}

/* ---- operations ---- */

static DBT dbt_of(struct str s)
{
    DBT t = {.data = (void *)s.p, .size = (unsigned)s.n};

    return t;
}

static struct str str_of_dbt(const DBT *t)
{
    return (struct str){t->data, t->size};
}

static enum rc get_locked(struct handle *h, struct str key, struct arena *a, struct str *value,
                          struct why *why)
{
    DBT k = dbt_of(key), v = {0};
    int code;

    TRY(refresh(h, why));
    code = h->db->get(h->db, NULL, &k, &v, 0);
    if (code == DB_NOTFOUND)
        return RC_NONE;
    if (code)
        return error(h, "read", code, why);
    *value = arena_copy(a, str_of_dbt(&v));
    return RC_OK;
}

static enum rc db_get(void *state, struct str key, struct arena *a, struct str *value,
                      struct why *why)
{
    struct handle *h = state;
    enum rc rc;

    TRY(lock(h, false, why));
    rc = get_locked(h, key, a, value, why);
    unlock(h);
    return rc;
}

static enum rc put_locked(struct handle *h, struct str key, struct str value, bool replace,
                          struct why *why)
{
    DBT k = dbt_of(key), v = dbt_of(value);
    int code;

    TRY(refresh(h, why));
    code = h->db->put(h->db, NULL, &k, &v, replace ? 0 : DB_NOOVERWRITE);
    if (code == DB_KEYEXIST)
        return RC_NONE;
    return code ? error(h, "write", code, why) : wrote(h, why);
}

static enum rc db_put(void *state, struct str key, struct str value, bool replace, struct why *why)
{
    struct handle *h = state;
    enum rc rc;

    TRY(lock(h, true, why));
    rc = put_locked(h, key, value, replace, why);
    unlock(h);
    return rc;
}

static enum rc delete_locked(struct handle *h, struct str key, struct why *why)
{
    DBT k = dbt_of(key);
    int code;

    TRY(refresh(h, why));
    code = h->db->del(h->db, NULL, &k, 0);
    if (code == DB_NOTFOUND)
        return RC_NONE;
    return code ? error(h, "write", code, why) : wrote(h, why);
}

static enum rc db_delete(void *state, struct str key, struct why *why)
{
    struct handle *h = state;
    enum rc rc;

    TRY(lock(h, true, why));
    rc = delete_locked(h, key, why);
    unlock(h);
    return rc;
}

/* ---- listing ---- */

/* The cursor stays open between the calls: it survives when what it stands on is deleted. */
static enum rc next_locked(struct handle *h, bool first, struct arena *a, struct str *key,
                           struct str *value, struct why *why)
{
    DBT k = {0}, v = {0};
    int code = 0;

    TRY(refresh(h, why));
    if (first) {
        end_listing(h);
        code = h->db->cursor(h->db, NULL, &h->cursor, 0);
    } else if (h->cursor == NULL) {
        return RC_NONE;
    }
    if (code == 0)
        code = h->cursor->get(h->cursor, &k, &v, first ? DB_FIRST : DB_NEXT);
    if (code == 0) {
        *key = arena_copy(a, str_of_dbt(&k));
        *value = arena_copy(a, str_of_dbt(&v));
        return RC_OK;
    }
    end_listing(h);
    return code == DB_NOTFOUND ? RC_NONE : error(h, "read", code, why);
}

static enum rc db_next(void *state, bool first, struct arena *a, struct str *key, struct str *value,
                       struct why *why)
{
    struct handle *h = state;
    enum rc rc;

    TRY(lock(h, false, why));
    rc = next_locked(h, first, a, key, value, why);
    unlock(h);
    return rc;
}

static enum rc db_commit(void *state, struct why *why)
{
    struct handle *h = state;
    int code;

    if (!(h->flags & TABLE_CREATE))
        return RC_OK;
    end_listing(h);
    code = h->db->close(h->db, 0);
    h->db = NULL;
    if (code)
        return error(h, "write", code, why);
    return h->lock_fd >= 0 ? RC_OK : replacement_commit(&h->made, why); /* in place: lasts */
}

#define DB_DRIVER(kind)                                                                            \
    MODULE_EXPORT extern const struct table_driver table_driver_##kind;                            \
    const struct table_driver table_driver_##kind = {                                              \
        .type = #kind,                                                                             \
        .flags = DRIVER_FOLDS | DRIVER_CREATES | DRIVER_UPDATES | DRIVER_NUL | DRIVER_WRITES_NUL,  \
        .open = kind##_open,                                                                       \
        .get = db_get,                                                                             \
        .put = db_put,                                                                             \
        .delete = db_delete,                                                                       \
        .next = db_next,                                                                           \
        .commit = db_commit,                                                                       \
        .close = db_close,                                                                         \
    }

DB_DRIVER(hash);
DB_DRIVER(btree);
