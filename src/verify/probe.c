/* Probe messages. */
#include "deliver/deliver.h"
#include "global/probe_sender.h"
#include "util/clock.h"
#include "verify/verify.h"

static enum rc send_probe(struct verify *v, struct str address, struct arena *a, struct why *why)
{
    struct recipient to = {.address = address, .original = address, .dsn_notify = 1};
    struct post_envelope envelope = {
        .source = SUBMIT_FROM_VERIFY,
        .begin = {.sender = probe_sender(v->env->config, a, clock_seconds()),
                  .trace_flags = DELIVER_MTA_VERIFY},
        .recipients = &to,
        .n_recipients = 1,
    };
    struct post *post;

    TRY(post_open(v->env, v->cleanup, &envelope, a, &post, why));
    return post_finish(post, why);
}

void probe_send(struct verify *v, struct str address)
{
    AUTO_ARENA a = arena_new(2048);
    struct why why;

    if (send_probe(v, address, a, &why) != RC_OK)
        log_warning(&v->env->log, "address probe for " STR_FMT ": %s", STR_ARG(address), why.text);
}
