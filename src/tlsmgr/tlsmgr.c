/*
 * tlsmgr - home of what TLS sessions share across processes: session caches and ticket keys.
 *
 * Until smtpd and smtp speak TLS nobody asks it anything; it starts where master.cf names it, takes
 * the wake-ups of its timer, and refuses requests by closing the connection.
 */
#include "service/service.h"

static void wakeup(struct service_env *env, void *state, struct str requests)
{
    (void)state;
    log_debug(&env->log, "wake-up, %zu bytes", requests.n);
}

static const struct service tlsmgr = {
    .name = "tlsmgr",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .wakeup = wakeup,
};

int main(int argc, char **argv)
{
    return service_main(&tlsmgr, argc, argv);
}
