#include "table/base64.h"
#include "tlsmgr/tlsmgr.h"

enum rc sessions_open(struct tlsmgr *m, struct session_cache *c, struct why *why)
{
    struct table_env env = {m->env->config, &m->env->log};

    if (str_trim(c->spec).n == 0 || c->timeout <= 0)
        return RC_OK;
    return table_open(str_trim(c->spec), TABLE_WRITE | TABLE_REPLACE | TABLE_CACHE | TABLE_BYTES,
                      &env, &c->table, why);
}

/* "END:base64" */
static bool entry_parse(struct str value, long *end, struct str *text)
{
    struct str rest = value, number = str_cut(&rest, ':');

    *text = rest;
    return rest.p && str_to_long(number, 0, LONG_MAX, end);
}

enum rc sessions_get(struct session_cache *c, struct str id, long now, struct arena *a,
                     struct str *session, struct why *why)
{
    struct str value, text;
    long end;

    if (c->table == NULL)
        return RC_NONE;
    TRY(table_get(c->table, id, a, &value, why));
    if (!entry_parse(value, &end, &text) || end <= now)
        return RC_NONE;
    return base64_decode(a, text, session, why) == RC_OK ? RC_OK : RC_NONE;
}

enum rc sessions_put(struct session_cache *c, struct str id, struct str session, long now,
                     struct why *why)
{
    AUTO_ARENA a = arena_new(8192);
    struct str text = base64_encode(a, session);

    if (c->table == NULL)
        return RC_NONE;
    return table_put(c->table, id, arena_printf(a, "%ld:" STR_FMT, now + c->timeout, STR_ARG(text)),
                     why);
}

enum rc sessions_delete(struct session_cache *c, struct str id, struct why *why)
{
    return c->table ? table_delete(c->table, id, why) : RC_NONE;
}

enum rc sessions_clean(struct session_cache *c, long now, long *kept, long *dropped,
                       struct why *why)
{
    VEC(struct str) old = {0};
    AUTO_ARENA a = arena_new(4096);
    AUTO_ARENA one = arena_new(16384);
    struct str key, value, text;
    bool first = true;
    enum rc rc;

    *kept = *dropped = 0;
    while ((rc = table_next(c->table, first, one, &key, &value, why)) == RC_OK) {
        long end;
        first = false;
        if (entry_parse(value, &end, &text) && end > now)
            ++*kept;
        else
            vec_add(a, &old, arena_copy(a, key));
        arena_reset(one);
    }
    if (rc != RC_NONE)
        return rc;
    for (size_t i = 0; i < old.n; i++) {
        rc = table_delete(c->table, old.v[i], why);
        if (rc != RC_OK && rc != RC_NONE)
            return rc;
        ++*dropped;
    }
    return RC_OK;
}
