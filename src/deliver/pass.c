/* Another delivery agent takes recipients over; it is asked as qmgr would ask it. */
#include "config/config.h"
#include "deliver/deliver.h"

enum rc deliver_pass(struct delivery *d, struct arena *a, struct str transport,
                     const struct deliver_request *request, struct deliver_result *result,
                     struct why *why)
{
    const struct config *config = d->env->config;
    struct agent_ready ready;
    struct ipc c;
    enum rc rc;

    TRY(ipc_connect(&c, config->queue_directory,
                    arena_printf(a, "private/" STR_FMT, STR_ARG(transport)).p,
                    config->ipc_timeout * 1000, why));
    rc = ipc_read_agent_ready(&c, a, &ready, NULL, why);
    if (rc == RC_OK)
        rc = ipc_send_deliver_request(&c, request, d->fd, why);
    if (rc == RC_OK)
        rc = ipc_read_deliver_result(&c, a, result, NULL, why);
    ipc_done(&c);
    return rc;
}
