/*
 * proxymap - table lookups on behalf of other processes.
 *
 * As proxymap it answers lookups in the tables of proxy_read_maps, as proxywrite it also changes
 * those of proxy_write_maps. Clients have no access of their own to such tables, because they run
 * in a chroot, or share one connection to a database server instead of opening many.
 */
#include "proxymap/proxymap.h"

#include "config/config.h"

struct proxymap {
    struct proxy_tables *tables;
    bool writes;
};

static enum rc start(struct service_env *env, void **state, struct why *why)
{
    struct proxymap *p = arena_new_of(arena_new(64), struct proxymap);

    (void)why;
    p->writes = str_eq(str_of(env->name), env->config->proxywrite_service_name);
    p->tables = proxy_tables_new(
        env, p->writes ? env->config->proxy_write_maps : env->config->proxy_read_maps, p->writes);
    *state = p;
    return RC_OK;
}

static enum rc operate(struct proxymap *p, struct table *t, const struct table_request *q,
                       struct arena *a, struct table_reply *reply, struct why *why)
{
    switch (q->operation) {
    case 'o': reply->flags = table_is_pattern(t); return RC_OK;
    case 'g': return table_get(t, q->key, a, &reply->value, why);
    case 'f':
    case 'n': return table_next(t, q->operation == 'f', a, &reply->key, &reply->value, why);
    case 'p':
        if (p->writes)
            return table_put(t, q->key, q->value, why);
        break;
    case 'd':
        if (p->writes)
            return table_delete(t, q->key, why);
        break;
    default: return FAIL(why, RC_PERM, "unknown operation %ld", q->operation);
    }
    return FAIL(why, RC_PERM, "this service does not change tables; use proxywrite");
}

static void warn_unapproved(const struct service_env *env, const struct proxymap *p,
                            struct str table, const char *text)
{
    log_warning(&env->log, "%s", text);
    log_warning(&env->log, "to approve this table for %s access, list proxy:" STR_FMT " in %s",
                p->writes ? "read-write" : "read-only", STR_ARG(table),
                p->writes ? "proxy_write_maps" : "proxy_read_maps");
}

static enum rc serve(struct service_env *env, void *state, struct ipc *c, struct arena *a,
                     struct why *why)
{
    struct proxymap *p = state;
    struct table_request request;
    struct table_reply reply = {0};
    struct why words = {0};
    struct table *t;
    enum rc rc;

    TRY(ipc_read_table_request(c, a, &request, NULL, why));
    rc = proxy_tables_get(p->tables, request.table, (unsigned)request.flags, &t, &words);
    if (rc == RC_PERM)
        warn_unapproved(env, p, request.table, words.text);
    else if (rc == RC_OK)
        rc = operate(p, t, &request, a, &reply, &words);
    reply.status = rc;
    if (rc != RC_OK && rc != RC_NONE)
        reply.text = arena_copy(a, str_of(words.text));
    if (proxy_tables_have_changed(p->tables))
        service_retire(env);
    return ipc_send_table_reply(c, &reply, -1, why);
}

static void session(struct service_env *env, void *state, int fd)
{
    service_answer(env, state, fd, serve);
}

static const struct service proxymap = {
    .name = "proxymap",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_CONNECT | MAY_WRITE_DATA,
    .start = start,
    .session = session,
};

int main(int argc, char **argv)
{
    return service_main(&proxymap, argc, argv);
}
