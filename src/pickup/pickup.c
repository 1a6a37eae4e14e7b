/*
 * pickup - take local mail into the queue.
 *
 * Serves sendmail(1) on its own socket (submit_socket_directory), and scans maildrop/ when
 * postdrop, postsuper or the timer of master.cf wakes it: each file is submitted once, then
 * removed.
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
};

int main(int argc, char **argv)
{
    return service_main(&pickup, argc, argv);
}
