/*
 * local - delivery agent for users of this machine: mailboxes, aliases, .forward files, commands.
 *
 *   start         what is opened once: tables, pools, default rights
 *   recipient     one recipient, at any depth of an expansion: where to look, in which order
 *   destinations  the text of an alias, a .forward file, an :include: file
 *   alias, dotforward, expand   texts become recipients, commands, files
 *   mailbox       mailboxes of users, mailbox_command, other transports, unknown users
 *   file, command deliveries with the rights of whoever wrote them down
 *   forward       addresses elsewhere: collected, sent as new messages at the end
 *   resolve, pass, user   questions to other services and to the system
 *
 * Runs with one session per process, as the mail system's user; it becomes the recipient only
 * while it writes a mailbox, reads a .forward file or starts a command.
 */
#include "local/local.h"

static const struct service local = {
    .name = "local",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_ROOT,
    .may = MAY_WRITE_QUEUE | MAY_EXEC | MAY_DELIVER,
    .default_sessions = 1,
    .start = local_start,
    .session = local_session,
    .has_changed = local_has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&local, argc, argv);
}
