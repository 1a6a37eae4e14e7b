/*
 * qmgr - the queue manager: takes notice of new mail, decides what is delivered when and where,
 * hands it to the delivery agents, and keeps what could not be delivered for another try.
 *
 * In: notices of the submit library with the open queue file, trigger bytes, files in incoming/,
 * active/ and deferred/. Out: delivery requests to private/TRANSPORT, requests to bounce, defer and
 * trace.
 */
#include "qmgr/qmgr.h"

#include "config/config.h"
#include "qmgr/start.h"

static const struct service qmgr = {
    .name = "qmgr",
    .shape = SERVICE_LOOP,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE | MAY_WRITE_DATA,
    .daemon_timeout = offsetof(struct config, qmgr_daemon_timeout),
    .start = qmgr_start,
    .confined = qmgr_confined,
    .accepted = qmgr_accepted,
    .wakeup = qmgr_wakeup,
    .drain = qmgr_drain,
};

int main(int argc, char **argv)
{
    return service_main(&qmgr, argc, argv);
}
