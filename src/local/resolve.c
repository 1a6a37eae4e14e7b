/* Where an address leads: asked of the rewrite service, so that its tables count here as well. */
#include "config/config.h"
#include "global/address.h"
#include "local/local.h"
#include "rewrite/rewrite.h"

static enum rc ask(struct attempt *at, const struct rewrite_request *request,
                   struct rewrite_reply *reply, struct why *why)
{
    TRY(service_pool_ask(at->state->rewrite, IPC_rewrite_request, request, IPC_rewrite_reply,
                         at->arena, reply, why));
    if (reply->status != 0)
        return FAIL(why, RC_TEMP, STR_FMT, STR_ARG(reply->text));
    return RC_OK;
}

enum rc resolve(struct attempt *at, struct str address, struct resolution *out, struct why *why)
{
    struct rewrite_request request = {
        .operation = 'r', .context = STR("local"), .address = address};
    struct rewrite_reply reply = {0};

    TRY(ask(at, &request, &reply, why));
    request = (struct rewrite_request){
        .operation = 'q', .sender = at->d->request.sender, .address = reply.address};
    TRY(ask(at, &request, &reply, why));
    if (reply.flags & RESOLVE_FAILED)
        return FAIL(why, RC_TEMP, "table lookup failure");
    *out = (struct resolution){
        .address = reply.address,
        .transport = reply.transport,
        .nexthop = reply.nexthop,
        .here = str_eq(reply.transport, str_of(at->env->name)),
    };
    return RC_OK;
}
