/*
 * smtpfwdd - hand messages to a program that is called like sendmail.
 *
 * As a delivery agent of master.cf it takes them from the queue (agent.c). As a command it takes
 * the files of an Obtuse spool directory, which smtpd writes (drain.c, forward.c).
 */
#include "smtpfwdd/smtpfwdd.h"

static const struct service agent = {
    .name = "smtpfwdd",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_ROOT,
    .may = MAY_WRITE_QUEUE | MAY_EXEC,
    .default_sessions = 1,
    .start = agent_start,
    .session = agent_session,
    .has_changed = agent_has_changed,
};

/* master tells the type of the service; the command has no such option. */
static bool is_service(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-t") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    return is_service(argc, argv) ? service_main(&agent, argc, argv) : drain_main(argc, argv);
}
