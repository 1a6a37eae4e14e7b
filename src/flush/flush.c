/*
 * flush - have mail for one destination, or one message, tried now.
 *
 * Serves ETRN (smtpd) and postqueue -s and -i on its socket. Which messages wait for a site is read
 * from the queue index, or from the deferred files when there is none; so agents need not tell.
 */
#include "flush/flush.h"

static const struct service flush = {
    .name = "flush",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE | MAY_WRITE_DATA,
    .start = flush_start,
    .session = flush_session,
    .wakeup = flush_wakeup,
};

int main(int argc, char **argv)
{
    return service_main(&flush, argc, argv);
}
