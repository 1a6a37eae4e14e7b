/*
 * trivial-rewrite - standard form and resolution of addresses, for programs that do not have the
 * rewrite library at hand.
 *
 * Serves the "rewrite" socket; the daemons on the way of a message use the library themselves.
 */
#include "config/config.h"
#include "ipc/ipc.h"
#include "rewrite/rewrite.h"
#include "service/service.h"

static enum rc start(struct service_env *env, void **state, struct why *why)
{
    struct rewriter *rewriter;

    TRY(rewriter_new(env->config, &env->log, &rewriter, why));
    *state = rewriter;
    return RC_OK;
}

static void rewrite(struct rewriter *r, const struct rewrite_request *q, struct arena *a,
                    struct rewrite_reply *reply)
{
    enum rewrite_context context =
        str_eq(q->context, STR("remote")) ? REWRITE_REMOTE : REWRITE_LOCAL;
    struct why why = {0};

    reply->status = rewrite_address(r, context, q->address, a, &reply->address, &why);
    reply->text = arena_copy(a, str_of(why.text));
}

static void resolve(struct rewriter *r, const struct rewrite_request *q, struct arena *a,
                    struct rewrite_reply *reply)
{
    struct resolved out = {0};
    struct why why = {0};

    reply->status = resolve_address(r, q->sender, q->address, q->operation == 'v', a, &out, &why);
    reply->address = out.recipient;
    reply->transport = out.transport;
    reply->nexthop = out.nexthop;
    reply->flags = out.flags;
    reply->text = arena_copy(a, str_of(why.text));
}

static enum rc serve(struct service_env *env, void *state, struct ipc *c, struct arena *a,
                     struct why *why)
{
    struct rewriter *r = state;
    struct rewrite_request request;
    struct rewrite_reply reply = {0};

    TRY(ipc_read_rewrite_request(c, a, &request, NULL, why));
    switch (request.operation) {
    case 'r': rewrite(r, &request, a, &reply); break;
    case 'q':
    case 'v': resolve(r, &request, a, &reply); break;
    default: return FAIL(why, RC_PERM, "unknown operation %ld", request.operation);
    }
    if (rewriter_has_changed(r))
        service_retire(env);
    return ipc_send_rewrite_reply(c, &reply, -1, why);
}

static void session(struct service_env *env, void *state, int fd)
{
    service_answer(env, state, fd, serve);
}

static const struct service trivial_rewrite = {
    .name = "trivial-rewrite",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_CONNECT, /* tables on other machines */
    .start = start,
    .session = session,
};

int main(int argc, char **argv)
{
    return service_main(&trivial_rewrite, argc, argv);
}
