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

static bool is_good(void *now, struct str value)
{
    struct str text;
    long end;

    return entry_parse(value, &end, &text) && end > *(const long *)now;
}

enum rc sessions_clean(struct session_cache *c, long now, long *kept, long *dropped,
                       struct why *why)
{
    return table_clean(c->table, is_good, &now, kept, dropped, why);
}
