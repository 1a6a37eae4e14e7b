#include <pthread.h>

#include "proxymap/proxymap.h"
#include "util/map.h"
#include "util/memory.h"

enum {
    /* What a client may ask for; the rest is our business. */
    CLIENT_FLAGS = TABLE_FOLD_KEEP | TABLE_NO_SUBSTITUTE | TABLE_NO_UNAUTH | TABLE_BYTES |
                   TABLE_REPLACE | TABLE_IGNORE_DUP | TABLE_CACHE,
};

struct proxy_tables {
    struct map allowed; /* "type:name"; read-only after start */
    bool writes;
    struct table_env env;
    pthread_mutex_t lock;
    struct map open; /* lock: flags and "type:name" to struct table */
};

static struct str without_proxy(struct str table)
{
    while (str_has_prefix(table, STR("proxy:")))
        table = str_from(table, 6);
    return table;
}

struct proxy_tables *proxy_tables_new(struct service_env *env, struct str list, bool writes)
{
    struct proxy_tables *p = NEW(struct proxy_tables);
    struct str word;

    p->writes = writes;
    p->env = (struct table_env){env->config, &env->log};
    pthread_mutex_init(&p->lock, NULL);
    map_init(&p->allowed);
    map_init(&p->open);
    while (str_token_braced(&list, LIST_SEPARATORS, &word))
        if (str_has_prefix(word, STR("proxy:")))
            map_put(&p->allowed, without_proxy(word), p);
    return p;
}

/* The lock is held while a table is opened: whoever wants the same table waits for it, too. */
static enum rc get_locked(struct proxy_tables *p, struct str key, struct str table, unsigned flags,
                          struct table **out, struct why *why)
{
    *out = map_get(&p->open, key);
    if (*out)
        return RC_OK;
    TRY(table_open(table, flags | (p->writes ? TABLE_WRITE : 0), &p->env, out, why));
    map_put(&p->open, key, *out);
    return RC_OK;
}

enum rc proxy_tables_get(struct proxy_tables *p, struct str table, unsigned flags,
                         struct table **out, struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    struct str key;
    enum rc rc;

    table = without_proxy(table);
    if (map_get(&p->allowed, table) == NULL)
        return FAIL(why, RC_PERM, "request for unapproved table: \"" STR_FMT "\"", STR_ARG(table));
    flags &= CLIENT_FLAGS;
    key = arena_printf(a, "%x " STR_FMT, flags, STR_ARG(table));
    pthread_mutex_lock(&p->lock);
    rc = get_locked(p, key, table, flags, out, why);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

bool proxy_tables_have_changed(struct proxy_tables *p)
{
    bool changed = false;

    pthread_mutex_lock(&p->lock);
    for (struct map_item *i = NULL; !changed && (i = map_next(&p->open, i));)
        changed = table_has_changed(i->value);
    pthread_mutex_unlock(&p->lock);
    return changed;
}
