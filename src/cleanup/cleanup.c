/*
 * cleanup - take messages over a socket and put them into the queue.
 *
 * This is the submit library for those who do not have it in their own process: pickup, bounce,
 * local and others send envelope and content in frames (ipc/messages.def: submit_begin to
 * submit_done) over a kept connection, one message after another.
 */
#include "cleanup/cleanup.h"

#include "service/service.h"

static const struct service cleanup = {
    .name = "cleanup",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE,
    .start = cleanup_start,
    .session = cleanup_session,
    .has_changed = cleanup_has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&cleanup, argc, argv);
}
