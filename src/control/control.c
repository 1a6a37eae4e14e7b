/*
 * control - what smtpctl(8) asks for that concerns the running services: pauses, tracing, counters.
 *
 * Takes requests of root and mail_owner only (peer credentials). What is switched stands in memory
 * that all services read; only master writes it, on the word of this service.
 */
#include "control/control.h"

static const struct service control = {
    .name = "control",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .default_sessions = 20,
    .session = control_session,
};

int main(int argc, char **argv)
{
    return service_main(&control, argc, argv);
}
