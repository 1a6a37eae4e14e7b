/*
 * error - delivery agent that bounces (service error) or defers (service retry) with the text in
 * the nexthop.
 *
 * "error:5.1.2 no such domain" in a transport table; a text without status code gets 5.0.0
 * or 4.0.0.
 */
#include "deliver/deliver.h"
#include "global/dsn.h"

static void report_text(void *context, struct delivery *d)
{
    const struct service_env *env = context;
    bool retry = strcmp(env->name, "retry") == 0;
    struct dsn dsn = {0};

    dsn_split(d->request.nexthop, retry ? "4.0.0" : "5.0.0", &dsn.status, &dsn.reason);
    if (retry) /* whatever class the text names */
        dsn.status = arena_printf(d->arena, "4" STR_FMT, STR_ARG(str_from(dsn.status, 1)));
    deliver_report_all(d, &dsn);
}

static void session(struct service_env *env, void *state, int fd)
{
    deliver_serve(env, state, fd, report_text, NULL, env);
}

static const struct service error = {
    .name = "error",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE,
    .start = deliver_agent_start,
    .session = session,
    .has_changed = deliver_agent_has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&error, argc, argv);
}
