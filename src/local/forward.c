/*
 * Addresses elsewhere. They are collected while a recipient is expanded, and become new messages
 * (one for each sender and Delivered-To: address) when all the rest went well; otherwise the
 * recipient is tried again as a whole and nobody gets the message twice this way.
 */
#include "config/config.h"
#include "deliver/post.h"
#include "global/address.h"
#include "local/local.h"

static struct forward *find(struct attempt *at, const struct target *t)
{
    struct forward f = {.sender = t->sender, .delivered = t->delivered};

    for (size_t i = 0; i < at->forwards.n; i++) {
        struct forward *have = &at->forwards.v[i];
        if (str_eq(have->sender, f.sender) && str_eq(have->delivered, f.delivered))
            return have;
    }
    vec_add(at->arena, &at->forwards, f);
    return &at->forwards.v[at->forwards.n - 1];
}

void forward_add(struct attempt *at, const struct target *t, struct str address)
{
    struct recipient r = {.address = address,
                          .original = address,
                          .dsn_orcpt = t->rcpt.dsn_orcpt,
                          .dsn_notify = t->rcpt.dsn_notify};
    struct forward *f;

    if (!is_first(at, "indirect " STR_FMT, STR_ARG(address)))
        return;
    if (deliver_is_trial(at->d)) {
        reportf(at, t, "2.0.0", "forwards to " STR_FMT, STR_ARG(address));
        return;
    }
    f = find(at, t);
    vec_add(at->arena, &f->recipients, r);
}

static enum rc put_line(void *context, struct str text, bool more, struct why *why)
{
    (void)why;
    post_line(context, text, more);
    return RC_OK;
}

static enum rc send_one(struct attempt *at, const struct forward *f, const char **id,
                        struct why *why)
{
    const struct deliver_request *q = &at->d->request;
    bool changed = !str_eq(f->sender, q->sender);
    struct post_envelope envelope = {
        .source = SUBMIT_FROM_FORWARD,
        .begin = {.arrival_sec = q->arrival_sec,
                  .arrival_usec = q->arrival_usec,
                  .sender = f->sender,
                  .envid = changed ? STR("") : q->envid,
                  .dsn_ret = changed ? 0 : q->dsn_ret,
                  .encoding = q->encoding,
                  .sendopts = q->sendopts,
                  .origin = q->origin},
        .recipients = f->recipients.v,
        .n_recipients = f->recipients.n,
    };
    struct post *post;

    TRY(post_open(at->env, at->state->cleanup, &envelope, at->arena, &post, why));
    if (at->state->mark_forward && f->delivered.n)
        post_linef(post, "Delivered-To: " STR_FMT,
                   STR_ARG(address_quote_822(at->arena, f->delivered)));
    TRY(deliver_content(at->d, put_line, post, why));
    TRY(post_finish(post, why));
    *id = post_queue_id(post);
    return RC_OK;
}

void forward_send(struct attempt *at)
{
    const struct recipient *r = &at->d->request.recipients[at->index];

    for (size_t i = 0; i < at->forwards.n && !at->remains; i++) {
        const struct forward *f = &at->forwards.v[i];
        struct target t = {.rcpt = *r, .sender = f->sender};
        struct why why = {0};
        const char *id = NULL;
        enum rc rc = send_one(at, f, &id, &why);
        if (rc == RC_OK)
            reportf(at, &t, "2.0.0", "forwarded as %s", id);
        else if (rc == RC_PERM)
            reportf(at, &t, "5.0.0", "unable to forward message: %s", why.text);
        else
            reportf(at, &t, "4.3.0", "unable to forward message: %s", why.text);
    }
}
