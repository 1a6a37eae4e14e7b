/* Leaving Berkeley DB: tables of other types take the place of hash and btree. */
#include <unistd.h>

#include "config/config.h"
#include "ipc/ipc.h"
#include "table/driver.h"
#include "table/settings.h"

enum { REINDEX_MS = 120 * 1000 };

static enum rc ask_for_table(struct str type, struct str name, const struct table_env *env,
                             struct arena *a, struct why *why)
{
    struct str service = settings_reindex_service(env);
    struct reindex_request request = {type, name};
    struct status_reply reply = {0};
    struct ipc c;
    enum rc rc;

    TRY(ipc_connect(&c, settings_queue_directory(env),
                    arena_printf(a, "private/" STR_FMT, STR_ARG(service)).p, REINDEX_MS, why));
    rc = ipc_send_reindex_request(&c, &request, -1, why);
    if (rc == RC_OK)
        rc = ipc_read_status_reply(&c, a, &reply, NULL, why);
    if (rc == RC_OK && reply.status)
        rc = FAIL(why, RC_PERM, STR_FMT, STR_ARG(reply.text));
    ipc_done(&c);
    return rc;
}

/* The text is there, a table of the old type may be, that of the new type is not. */
static void make_missing(struct str type, struct str name, const struct table_env *env)
{
    AUTO_ARENA a = arena_new(1024);
    struct why why;

    if (settings_reindex_service(env).n == 0 || access(arena_text(a, name), F_OK) < 0 ||
        access(arena_printf(a, STR_FMT "." STR_FMT, STR_ARG(name), STR_ARG(type)).p, F_OK) == 0)
        return;
    if (ask_for_table(type, name, env, a, &why) != RC_OK && env->log)
        log_warning(env->log, "cannot make " STR_FMT ":" STR_FMT ": %s", STR_ARG(type),
                    STR_ARG(name), why.text);
}

/* hash:x and btree:x may be on their way to another type. */
enum rc table_open_redirected(struct str type, struct str name, struct str old, unsigned flags,
                              const struct table_env *env, struct table **out, struct why *why)
{
    AUTO_ARENA a = arena_new(256);
    struct str other = arena_printf(a, STR_FMT ":" STR_FMT, STR_ARG(type), STR_ARG(name));

    if (env->log && env->config->non_bdb_migration_log_redirect)
        log_info(env->log, "redirecting " STR_FMT " to " STR_FMT, STR_ARG(old), STR_ARG(other));
    if (!(flags & (TABLE_WRITE | TABLE_CREATE | TABLE_CACHE)))
        make_missing(type, name, env);
    return table_open(other, flags, env, out, why);
}
