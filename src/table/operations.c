/* Lookups and changes in an open table, whatever its driver wants for them. */
#include "table/base64.h"
#include "table/instance.h"
#include "table/source.h"

/* ---- keys and values on their way to the driver ---- */

/* The key as the driver sees it, with a NUL behind it that is not counted. */
static struct str driver_key(const struct table *t, const struct instance *i, struct arena *a,
                             struct str key)
{
    if (instance_has(i, DRIVER_FOLDS) && !(t->flags & TABLE_FOLD_KEEP))
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
    return instance_has(i, DRIVER_NUL) ? get_indexed(t, i, key, a, value, why)
                                       : t->driver->get(i->open.state, key, a, value, why);
}

enum rc table_get(struct table *t, struct str key, struct arena *a, struct str *value,
                  struct why *why)
{
    struct str found = STR_NONE;
    enum rc rc;

    if (!key_fits(t, key))
        return RC_NONE;
    table_look(t);
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
    if (!instance_has(i, DRIVER_NUL))
        return false;
    if (t->flags & (TABLE_NUL | TABLE_NO_NUL))
        return t->flags & TABLE_NUL;
    if (t->nul != NUL_UNKNOWN)
        return t->nul == NUL_WITH;
    return instance_has(i, DRIVER_WRITES_NUL);
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
    table_look(t);
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
    if (instance_has(i, DRIVER_NUL))
        rc = t->driver->delete (i->open.state, (struct str){key.p, key.n + 1}, why);
    return rc == RC_NONE ? t->driver->delete (i->open.state, key, why) : rc;
}

enum rc table_delete(struct table *t, struct str key, struct why *why)
{
    enum rc rc;

    if (!key_fits(t, key))
        return RC_NONE;
    table_look(t);
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
    if (instance_has(i, DRIVER_NUL)) {
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
        table_look(t);
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
    table_look_at_once(t);
    i = enter(t, false);
    rc = i->surrogate ? FAIL(why, RC_TEMP, "%s", i->trouble.text)
                      : t->driver->find_rule(i->open.state, query, a, rule, why);
    if (rc == RC_OK)
        client_rule_own(rule, a); /* the file may be read again after leave() */
    leave(t, false);
    return rc;
}

enum rc table_each_rule(struct table *t, client_rule_visit *visit, void *context, struct why *why)
{
    const struct instance *i;
    enum rc rc;

    if (t->driver->each_rule == NULL)
        return FAIL(why, RC_PERM, STR_FMT " cannot be listed", STR_ARG(t->name));
    i = enter(t, false);
    rc = i->surrogate ? FAIL(why, RC_TEMP, "%s", i->trouble.text)
                      : t->driver->each_rule(i->open.state, visit, context, why);
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
