/*
 * scache - the place where Postfix's SMTP clients leave open connections for each other.
 *
 * Ours serve many deliveries in one process and keep connections there (src/smtp/pool.h), which
 * costs no hand-over. So this service keeps nothing: it is there because master.cf names it, and
 * answers whoever asks that there is no such connection.
 */
#include <unistd.h>

#include "service/service.h"

enum { NOT_THERE = 1 };

static void scache_session(struct service_env *env, void *state, int fd)
{
    const struct status_reply reply = {.status = NOT_THERE};
    enum ipc_type type;
    struct ipc client;
    struct why why = {0};

    (void)state;
    ipc_init(&client, dup(fd), 0);
    while (service_next(env, &client, &type, &why) == RC_OK) {
        AUTO_ARENA a = arena_new(8 * 1024);
        struct connection_cache request;
        if (ipc_read_connection_cache(&client, a, &request, NULL, &why) != RC_OK ||
            ipc_send_status_reply(&client, &reply, -1, &why) != RC_OK)
            break;
    }
    ipc_done(&client);
}

static const struct service scache = {
    .name = "scache",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .session = scache_session,
};

int main(int argc, char **argv)
{
    return service_main(&scache, argc, argv);
}
