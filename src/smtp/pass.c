/* best_mx_transport: we are the best MX host of a domain that is none of ours. */
#include "smtp/pass.h"

#include "global/address.h"

/* The open recipients; which of them they are stands in index[]. */
static size_t collect(struct attempt *at, struct recipient *to, size_t *index)
{
    const struct deliver_request *q = &at->d->request;
    size_t n = 0;

    for (size_t i = 0; i < q->n_recipients; i++) {
        if (!at->open[i])
            continue;
        index[n] = i;
        to[n++] = q->recipients[i];
    }
    return n;
}

void pass_to_best_mx_transport(struct attempt *at, struct str domain)
{
    struct str nexthop = at->smtp->config->best_mx_transport, transport = str_cut(&nexthop, ':');
    struct deliver_request request = at->d->request;
    struct deliver_result result = {0};
    size_t n = request.n_recipients, *index = arena_array(at->arena, size_t, n + 1);
    struct why why = {0};
    struct dsn dsn;

    request.recipients = arena_array(at->arena, struct recipient, n + 1);
    request.n_recipients = collect(at, request.recipients, index);
    request.nexthop = nexthop.n ? nexthop : domain;
    for (size_t i = 0; i < request.n_recipients; i++)
        log_info(&at->d->log, "passing <" STR_FMT "> to transport=" STR_FMT,
                 STR_ARG(address_quote(at->arena, request.recipients[i].address)),
                 STR_ARG(transport));
    if (deliver_pass(at->d, at->arena, transport, &request, &result, &why) != RC_OK) {
        log_warning(&at->d->log, "transport " STR_FMT ": %s", STR_ARG(transport), why.text);
        dsn = dsn_local(at, "4.3.0", "mail transport unavailable");
        attempt_postpone(at, &dsn);
        return;
    }
    at->d->result.status |= result.status; /* the other agent has told about each of them */
    for (size_t i = 0; i < request.n_recipients; i++) {
        at->open[index[i]] = false;
        at->d->reported[index[i]] = true;
        at->left--;
    }
}
