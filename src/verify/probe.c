/* Probe messages. */
#include "deliver/deliver.h"
#include "global/address.h"
#include "util/clock.h"
#include "verify/verify.h"

/*
 * address_verify_sender, with a suffix that changes every address_verify_sender_ttl, so that sites
 * that learn addresses do not learn this one.
 */
static struct str probe_sender(const struct config *config, struct arena *a)
{
    struct address_parts parts = address_split(config->address_verify_sender);
    long ttl = config->address_verify_sender_ttl;
    struct str local = parts.local;

    if (config->address_verify_sender.n == 0 || str_eq(config->address_verify_sender, STR("<>")))
        return STR("");
    if (ttl > 0)
        local = arena_printf(a, STR_FMT "%lx", STR_ARG(local), (long)clock_seconds() / ttl);
    return address_join(a, local, parts.has_domain ? parts.domain : config->myorigin);
}

static enum rc send_probe(struct verify *v, struct str address, struct arena *a, struct why *why)
{
    struct recipient to = {.address = address, .original = address, .dsn_notify = 1};
    struct post_envelope envelope = {
        .source = SUBMIT_FROM_VERIFY,
        .begin = {.sender = probe_sender(v->env->config, a), .trace_flags = DELIVER_MTA_VERIFY},
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
