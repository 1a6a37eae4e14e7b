/* Another delivery agent takes the recipient over: mailbox_transport, fallback_transport. */
#include "config/config.h"
#include "global/address.h"
#include "local/local.h"
#include "util/clock.h"

enum { REMAINS = 1 };

/* For this one recipient; who marks it done is us. */
static enum rc ask_agent(struct attempt *at, const struct target *t, struct str transport,
                         struct str nexthop, struct deliver_result *result, struct why *why)
{
    struct deliver_request request = at->d->request;
    struct recipient recipient = t->rcpt;

    request.flags &= ~(long)DELIVER_SUCCESS;
    request.nexthop = nexthop;
    request.sender = t->sender;
    request.recipients = &recipient;
    request.n_recipients = 1;
    if (str_eq(at->env->config->local_pass_as, STR("user")))
        recipient.address = t->user;
    return deliver_pass(at->d, at->arena, transport, &request, result, why);
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
