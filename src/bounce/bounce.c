/*
 * bounce - keep the reasons why mail was not delivered, and tell the sender.
 *
 * Three services of master.cf run this program: bounce, defer and trace. Delivery agents add the
 * status of a recipient to the log file of its message (in bounce/, defer/ or trace/ below
 * queue_directory); qmgr asks for the notification. A notification is a multipart/report
 * (RFC 3464) that goes through the cleanup service.
 *
 *   session  the requests of one connection
 *   notify   who is told what: sender, postmaster, nobody
 *   report   the message: header, text, delivery status, original message
 *   original the message that the notification is about
 */
#include "bounce/bounce.h"

static const struct service bounce = {
    .name = "bounce",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE,
    .start = bounce_start,
    .session = bounce_session,
};

int main(int argc, char **argv)
{
    return service_main(&bounce, argc, argv);
}
