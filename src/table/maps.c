#include "table/table.h"

struct maps {
    struct arena *arena;
    const char *parameter;
    struct table_env env;
    VEC(struct table *) tables;
};

enum rc maps_open(const char *parameter, struct str spec, unsigned flags,
                  const struct table_env *env, struct maps **out, struct why *why)
{
    struct arena *arena = arena_new(512);
    struct maps *m = arena_new_of(arena, struct maps);
    struct str one;

    m->arena = arena;
    m->parameter = arena_text(arena, str_of(parameter));
    m->env = *env;
    while (str_token_braced(&spec, LIST_SEPARATORS, &one)) {
        struct table *t;
        enum rc rc = table_open(one, flags, env, &t, why);
        if (rc != RC_OK) {
            why_prefix(why, "%s", parameter);
            maps_close(m);
            return rc;
        }
        vec_add(arena, &m->tables, t);
    }
    *out = m;
    return RC_OK;
}

void maps_close(struct maps *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->tables.n; i++)
        table_close(m->tables.v[i]);
    arena_free(m->arena);
}

bool maps_empty(const struct maps *m)
{
    return m == NULL || m->tables.n == 0;
}

bool maps_have_changed(struct maps *m)
{
    for (size_t i = 0; m && i < m->tables.n; i++)
        if (table_has_changed(m->tables.v[i]))
            return true;
    return false;
}

unsigned long maps_stamp(struct maps *m)
{
    unsigned long stamp = 0;

    for (size_t i = 0; m && i < m->tables.n; i++)
        stamp = stamp * 31 + table_stamp(m->tables.v[i]);
    return stamp;
}

/* A table must say "not found", not answer with nothing. */
static enum rc empty_result(const struct maps *m, const struct table *t, struct str key,
                            struct why *why)
{
    struct str name = table_name(t);

    if (m->env.log)
        log_warning(m->env.log,
                    "%s lookup of " STR_FMT " in table " STR_FMT
                    " returns an empty string result; the table should return NO "
                    "RESULT in case of NOT FOUND",
                    m->parameter, STR_ARG(key), STR_ARG(name));
    return FAIL(why, RC_TEMP,
                "table " STR_FMT ": key " STR_FMT ": empty string result is not allowed",
                STR_ARG(name), STR_ARG(key));
}

static enum rc find(struct maps *m, struct str key, bool with_patterns, struct arena *a,
                    struct str *value, struct table **from, struct why *why)
{
    for (size_t i = 0; m && i < m->tables.n; i++) {
        struct table *t = m->tables.v[i];
        struct str found;
        enum rc rc;
        if (!with_patterns && table_is_pattern(t))
            continue;
        rc = table_get(t, key, a, &found, why);
        if (rc == RC_NONE)
            continue;
        if (rc == RC_OK && found.n == 0)
            rc = empty_result(m, t, key, why);
        if (rc != RC_OK) {
            why_prefix(why, "%s", m->parameter);
            return RC_TEMP;
        }
        *value = found;
        *from = t;
        return RC_OK;
    }
    return RC_NONE;
}

enum rc maps_get_from(struct maps *m, struct str key, struct arena *a, struct str *value,
                      struct table **from, struct why *why)
{
    return find(m, key, true, a, value, from, why);
}

enum rc maps_get(struct maps *m, struct str key, struct arena *a, struct str *value,
                 struct why *why)
{
    struct table *from;

    return find(m, key, true, a, value, &from, why);
}

enum rc maps_get_fixed(struct maps *m, struct str key, struct arena *a, struct str *value,
                       struct why *why)
{
    struct table *from;

    return find(m, key, false, a, value, &from, why);
}
