/*
 * pickup - take local mail from sendmail(1) and maildrop/ into the queue.
 *
 * Serves sendmail(1) on the socket in submit_socket_directory, and scans maildrop/ when postdrop
 * or the timer of master.cf wakes it: each file is submitted once, then removed.
 *
 *   message  records become a submission
 *   session  one connection of sendmail(1)
 *   scan     the files of maildrop/
 */
#include "pickup/pickup.h"

static const struct service pickup = {
    .name = "pickup",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE,
    .default_sessions = PICKUP_SESSIONS,
    .start = pickup_start,
    .session = pickup_session,
    .wakeup = pickup_scan,
    .has_changed = pickup_has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&pickup, argc, argv);
}
