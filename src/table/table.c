#include "table/table.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "table/instance.h"
#include "table/settings.h"
#include "util/clock.h"
#include "util/memory.h"

enum { SURROGATE_RETRY_SECONDS = 2, CLOCK_TICK_NS = 10 * 1000 * 1000 };

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
    pthread_mutex_init(&t->renewal, NULL);
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
    pthread_mutex_destroy(&t->renewal);
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
    whole = instance_has(t->now, DRIVER_WHOLE);
    pthread_rwlock_unlock(&t->use);
    return whole;
}

/* ---- staying current ---- */

/* Was the file replaced, or written by somebody who is not us? */
static bool file_has_changed(const struct table *t, const struct instance *i)
{
    struct stat opened, named;

    if (i->fd < 0) /* it was not there; what it held before was taken */
        return i->open.watch_path && root_inode() == t->root_inode &&
               stat(i->open.watch_path, &named) == 0;
    if (fstat(i->fd, &opened) < 0)
        return false;
    if (opened.st_nlink == 0)
        return true;
    if (root_inode() == t->root_inode && stat(i->open.watch_path, &named) == 0 &&
        (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev))
        return true;
    return !instance_has(i, DRIVER_UPDATES) && /* those see for themselves what others write */
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

/* One thread at a time, and only when nobody else has done it meanwhile. */
static void renew(struct table *t)
{
    bool surrogate;

    pthread_mutex_lock(&t->renewal);
    surrogate = t->now->surrogate;
    if (surrogate || file_has_changed(t, t->now))
        open_again(t, surrogate);
    pthread_mutex_unlock(&t->renewal);
}

static bool is_out_of_date(struct table *t, bool at_once)
{
    long now = (long)clock_seconds(), before = atomic_load(&t->looked_at);
    bool surrogate, out_of_date = false;

    if ((before == now && !at_once) || (t->flags & TABLE_CREATE) || atomic_load(&t->stuck))
        return false;
    pthread_rwlock_rdlock(&t->use);
    surrogate = t->now->surrogate;
    if (!surrogate || now - before >= SURROGATE_RETRY_SECONDS)
        out_of_date = atomic_compare_exchange_strong(&t->looked_at, &before, now) &&
                      (surrogate || file_has_changed(t, t->now));
    pthread_rwlock_unlock(&t->use);
    return out_of_date;
}

void table_look(struct table *t)
{
    if (is_out_of_date(t, false))
        renew(t);
}

void table_look_at_once(struct table *t)
{
    if (is_out_of_date(t, true))
        renew(t);
}

bool table_has_changed(struct table *t)
{
    table_look(t);
    return atomic_load(&t->stuck);
}

unsigned long table_stamp(struct table *t)
{
    struct stat st;
    bool there;

    table_look(t);
    pthread_rwlock_rdlock(&t->use);
    there = t->now->fd >= 0 && fstat(t->now->fd, &st) == 0;
    pthread_rwlock_unlock(&t->use);
    if (!there)
        return 0;
    return ((unsigned long)st.st_mtim.tv_sec * 1000000007UL + (unsigned long)st.st_mtim.tv_nsec) *
               31 +
           (unsigned long)st.st_size + (unsigned long)st.st_ino * 1000003UL;
}
