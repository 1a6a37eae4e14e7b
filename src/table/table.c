#include "table/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "table/base64.h"
#include "table/driver.h"
#include "table/settings.h"
#include "table/source.h"
#include "util/clock.h"
#include "util/memory.h"

enum nul_habit { NUL_UNKNOWN, NUL_WITH, NUL_WITHOUT };

struct table {
    struct arena *arena;
    struct str name; /* "type:name" */
    const struct table_driver *driver;
    struct driver_open open; /* as the driver left it */
    struct table_env env;
    bool surrogate;
    struct why trouble;     /* of a surrogate */
    pthread_mutex_t lock;   /* for drivers that are not DRIVER_THREADS, and for writing */
    _Atomic int nul;        /* enum nul_habit: what the stored keys have */
    _Atomic long looked_at; /* seconds, of has_changed */
    _Atomic bool changed;
    struct stat watched;
};

static bool is_inherited(const struct table *t, unsigned flag)
{
    return (t->open.driver_flags & flag) != 0;
}

/* ---- open and close ---- */

static enum rc check_flags(struct str type_name, const struct table_driver *d, unsigned flags,
                           struct why *why)
{
    if ((flags & TABLE_NO_UNAUTH) && (d->flags & DRIVER_UNAUTH))
        return FAIL(why, RC_CONFIG,
                    STR_FMT ": this type of table is not allowed for security-sensitive data",
                    STR_ARG(type_name));
    if ((flags & TABLE_CREATE) && !(d->flags & DRIVER_CREATES))
        return FAIL(why, RC_CONFIG,
                    "unsupported dictionary type: %s does not allow creation of "
                    "tables; use one of the types that do, e.g. lmdb or cdb",
                    d->type);
    if ((flags & TABLE_WRITE) && !(d->flags & (DRIVER_CREATES | DRIVER_UPDATES)))
        return FAIL(why, RC_CONFIG, STR_FMT ": this type of table cannot be written to",
                    STR_ARG(type_name));
    return RC_OK;
}

static void watch(struct table *t)
{
    if (t->open.watch_path == NULL || t->surrogate)
        return;
    if ((t->open.watch_fd >= 0 ? fstat(t->open.watch_fd, &t->watched)
                               : stat(t->open.watch_path, &t->watched)) < 0)
        t->watched.st_ino = 0;
}

static enum rc open_driver(struct table *t, struct why *why)
{
    struct why words;
    enum rc rc = t->driver->open(&t->open, &words);

    if (rc == RC_OK) {
        watch(t);
        return RC_OK;
    }
    if (rc == RC_TEMP && !(t->open.flags & TABLE_STRICT) &&
        !settings_open_error_is_fatal(&t->env)) {
        t->surrogate = true;
        why_set(&t->trouble, RC_TEMP, STR_FMT " is unavailable. %s", STR_ARG(t->name), words.text);
        if (t->env.log)
            log_warning(t->env.log, "%s", t->trouble.text);
        return RC_OK;
    }
    return FAIL(why, rc, "%s", words.text);
}

enum rc table_open(struct str type_name, unsigned flags, const struct table_env *env,
                   struct table **out, struct why *why)
{
    struct str rest = str_trim(type_name), type = str_cut(&rest, ':');
    const struct table_driver *driver;
    struct arena *arena;
    struct table *t;
    enum rc rc;

    if (rest.p == NULL)
        return FAIL(why, RC_CONFIG, "need \"type:name\" form instead of: " STR_FMT,
                    STR_ARG(type_name));
    TRY(driver_find(type, env, &driver, why));
    if ((flags & TABLE_NO_PROXY) && str_eq(type, STR("proxy")))
        return table_open(rest, flags, env, out, why);
    if (flags & TABLE_CREATE)
        flags |= TABLE_WRITE;
    if (settings_utf8(env))
        flags |= TABLE_UTF8;
    if (flags & TABLE_BYTES)
        flags &= ~(unsigned)TABLE_UTF8;
    TRY(check_flags(type_name, driver, flags, why));

    arena = arena_new(1024);
    t = arena_new_of(arena, struct table);
    t->arena = arena;
    t->name = arena_copy(arena, str_trim(type_name));
    t->driver = driver;
    t->env = *env;
    t->open = (struct driver_open){.type = str_head(t->name, type.n),
                                   .name = str_from(t->name, type.n + 1),
                                   .flags = flags,
                                   .env = &t->env,
                                   .arena = arena,
                                   .driver_flags = driver->flags,
                                   .watch_fd = -1};
    pthread_mutex_init(&t->lock, NULL);
    rc = open_driver(t, why);
    if (rc != RC_OK) {
        pthread_mutex_destroy(&t->lock);
        arena_free(arena);
        return rc;
    }
    *out = t;
    return RC_OK;
}

void table_close(struct table *t)
{
    if (t == NULL)
        return;
    if (!t->surrogate && t->driver->close)
        t->driver->close(t->open.state);
    pthread_mutex_destroy(&t->lock);
    arena_free(t->arena);
}

struct str table_name(const struct table *t)
{
    return t->name;
}

bool table_is_pattern(const struct table *t)
{
    return is_inherited(t, DRIVER_WHOLE);
}

/* Was the file replaced (other inode, or none), or written by somebody who is not us? */
static bool file_has_changed(const struct table *t)
{
    struct stat now;

    if (stat(t->open.watch_path, &now) < 0)
        return false; /* perhaps out of reach after chroot; the open file still answers */
    if (t->surrogate)
        return true; /* it is there now */
    if (now.st_ino != t->watched.st_ino || now.st_dev != t->watched.st_dev)
        return true;
    return !is_inherited(t, DRIVER_UPDATES) &&
           (now.st_mtim.tv_sec != t->watched.st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != t->watched.st_mtim.tv_nsec || now.st_size != t->watched.st_size);
}

bool table_has_changed(struct table *t)
{
    long now = (long)clock_seconds();

    if (t->open.watch_path == NULL)
        return false;
    if (!atomic_load(&t->changed) && atomic_exchange(&t->looked_at, now) != now &&
        file_has_changed(t))
        atomic_store(&t->changed, true);
    return atomic_load(&t->changed);
}

unsigned long table_stamp(const struct table *t)
{
    struct stat st;

    if (t->open.watch_path == NULL || stat(t->open.watch_path, &st) < 0)
        return 0;
    return ((unsigned long)st.st_mtim.tv_sec * 1000000007UL + (unsigned long)st.st_mtim.tv_nsec) *
               31 +
           (unsigned long)st.st_size + (unsigned long)st.st_ino * 1000003UL;
}

/* ---- keys and values on their way to the driver ---- */

static enum rc trouble(const struct table *t, struct why *why)
{
    return FAIL(why, RC_TEMP, "%s", t->trouble.text);
}

/* The key as the driver sees it, with a NUL behind it that is not counted. */
static struct str driver_key(const struct table *t, struct arena *a, struct str key)
{
    if (is_inherited(t, DRIVER_FOLDS) && !(t->open.flags & TABLE_FOLD_KEEP))
        return fold_case(a, key, t->open.flags & TABLE_UTF8);
    return arena_copy(a, key);
}

static bool checks_utf8(const struct table *t)
{
    return (t->open.flags & TABLE_UTF8) && !is_inherited(t, DRIVER_CHECKS_UTF8);
}

static bool key_fits(const struct table *t, struct str key)
{
    if (!checks_utf8(t) || str_is_utf8(key))
        return true;
    if (t->env.log)
        log_warning(t->env.log, "non-UTF-8 key '" STR_FMT "' in lookup table " STR_FMT,
                    STR_ARG(key), STR_ARG(t->name));
    return false;
}

static struct str without_nul(struct str s)
{
    return s.n && s.p[s.n - 1] == '\0' ? str_head(s, s.n - 1) : s;
}

static enum rc finish_value(const struct table *t, struct arena *a, struct str *value,
                            struct why *why)
{
    if (checks_utf8(t) && !str_is_utf8(*value))
        return FAIL(why, RC_TEMP, "table " STR_FMT ": non-UTF-8 value", STR_ARG(t->name));
    if ((t->open.flags & TABLE_BASE64) && base64_decode(a, *value, value, why) != RC_OK) {
        why_prefix(why, "table " STR_FMT, STR_ARG(t->name));
        return RC_TEMP;
    }
    return RC_OK;
}

/* ---- lookup ---- */

static enum rc get_indexed(struct table *t, struct str key, struct arena *a, struct str *value,
                           struct why *why)
{
    int habit = atomic_load(&t->nul);
    enum rc rc = RC_NONE;

    if (habit != NUL_WITHOUT) {
        rc = t->driver->get(t->open.state, (struct str){key.p, key.n + 1}, a, value, why);
        if (rc == RC_OK)
            atomic_store(&t->nul, NUL_WITH);
    }
    if (rc == RC_NONE && habit != NUL_WITH) {
        rc = t->driver->get(t->open.state, key, a, value, why);
        if (rc == RC_OK)
            atomic_store(&t->nul, NUL_WITHOUT);
    }
    if (rc == RC_OK)
        *value = without_nul(*value);
    return rc;
}

enum rc table_get(struct table *t, struct str key, struct arena *a, struct str *value,
                  struct why *why)
{
    bool alone = !(t->driver->flags & DRIVER_THREADS);
    struct str found = STR_NONE;
    enum rc rc;

    if (t->surrogate)
        return trouble(t, why);
    if (!key_fits(t, key))
        return RC_NONE;
    key = driver_key(t, a, key);
    if (alone)
        pthread_mutex_lock(&t->lock);
    rc = is_inherited(t, DRIVER_NUL) ? get_indexed(t, key, a, &found, why)
                                     : t->driver->get(t->open.state, key, a, &found, why);
    if (alone)
        pthread_mutex_unlock(&t->lock);
    TRY(rc);
    TRY(finish_value(t, a, &found, why));
    *value = found;
    return RC_OK;
}

/* ---- changes ---- */

static bool writes_nul(const struct table *t)
{
    if (t->open.flags & (TABLE_NUL | TABLE_NO_NUL))
        return t->open.flags & TABLE_NUL;
    if (t->nul != NUL_UNKNOWN)
        return t->nul == NUL_WITH;
    return is_inherited(t, DRIVER_WRITES_NUL);
}

static enum rc put_locked(struct table *t, struct str key, struct str value, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    size_t nul = is_inherited(t, DRIVER_NUL) && writes_nul(t);
    enum rc rc;

    key = driver_key(t, a, key);
    if (t->open.flags & TABLE_BASE64)
        TRY(source_value_of_files(value, a, &value, why));
    value = arena_copy(a, value);
    rc = t->driver->put(t->open.state, (struct str){key.p, key.n + nul},
                        (struct str){value.p, value.n + nul}, t->open.flags & TABLE_REPLACE, why);
    if (rc != RC_NONE || (t->open.flags & TABLE_IGNORE_DUP))
        return rc == RC_NONE ? RC_OK : rc;
    if (t->open.label)
        return FAIL(why, RC_NONE, "%s: duplicate entry: \"" STR_FMT "\"", t->open.label,
                    STR_ARG(key));
    return FAIL(why, RC_NONE, STR_FMT ": duplicate entry: \"" STR_FMT "\"", STR_ARG(t->name),
                STR_ARG(key));
}

static enum rc may_write(const struct table *t, const void *operation, struct why *why)
{
    if (t->surrogate)
        return trouble(t, why);
    if (operation == NULL || !(t->open.flags & TABLE_WRITE))
        return FAIL(why, RC_PERM, "table " STR_FMT " cannot be changed", STR_ARG(t->name));
    return RC_OK;
}

enum rc table_put(struct table *t, struct str key, struct str value, struct why *why)
{
    enum rc rc;

    TRY(may_write(t, t->driver->put ? t->driver : NULL, why));
    if (checks_utf8(t) && (!str_is_utf8(key) || !str_is_utf8(value)))
        return FAIL(why, RC_PERM, "table " STR_FMT ": non-UTF-8 key or value", STR_ARG(t->name));
    pthread_mutex_lock(&t->lock);
    rc = put_locked(t, key, value, why);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

enum rc table_delete(struct table *t, struct str key, struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    enum rc rc;

    TRY(may_write(t, t->driver->delete ? t->driver : NULL, why));
    if (!key_fits(t, key))
        return RC_NONE;
    key = driver_key(t, a, key);
    pthread_mutex_lock(&t->lock);
    if (is_inherited(t, DRIVER_NUL)) {
        rc = t->driver->delete (t->open.state, (struct str){key.p, key.n + 1}, why);
        if (rc == RC_NONE)
            rc = t->driver->delete (t->open.state, key, why);
    } else {
        rc = t->driver->delete (t->open.state, key, why);
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

enum rc table_commit(struct table *t, struct why *why)
{
    if (t->surrogate)
        return trouble(t, why);
    return t->driver->commit ? t->driver->commit(t->open.state, why) : RC_OK;
}

enum rc table_next(struct table *t, bool first, struct arena *a, struct str *key, struct str *value,
                   struct why *why)
{
    struct str k, v;
    enum rc rc;

    if (t->surrogate)
        return trouble(t, why);
    if (t->driver->next == NULL)
        return FAIL(why, RC_PERM, "table " STR_FMT ": sequence operation is not supported",
                    STR_ARG(t->name));
    pthread_mutex_lock(&t->lock);
    rc = t->driver->next(t->open.state, first, a, &k, &v, why);
    pthread_mutex_unlock(&t->lock);
    TRY(rc);
    if (is_inherited(t, DRIVER_NUL)) {
        k = without_nul(k);
        v = without_nul(v);
    }
    TRY(finish_value(t, a, &v, why));
    *key = k;
    *value = v;
    return RC_OK;
}
