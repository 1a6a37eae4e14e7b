/*
 * pipe - delivery agent that gives each message to an external command.
 *
 * The master.cf line tells how: flags= user= argv= and the others of attributes.c. The command
 * reads the message on its standard input; its exit status and the first words that it prints
 * decide what becomes of the recipients.
 */
#include "pipe/pipe.h"

static const struct service pipe_service = {
    .name = "pipe",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_ROOT,
    .may = MAY_WRITE_QUEUE | MAY_EXEC,
    .default_sessions = 1,
    .start = pipe_start,
    .session = pipe_session,
    .has_changed = pipe_has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&pipe_service, argc, argv);
}
