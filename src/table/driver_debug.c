/* debug: "debug:type:name"; logs each operation of the table inside. */
#include "table/driver.h"

struct debug {
    struct table *inner;
    const struct log *log;
};

static enum rc debug_open(struct driver_open *o, struct why *why)
{
    struct debug *d = arena_new_of(o->arena, struct debug);

    d->log = o->env->log;
    TRY(table_open(o->name, o->flags, o->env, &d->inner, why));
    driver_adopt_owner(o, d->inner);
    if (table_is_pattern(d->inner))
        o->driver_flags |= DRIVER_WHOLE;
    o->state = d;
    return RC_OK;
}

static void show(const struct debug *d, const char *operation, struct str key, enum rc rc,
                 struct str value, const struct why *why)
{
    struct str name = table_name(d->inner);

    if (d->log == NULL)
        return;
    if (rc == RC_OK)
        log_info(d->log, STR_FMT " %s: \"" STR_FMT "\" = \"" STR_FMT "\"", STR_ARG(name), operation,
                 STR_ARG(key), STR_ARG(value));
    else if (rc == RC_NONE)
        log_info(d->log, STR_FMT " %s: \"" STR_FMT "\" = not found", STR_ARG(name), operation,
                 STR_ARG(key));
    else
        log_info(d->log, STR_FMT " %s: \"" STR_FMT "\" = error: %s", STR_ARG(name), operation,
                 STR_ARG(key), why->text);
}

static enum rc debug_get(void *state, struct str key, struct arena *a, struct str *value,
                         struct why *why)
{
    const struct debug *d = state;
    struct why words = {0};
    struct str found = STR_NONE;
    enum rc rc = table_get(d->inner, key, a, &found, &words);

    show(d, "lookup", key, rc, found, &words);
    if (rc != RC_OK)
        return rc == RC_NONE ? rc : FAIL(why, rc, "%s", words.text);
    *value = found;
    return RC_OK;
}

static enum rc debug_put(void *state, struct str key, struct str value, bool replace,
                         struct why *why)
{
    const struct debug *d = state;
    struct why words = {0};
    enum rc rc = table_put(d->inner, key, value, &words);

    (void)replace; /* the table inside was opened with the same flags */
    show(d, "update", key, rc, value, &words);
    return rc == RC_OK || rc == RC_NONE ? rc : FAIL(why, rc, "%s", words.text);
}

static enum rc debug_delete(void *state, struct str key, struct why *why)
{
    const struct debug *d = state;
    struct why words = {0};
    enum rc rc = table_delete(d->inner, key, &words);

    show(d, "delete", key, rc, STR("success"), &words);
    return rc == RC_OK || rc == RC_NONE ? rc : FAIL(why, rc, "%s", words.text);
}

static enum rc debug_next(void *state, bool first, struct arena *a, struct str *key,
                          struct str *value, struct why *why)
{
    const struct debug *d = state;
    enum rc rc = table_next(d->inner, first, a, key, value, why);

    if (rc == RC_OK)
        show(d, "sequence", *key, rc, *value, why);
    return rc;
}

static enum rc debug_commit(void *state, struct why *why)
{
    return table_commit(((struct debug *)state)->inner, why);
}

static void debug_close(void *state)
{
    table_close(((struct debug *)state)->inner);
}

const struct table_driver table_driver_debug = {
    .type = "debug",
    .flags = DRIVER_THREADS | DRIVER_CREATES | DRIVER_UPDATES | DRIVER_CHECKS_UTF8,
    .open = debug_open,
    .get = debug_get,
    .put = debug_put,
    .delete = debug_delete,
    .next = debug_next,
    .commit = debug_commit,
    .close = debug_close,
};
