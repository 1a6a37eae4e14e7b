/*
 * scache - the place where Postfix's SMTP clients leave open connections for each other.
 *
 * Ours serve many deliveries in one process and keep connections there (src/smtp/pool.h), which
 * costs no hand-over. So this service keeps nothing: it is there because master.cf names it, and
 * answers whoever asks that there is no such connection.
 */
#include "service/service.h"

enum { NOT_THERE = 1 };

static enum rc answer(struct service_env *env, void *state, struct ipc *c, struct arena *a,
                      struct why *why)
{
    const struct status_reply reply = {.status = NOT_THERE};
    struct connection_cache request;

    (void)env;
    (void)state;
    TRY(ipc_read_connection_cache(c, a, &request, NULL, why));
    return ipc_send_status_reply(c, &reply, -1, why);
}

static void session(struct service_env *env, void *state, int fd)
{
    service_answer(env, state, fd, answer);
}

static const struct service scache = {
    .name = "scache",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .session = session,
};

int main(int argc, char **argv)
{
    return service_main(&scache, argc, argv);
}
