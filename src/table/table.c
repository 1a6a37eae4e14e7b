#include "table/table.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "table/base64.h"
#include "table/driver.h"
#include "table/settings.h"
#include "table/source.h"
#include "util/clock.h"
#include "util/memory.h"

enum nul_habit { NUL_UNKNOWN, NUL_WITH, NUL_WITHOUT };

/* A table as the driver opened it. When the file changes, another one takes its place. */
struct instance {
    struct arena *arena;     /* holds this struct, too */
    struct driver_open open; /* as the driver left it */
    bool surrogate;
    struct why trouble; /* of a surrogate */
    int fd; /* O_PATH: says whether the file was written or replaced, also after chroot */
    struct stat seen;
};

struct table {
    struct arena *arena;
    struct str name; /* "type:name" */
    unsigned flags;
    const struct table_driver *driver;
    struct table_env env;
    pthread_rwlock_t use; /* of *now; for writing: to change it */
    struct instance *now;
    pthread_mutex_t lock;   /* for drivers that are not DRIVER_THREADS, and for writing */
    _Atomic int nul;        /* enum nul_habit: what the stored keys have */
    _Atomic long looked_at; /* seconds: when we looked for changes */
    _Atomic bool stuck;     /* it has changed, and could not be opened again */
    ino_t root_inode;       /* of "/" when it was opened: after chroot names mean other files */
};

enum { SURROGATE_RETRY_SECONDS = 2, CLOCK_TICK_NS = 10 * 1000 * 1000 };

static bool has_flag(const struct instance *i, unsigned flag)
{
    return (i->open.driver_flags & flag) != 0;
}

/* ---- open and close ---- */

static enum rc check_flags(struct str type_name, const struct table_driver *d, unsigned flags,
                           struct why *why)
{
    if ((flags & TABLE_NO_UNAUTH) && (d->flags & DRIVER_UNAUTH))
        return FAIL(why, RC_CONFIG, STR_FMT " map is not allowed for security sensitive data",
                    STR_ARG(type_name));
    if ((flags & TABLE_CREATE) && !(d->flags & DRIVER_CREATES))
        return FAIL(why, RC_CONFIG,
                    "unsupported dictionary type: %s does not support bulk-mode creation.",
                    d->type);
    if ((flags & TABLE_WRITE) && !(flags & TABLE_CREATE) && !(d->flags & DRIVER_UPDATES))
        return FAIL(why, RC_CONFIG, STR_FMT " map requires O_RDONLY access mode",
                    STR_ARG(type_name));
    return RC_OK;
}

/* Note what the file looks like. One that was written while it was read is read again soon. */
static void watch(struct instance *i, struct timespec started)
{
    const char *path = i->open.watch_path;
    double age;

    if (path == NULL)
        return;
    i->fd = open(path, O_PATH | O_CLOEXEC);
    if (fstat(i->open.watch_fd >= 0 ? i->open.watch_fd : i->fd, &i->seen) < 0)
        i->seen = (struct stat){0};
    age = clock_diff(started, i->seen.st_mtim);
    if (i->open.watch_fd < 0 && age * 1e9 < CLOCK_TICK_NS)
        i->seen.st_size = -1;
}

static void instance_close(const struct table *t, struct instance *i)
{
    if (i == NULL)
        return;
    if (!i->surrogate && t->driver->close)
        t->driver->close(i->open.state);
    if (i->fd >= 0)
        close(i->fd);
    arena_free(i->arena);
}

static enum rc instance_open(const struct table *t, struct instance **out, struct why *why)
{
    struct arena *arena = arena_new(1024);
    struct instance *i = arena_new_of(arena, struct instance);
    struct timespec started = clock_now();
    size_t type = strlen(t->driver->type);
    enum rc rc;

    i->arena = arena;
    i->fd = -1;
    i->open = (struct driver_open){.type = str_head(t->name, type),
                                   .name = str_from(t->name, type + 1),
                                   .flags = t->flags,
                                   .env = &t->env,
                                   .arena = arena,
                                   .again = t->now != NULL,
                                   .driver_flags = t->driver->flags,
                                   .watch_fd = -1};
    rc = t->driver->open(&i->open, why);
    if (rc != RC_OK) {
        arena_free(arena);
        return rc;
    }
    watch(i, started);
    *out = i;
    return RC_OK;
}

static struct instance *instance_surrogate(const struct table *t, const struct why *words)
{
    struct arena *arena = arena_new(1024);
    struct instance *i = arena_new_of(arena, struct instance);

    i->arena = arena;
    i->fd = -1;
    i->surrogate = true;
    i->open.driver_flags = t->driver->flags;
    why_set(&i->trouble, RC_TEMP, STR_FMT " is unavailable. %s", STR_ARG(t->name), words->text);
    if (t->env.log)
        log_warning(t->env.log, "%s", i->trouble.text);
    return i;
}

static enum rc open_first(struct table *t, struct why *why)
{
    struct why words = {0};
    enum rc rc = instance_open(t, &t->now, &words);

    if (rc == RC_TEMP && !(t->flags & TABLE_STRICT) && !settings_open_error_is_fatal(&t->env)) {
        t->now = instance_surrogate(t, &words);
        return RC_OK;
    }
    return rc == RC_OK ? RC_OK : FAIL(why, rc, "%s", words.text);
}

static ino_t root_inode(void)
{
    struct stat st;

    return stat("/", &st) == 0 ? st.st_ino : 0;
}

enum rc table_open(struct str type_name, unsigned flags, const struct table_env *env,
                   struct table **out, struct why *why)
{
    struct str rest = str_trim(type_name), type = str_cut(&rest, ':');
    const struct table_driver *driver;
    struct arena *arena;
    struct table *t;
    enum rc rc;

    if (rest.n == 0)
        return FAIL(why, RC_CONFIG,
                    "open dictionary: expecting \"type:name\" form instead of \"" STR_FMT "\"",
                    STR_ARG(type_name));
    if (!str_eq(settings_type(env, type), type))
        return table_open_redirected(settings_type(env, type), rest, type_name, flags, env, out,
                                     why);
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

    arena = arena_new(512);
    t = arena_new_of(arena, struct table);
    t->arena = arena;
    t->name = arena_copy(arena, str_trim(type_name));
    t->flags = flags;
    t->driver = driver;
    t->env = *env;
    t->looked_at = (long)clock_seconds();
    t->root_inode = root_inode();
    pthread_mutex_init(&t->lock, NULL);
    pthread_rwlock_init(&t->use, NULL);
    rc = open_first(t, why);
    if (rc != RC_OK) {
        table_close(t);
        return rc;
    }
    *out = t;
    return RC_OK;
}

void table_close(struct table *t)
{
    if (t == NULL)
        return;
    instance_close(t, t->now);
    pthread_mutex_destroy(&t->lock);
    pthread_rwlock_destroy(&t->use);
    arena_free(t->arena);
}

struct str table_name(const struct table *t)
{
    return t->name;
}

enum rc table_owner(struct table *t, uid_t *owner)
{
    struct stat st;
    bool known;

    pthread_rwlock_rdlock(&t->use);
    known = t->now->open.has_owner;
    if (known)
        *owner = t->now->open.owner;
    else if (t->now->fd >= 0 && fstat(t->now->fd, &st) == 0)
        *owner = st.st_uid, known = true;
    pthread_rwlock_unlock(&t->use);
    return known ? RC_OK : RC_NONE;
}

void driver_adopt_owner(struct driver_open *o, struct table *inside)
{
    uid_t owner;

    if ((o->has_owner && o->owner != 0) || table_owner(inside, &owner) != RC_OK)
        return;
    o->has_owner = true;
    o->owner = owner;
}

bool table_is_pattern(struct table *t)
{
    bool whole;

    pthread_rwlock_rdlock(&t->use);
    whole = has_flag(t->now, DRIVER_WHOLE);
    pthread_rwlock_unlock(&t->use);
    return whole;
}

/* ---- staying current ---- */

/* Was the file replaced, or written by somebody who is not us? */
static bool file_has_changed(const struct table *t, const struct instance *i)
{
    struct stat opened, named;

    if (i->fd < 0 || fstat(i->fd, &opened) < 0)
        return false;
    if (opened.st_nlink == 0)
        return true;
    if (root_inode() == t->root_inode && stat(i->open.watch_path, &named) == 0 &&
        (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev))
        return true;
    return !has_flag(i, DRIVER_UPDATES) && /* those see for themselves what others write */
           (opened.st_mtim.tv_sec != i->seen.st_mtim.tv_sec ||
            opened.st_mtim.tv_nsec != i->seen.st_mtim.tv_nsec || opened.st_size != i->seen.st_size);
}

/*
 * Rules with an error never replace good ones: these stay, and the error is told once for each
 * version of the file.
 */
static void keep_rules(struct table *t, const struct why *words)
{
    struct instance *i = t->now;
    int fd = open(i->open.watch_path, O_PATH | O_CLOEXEC);
    struct stat st;

    if (t->env.log && strcmp(words->text, i->trouble.text) != 0)
        log_error(t->env.log, "%s; the rules read before stay in force", words->text);
    pthread_rwlock_wrlock(&t->use);
    i->trouble = *words;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        if (i->fd >= 0)
            close(i->fd);
        i->fd = fd;
        i->seen = st;
    }
    pthread_rwlock_unlock(&t->use);
}

static void open_again(struct table *t, bool was_surrogate)
{
    struct instance *new = NULL, *old;
    struct why why = {0};
    bool same_root = root_inode() == t->root_inode;

    if (!same_root || instance_open(t, &new, &why) != RC_OK) {
        if (!was_surrogate && same_root && t->driver->find_rule)
            keep_rules(t, &why);
        else if (!was_surrogate)
            atomic_store(&t->stuck, true);
        return;
    }
    pthread_rwlock_wrlock(&t->use);
    old = t->now;
    t->now = new;
    atomic_store(&t->nul, NUL_UNKNOWN);
    pthread_rwlock_unlock(&t->use);
    instance_close(t, old);
}

/* Once a second one thread looks whether the file is still the same. */
static void look(struct table *t)
{
    long now = (long)clock_seconds(), before = atomic_load(&t->looked_at);
    bool again, surrogate;

    if (before == now || (t->flags & TABLE_CREATE) || atomic_load(&t->stuck))
        return;
    pthread_rwlock_rdlock(&t->use);
    surrogate = t->now->surrogate;
    if (surrogate && now - before < SURROGATE_RETRY_SECONDS) {
        pthread_rwlock_unlock(&t->use);
        return;
    }
    again = atomic_compare_exchange_strong(&t->looked_at, &before, now) &&
            (surrogate || file_has_changed(t, t->now));
    pthread_rwlock_unlock(&t->use);
    if (again)
        open_again(t, surrogate);
}

bool table_has_changed(struct table *t)
{
    look(t);
    return atomic_load(&t->stuck);
}

unsigned long table_stamp(struct table *t)
{
    struct stat st;
    bool there;

    look(t);
    pthread_rwlock_rdlock(&t->use);
    there = t->now->fd >= 0 && fstat(t->now->fd, &st) == 0;
    pthread_rwlock_unlock(&t->use);
    if (!there)
        return 0;
    return ((unsigned long)st.st_mtim.tv_sec * 1000000007UL + (unsigned long)st.st_mtim.tv_nsec) *
               31 +
           (unsigned long)st.st_size + (unsigned long)st.st_ino * 1000003UL;
}

/* ---- keys and values on their way to the driver ---- */

/* The key as the driver sees it, with a NUL behind it that is not counted. */
static struct str driver_key(const struct table *t, const struct instance *i, struct arena *a,
                             struct str key)
{
    if (has_flag(i, DRIVER_FOLDS) && !(t->flags & TABLE_FOLD_KEEP))
        return fold_case(a, key, t->flags & TABLE_UTF8);
    return arena_copy(a, key);
}

static bool checks_utf8(const struct table *t)
{
    return (t->flags & TABLE_UTF8) && !(t->driver->flags & DRIVER_CHECKS_UTF8);
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
    if ((t->flags & TABLE_BASE64) && base64_decode(a, *value, value, why) != RC_OK) {
        why_prefix(why, "table " STR_FMT, STR_ARG(t->name));
        return RC_TEMP;
    }
    return RC_OK;
}

/* Use the driver, alone where it must be. */
static const struct instance *enter(struct table *t, bool alone)
{
    pthread_rwlock_rdlock(&t->use);
    if (alone || !(t->driver->flags & DRIVER_THREADS))
        pthread_mutex_lock(&t->lock);
    return t->now;
}

static void leave(struct table *t, bool alone)
{
    if (alone || !(t->driver->flags & DRIVER_THREADS))
        pthread_mutex_unlock(&t->lock);
    pthread_rwlock_unlock(&t->use);
}

/* ---- lookup ---- */

static enum rc get_indexed(struct table *t, const struct instance *i, struct str key,
                           struct arena *a, struct str *value, struct why *why)
{
    int habit = atomic_load(&t->nul);
    enum rc rc = RC_NONE;

    if (habit != NUL_WITHOUT) {
        rc = t->driver->get(i->open.state, (struct str){key.p, key.n + 1}, a, value, why);
        if (rc == RC_OK)
            atomic_store(&t->nul, NUL_WITH);
    }
    if (rc == RC_NONE && habit != NUL_WITH) {
        rc = t->driver->get(i->open.state, key, a, value, why);
        if (rc == RC_OK)
            atomic_store(&t->nul, NUL_WITHOUT);
    }
    if (rc == RC_OK)
        *value = without_nul(*value);
    return rc;
}

static enum rc get_from(struct table *t, const struct instance *i, struct str key, struct arena *a,
                        struct str *value, struct why *why)
{
    if (i->surrogate)
        return FAIL(why, RC_TEMP, "%s", i->trouble.text);
    key = driver_key(t, i, a, key);
    return has_flag(i, DRIVER_NUL) ? get_indexed(t, i, key, a, value, why)
                                   : t->driver->get(i->open.state, key, a, value, why);
}

enum rc table_get(struct table *t, struct str key, struct arena *a, struct str *value,
                  struct why *why)
{
    struct str found = STR_NONE;
    enum rc rc;

    if (!key_fits(t, key))
        return RC_NONE;
    look(t);
    rc = get_from(t, enter(t, false), key, a, &found, why);
    leave(t, false);
    if (t->env.log) /* not the value: it may be a secret */
        log_trace(t->env.log, LOG_TRACE_LOOKUP, "lookup: " STR_FMT ": " STR_FMT ": %s",
                  STR_ARG(t->name), STR_ARG(key),
                  rc == RC_OK     ? "found"
                  : rc == RC_NONE ? "not there"
                                  : why->text);
    TRY(rc);
    TRY(finish_value(t, a, &found, why));
    *value = found;
    return RC_OK;
}

/* ---- changes ---- */

static bool writes_nul(const struct table *t, const struct instance *i)
{
    if (!has_flag(i, DRIVER_NUL))
        return false;
    if (t->flags & (TABLE_NUL | TABLE_NO_NUL))
        return t->flags & TABLE_NUL;
    if (t->nul != NUL_UNKNOWN)
        return t->nul == NUL_WITH;
    return has_flag(i, DRIVER_WRITES_NUL);
}

static enum rc may_write(const struct table *t, const struct instance *i, bool can, struct why *why)
{
    if (i->surrogate)
        return FAIL(why, RC_TEMP, "%s", i->trouble.text);
    if (!can || !(t->flags & TABLE_WRITE))
        return FAIL(why, RC_PERM, "table " STR_FMT " cannot be changed", STR_ARG(t->name));
    return RC_OK;
}

static enum rc put_into(struct table *t, const struct instance *i, struct str key, struct str value,
                        struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    size_t nul = writes_nul(t, i);
    enum rc rc;

    TRY(may_write(t, i, t->driver->put, why));
    key = driver_key(t, i, a, key);
    if (t->flags & TABLE_BASE64)
        TRY(source_value_of_files(value, a, &value, why));
    value = arena_copy(a, value);
    rc = t->driver->put(i->open.state, (struct str){key.p, key.n + nul},
                        (struct str){value.p, value.n + nul}, t->flags & TABLE_REPLACE, why);
    if (rc != RC_NONE || (t->flags & TABLE_IGNORE_DUP))
        return rc == RC_NONE ? RC_OK : rc;
    if (i->open.label)
        return FAIL(why, RC_NONE, "%s: duplicate entry: \"" STR_FMT "\"", i->open.label,
                    STR_ARG(key));
    return FAIL(why, RC_NONE, STR_FMT ": duplicate entry: \"" STR_FMT "\"", STR_ARG(t->name),
                STR_ARG(key));
}

enum rc table_put(struct table *t, struct str key, struct str value, struct why *why)
{
    enum rc rc;

    if (checks_utf8(t) && (!str_is_utf8(key) || !str_is_utf8(value)))
        return FAIL(why, RC_PERM, "table " STR_FMT ": non-UTF-8 key or value", STR_ARG(t->name));
    look(t);
    rc = put_into(t, enter(t, true), key, value, why);
    leave(t, true);
    return rc;
}

static enum rc delete_from(struct table *t, const struct instance *i, struct str key,
                           struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    enum rc rc = RC_NONE;

    TRY(may_write(t, i, t->driver->delete, why));
    key = driver_key(t, i, a, key);
    if (has_flag(i, DRIVER_NUL))
        rc = t->driver->delete (i->open.state, (struct str){key.p, key.n + 1}, why);
    return rc == RC_NONE ? t->driver->delete (i->open.state, key, why) : rc;
}

enum rc table_delete(struct table *t, struct str key, struct why *why)
{
    enum rc rc;

    if (!key_fits(t, key))
        return RC_NONE;
    look(t);
    rc = delete_from(t, enter(t, true), key, why);
    leave(t, true);
    return rc;
}

enum rc table_commit(struct table *t, struct why *why)
{
    const struct instance *i = enter(t, true);
    enum rc rc = RC_OK;

    if (i->surrogate)
        rc = FAIL(why, RC_TEMP, "%s", i->trouble.text);
    else if (t->driver->commit)
        rc = t->driver->commit(i->open.state, why);
    leave(t, true);
    return rc;
}

static enum rc next_of(struct table *t, const struct instance *i, bool first, struct arena *a,
                       struct str *key, struct str *value, struct why *why)
{
    if (i->surrogate)
        return FAIL(why, RC_TEMP, "%s", i->trouble.text);
    if (t->driver->next == NULL)
        return FAIL(why, RC_PERM, "table " STR_FMT ": sequence operation is not supported",
                    STR_ARG(t->name));
    TRY(t->driver->next(i->open.state, first, a, key, value, why));
    if (has_flag(i, DRIVER_NUL)) {
        *key = without_nul(*key);
        *value = without_nul(*value);
    }
    return RC_OK;
}

enum rc table_next(struct table *t, bool first, struct arena *a, struct str *key, struct str *value,
                   struct why *why)
{
    struct str k, v;
    enum rc rc;

    if (first)
        look(t);
    rc = next_of(t, enter(t, true), first, a, &k, &v, why);
    leave(t, true);
    TRY(rc);
    TRY(finish_value(t, a, &v, why));
    *key = k;
    *value = v;
    return RC_OK;
}

/* ---- rules about clients ---- */

bool table_has_rules(const struct table *t)
{
    return t->driver->find_rule != NULL;
}

enum rc table_find_rule(struct table *t, const struct client_query *query, struct arena *a,
                        struct client_rule *rule, struct why *why)
{
    const struct instance *i;
    enum rc rc;

    if (t->driver->find_rule == NULL)
        return FAIL(why, RC_PERM, STR_FMT " has no rules about clients", STR_ARG(t->name));
    look(t);
    i = enter(t, false);
    rc = i->surrogate ? FAIL(why, RC_TEMP, "%s", i->trouble.text)
                      : t->driver->find_rule(i->open.state, query, a, rule, why);
    if (rc == RC_OK)
        client_rule_own(rule, a); /* the file may be read again after leave() */
    leave(t, false);
    return rc;
}

enum rc table_each_rule(struct table *t, struct arena *a, client_rule_visit *visit, void *context,
                        struct why *why)
{
    const struct instance *i;
    enum rc rc;

    if (t->driver->each_rule == NULL)
        return FAIL(why, RC_PERM, STR_FMT " cannot be listed", STR_ARG(t->name));
    i = enter(t, false);
    rc = i->surrogate ? FAIL(why, RC_TEMP, "%s", i->trouble.text)
                      : t->driver->each_rule(i->open.state, a, visit, context, why);
    leave(t, false);
    return rc;
}

bool table_wants_user(struct table *t)
{
    const struct instance *i = enter(t, false);
    bool wants = !i->surrogate && t->driver->wants_user && t->driver->wants_user(i->open.state);

    leave(t, false);
    return wants;
}
