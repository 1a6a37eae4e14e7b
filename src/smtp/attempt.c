#include "smtp/attempt.h"

#include <stdio.h>

#include "auth/srs.h"
#include "global/address.h"
#include "smtp/generic.h"
#include "smtp/protect.h"
#include "smtp/reports.h"
#include "smtp/session.h"
#include "util/clock.h"

enum { WORDS_MAX = 1500 }; /* of a reply in a report: whole reasons stay within messages.def */

/* smtp_envelope_sender: an address, "@domain", or a user alone. */
static struct str replaced_sender(struct attempt *at, struct str sender)
{
    struct str with = at->smtp->set.envelope_sender;
    struct address_parts parts = address_split(sender);

    if (with.n == 0 || sender.n == 0)
        return sender;
    if (with.p[0] == '@')
        return address_join(at->arena, parts.local, str_from(with, 1));
    if (str_index(with, '@') < 0 && parts.has_domain)
        return address_join(at->arena, with, parts.domain);
    return with;
}

/* The Sender Rewriting Scheme. RC_TEMP: it is not known whether the sender is ours. */
static enum rc rewrite_sender(struct attempt *at)
{
    struct str domain = address_split(at->sender).domain, out;
    struct why why;
    enum rc rc;

    if (domain.n == 0)
        return RC_OK;
    rc = match_get(at->smtp->own_domains, domain, &why);
    if (rc == RC_NONE) {
        rc = srs_forward(at->smtp->srs, at->sender, clock_seconds(), at->arena, &out, &why);
        if (rc == RC_OK)
            at->sender = out;
    }
    if (rc == RC_TEMP)
        log_warning(&at->d->log, "sender rewriting: %s", why.text);
    return rc == RC_TEMP ? RC_TEMP : RC_OK;
}

static bool map_addresses(struct attempt *at)
{
    const struct deliver_request *q = &at->d->request;
    enum rc rc;
    struct why why;

    at->sender = q->sender;
    at->to = arena_array(at->arena, struct str, q->n_recipients + 1);
    rc = generic_map(at->smtp, q->sender, at->arena, &at->sender, &why);
    at->sender = replaced_sender(at, at->sender);
    if (rc != RC_TEMP && at->smtp->srs)
        rc = rewrite_sender(at);
    for (size_t i = 0; rc != RC_TEMP && i < q->n_recipients; i++) {
        at->to[i] = q->recipients[i].address;
        rc = generic_map(at->smtp, at->to[i], at->arena, &at->to[i], &why);
    }
    return rc != RC_TEMP;
}

bool attempt_begin(struct attempt *at, struct smtp *s, struct delivery *d)
{
    size_t n = d->request.n_recipients;
    struct dsn dsn;

    *at = (struct attempt){.smtp = s, .d = d, .arena = d->arena, .left = n};
    at->open = arena_array(at->arena, bool, n + 1);
    at->last = arena_array(at->arena, struct dsn, n + 1);
    memset(at->open, true, n);
    if (map_addresses(at))
        return true;
    dsn = dsn_local(at, "4.3.0", "address mapping failed; see the log of the mail system");
    attempt_message(at, &dsn, NULL);
    return false;
}

void attempt_next_host(struct attempt *at)
{
    for (size_t i = 0; i < at->notes.n; i++)
        log_info(&at->d->log, STR_FMT, STR_ARG(at->notes.v[i]));
    at->notes.n = 0;
}

void attempt_end(struct attempt *at)
{
    struct dsn none;

    if (at->left == 0)
        return;
    none = dsn_local(at, "4.3.0", "server unavailable or unable to receive mail");
    for (size_t i = 0; i < at->d->request.n_recipients; i++) {
        struct dsn *dsn = at->last[i].status.n ? &at->last[i] : &none;
        if (!at->open[i])
            continue;
        if (at->site && dsn->status.p[0] == '4') {
            deliver_site_failed(at->d, dsn);
            at->site = false;
        }
        attempt_settle(at, i, dsn);
    }
}

struct dsn dsn_local(struct attempt *at, const char *status, const char *format, ...)
{
    char text[WORDS_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return (struct dsn){.status = arena_copy(at->arena, str_of(status)),
                        .reason = arena_copy(at->arena, str_of(text))};
}

const char *reply_words(struct attempt *at, const struct wire_client_reply *reply)
{
    char *text = arena_text(at->arena, str_head(reply->text, WORDS_MAX));

    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ' ';
    return text;
}

struct dsn dsn_remote(struct attempt *at, const struct session *s,
                      const struct wire_client_reply *reply, const char *format, ...)
{
    bool expected = reply->code >= 400;
    char text[WORDS_MAX + 500];
    struct dsn dsn = {0};
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dsn.reason = arena_copy(at->arena, str_of(text));
    dsn.status = expected ? arena_copy(at->arena, reply->status) : STR("5.5.0");
    dsn.diag_type = STR("smtp");
    dsn.diag_text = str_of(reply_words(at, reply));
    dsn.mta_type = STR("dns");
    dsn.mta_name = arena_copy(at->arena, str_of(s->host));
    return dsn;
}

static void note(struct attempt *at, struct str words)
{
    vec_add(at->arena, &at->notes, words);
}

void attempt_settle(struct attempt *at, size_t i, const struct dsn *dsn)
{
    if (!at->open[i])
        return;
    at->open[i] = false;
    at->left--;
    deliver_report(at->d, i, dsn);
}

void attempt_recipient(struct attempt *at, size_t i, const struct dsn *dsn)
{
    if (dsn->status.p[0] == '4') {
        at->last[i] = *dsn;
        at->site = false;
        note(at, dsn->reason);
    } else {
        attempt_settle(at, i, dsn);
    }
}

static void remember(struct attempt *at, const struct dsn *dsn, const bool *only)
{
    for (size_t i = 0; i < at->d->request.n_recipients; i++)
        if (at->open[i] && (only == NULL || only[i]))
            at->last[i] = *dsn;
}

void attempt_message(struct attempt *at, const struct dsn *dsn, const bool *only)
{
    at->site = false;
    if (dsn->status.p[0] == '4') {
        remember(at, dsn, only);
        note(at, dsn->reason);
        return;
    }
    for (size_t i = 0; i < at->d->request.n_recipients; i++)
        if (only == NULL || only[i])
            attempt_settle(at, i, dsn);
}

void attempt_site(struct attempt *at, const struct dsn *dsn)
{
    attempt_message(at, dsn, NULL);
    at->site = true;
}

void attempt_postpone(struct attempt *at, const struct dsn *dsn)
{
    remember(at, dsn, NULL);
    at->site = true;
}

void attempt_lost(struct attempt *at, struct session *s, enum rc rc, const char *doing)
{
    struct dsn dsn;

    s->broken = true;
    if (rc == RC_TIMEOUT)
        reports_timeout(s);
    if (rc == RC_TIMEOUT)
        dsn = dsn_local(at, "4.4.2", "conversation with %s timed out while %s", s->where, doing);
    else
        dsn = dsn_local(at, "4.4.2", "lost connection with %s while %s", s->where, doing);
    dsn.mta_type = STR("dns");
    dsn.mta_name = arena_copy(at->arena, str_of(s->host));
    attempt_site(at, &dsn);
    at->tls.retry = s->tls && protect_may_go_in_clear(at, s);
}
