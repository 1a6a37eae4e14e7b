/* Another delivery agent takes the recipient over: mailbox_transport, fallback_transport. */
#include "config/config.h"
#include "global/address.h"
#include "local/local.h"
#include "util/clock.h"

enum { REMAINS = 1 };

/* Ask the agent as qmgr would, for this one recipient; who marks it done is us. */
static enum rc ask_agent(struct attempt *at, const struct target *t, struct str transport,
                         struct str nexthop, struct deliver_result *result, struct why *why)
{
    const struct config *config = at->env->config;
    struct deliver_request request = at->d->request;
    struct recipient recipient = t->rcpt;
    struct agent_ready ready;
    struct ipc c;
    enum rc rc;

    request.flags &= ~(long)DELIVER_SUCCESS;
    request.nexthop = nexthop;
    request.sender = t->sender;
    request.recipients = &recipient;
    request.n_recipients = 1;
    if (str_eq(config->local_pass_as, STR("user")))
        recipient.address = t->user;
    TRY(ipc_connect(&c, config->queue_directory,
                    arena_printf(at->arena, "private/" STR_FMT, STR_ARG(transport)).p,
                    config->ipc_timeout * 1000, why));
    rc = ipc_read_agent_ready(&c, at->arena, &ready, NULL, why);
    if (rc == RC_OK)
        rc = ipc_send_deliver_request(&c, &request, at->d->fd, why);
    if (rc == RC_OK)
        rc = ipc_read_deliver_result(&c, at->arena, result, NULL, why);
    ipc_done(&c);
    return rc;
}

void pass_on(struct attempt *at, const struct target *t, struct str destination)
{
    struct str nexthop = destination, transport = str_cut(&nexthop, ':');
    struct deliver_result result = {0};
    struct why why = {0};

    if (nexthop.n == 0)
        nexthop = t->domain;
    log_info(&at->d->log, "passing <" STR_FMT "> to transport=" STR_FMT,
             STR_ARG(address_quote(at->arena, t->rcpt.address)), STR_ARG(transport));
    if (ask_agent(at, t, transport, nexthop, &result, &why) != RC_OK) {
        log_warning(&at->d->log, "transport " STR_FMT ": %s", STR_ARG(transport), why.text);
        reportf(at, t, "4.3.0", "mail transport unavailable");
        return;
    }
    at->d->result.status |= result.status & ~(long)REMAINS;
    if (result.status & REMAINS)
        at->remains = true;
}
