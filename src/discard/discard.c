/*
 * discard - delivery agent that drops mail and reports it as sent.
 *
 * The nexthop of the request is the text that the log shows: "discard:some text" in a transport
 * table.
 */
#include "deliver/deliver.h"

static void discard_request(void *context, struct delivery *d)
{
    struct dsn dsn = dsn_simple("2.0.0", d->request.nexthop);

    (void)context;
    deliver_report_all(d, &dsn);
}

static void session(struct service_env *env, void *state, int fd)
{
    deliver_serve(env, state, fd, discard_request, NULL, NULL);
}

static const struct service discard = {
    .name = "discard",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE,
    .start = deliver_agent_start,
    .session = session,
    .has_changed = deliver_agent_has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&discard, argc, argv);
}
