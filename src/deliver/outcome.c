/*
 * Outcomes of recipients: the log line, the mark in the queue file, and the word to bounce, defer,
 * trace or verify.
 *
 * Order matters: a recipient is marked done only after its failure stands in the bounce log, so
 * that a crash in between repeats work and loses nothing.
 */
#include "config/config.h"
#include "deliver/shared.h"
#include "global/dsn.h"
#include "global/logline.h"
#include "table/table.h"
#include "util/clock.h"

enum { STATUS_REMAINS = 1, STATUS_BOUNCED = 2, STATUS_TRACED = 4 };
enum { VERIFY_OK, VERIFY_DEFER, VERIFY_BOUNCE };

struct dsn dsn_simple(const char *status, struct str reason)
{
    return (struct dsn){.status = str_of(status), .reason = reason};
}

static void log_outcome(struct delivery *d, size_t i, const struct dsn *dsn, const char *status)
{
    const struct deliver_request *q = &d->request;
    struct logline_delivery line = {
        .recipient = &q->recipients[i],
        .relay = d->relay,
        .conn_use = d->conn_use,
        .arrival = {q->arrival_sec, q->arrival_usec * 1000},
        .active = {q->active_sec, q->active_usec * 1000},
        .agent = d->time.agent,
        .connected = d->time.connected,
        .now = clock_now(),
        .tls = d->tls,
        .dsn = dsn,
        .status = status,
        .digits = d->shared->digits,
    };

    logline_delivered(&d->log, &line);
}

/* Postfix's rule: 4 and 5 may be exchanged, 2 stays 2. */
static struct dsn filtered(struct delivery *d, const struct dsn *dsn)
{
    struct dsn out = *dsn;
    struct str key, value, status, rest;
    struct why why;
    enum rc rc;

    if (maps_empty(d->shared->status_filter))
        return out;
    key = arena_printf(d->arena, STR_FMT " " STR_FMT, STR_ARG(dsn->status), STR_ARG(dsn->reason));
    rc = maps_get(d->shared->status_filter, key, d->arena, &value, &why);
    if (rc == RC_TEMP)
        log_warning(&d->log, "delivery status filter: %s", why.text);
    if (rc != RC_OK)
        return out;
    dsn_split(value, "", &status, &rest);
    if (status.n == 0 || (status.p[0] == '2') != (dsn->status.n > 0 && dsn->status.p[0] == '2')) {
        log_warning(&d->log, "delivery status filter: bad status code in \"" STR_FMT "\"",
                    STR_ARG(value));
        return out;
    }
    out.status = status;
    out.reason = rest;
    return out;
}

/* One request and its answer on a kept connection; tried once more on a new one when the other end
 * had closed it. */
static enum rc ask(struct delivery *d, struct service_pool *pool, enum ipc_type type,
                   const void *request, struct why *why)
{
    enum rc rc = RC_TEMP;

    for (int attempt = 0; attempt < 2; attempt++) {
        struct status_reply reply = {0};
        struct ipc c;
        TRY(service_pool_take(pool, &c, why));
        rc = ipc_send(&c, type, request, -1, why);
        if (rc == RC_OK)
            rc = ipc_read_status_reply(&c, d->arena, &reply, NULL, why);
        service_pool_give(pool, &c, rc != RC_OK);
        if (rc == RC_OK && reply.status != 0)
            return FAIL(why, RC_TEMP, STR_FMT, STR_ARG(reply.text));
        if (rc != RC_EOF)
            break;
    }
    return rc;
}

static enum rc append(struct delivery *d, struct service_pool *pool, size_t i,
                      const struct dsn *dsn, const char *action, struct why *why)
{
    struct bounce_append request = {
        .queue_id = d->request.queue_id,
        .recipient = d->request.recipients[i],
        .dsn = *dsn,
    };

    if (request.dsn.action.n == 0)
        request.dsn.action = str_of(action);
    return ask(d, pool, IPC_bounce_append, &request, why);
}

static void mark_done(struct delivery *d, size_t i)
{
    const struct recipient *r = &d->request.recipients[i];
    struct why why;

    if (r->offset > 0 && (d->request.flags & DELIVER_SUCCESS) &&
        queue_file_mark_done(d->fd, r->offset, &why) != RC_OK)
        log_warning(&d->log, "mark recipient done: %s", why.text);
}

static void remains(struct delivery *d, const char *what, const struct why *why)
{
    log_warning(&d->log, "%s service failure: %s; the recipient is tried again later", what,
                why->text);
    d->result.status |= STATUS_REMAINS;
}

/* Probes and "sendmail -bv": nothing is delivered or bounced, the status is the result. */
static bool is_probe(struct delivery *d, size_t i, const struct dsn *dsn, const char *word,
                     int verify_status)
{
    struct why why;

    if (d->request.flags & DELIVER_MTA_VERIFY) {
        struct verify_request request = {'u', d->request.recipients[i].address, verify_status,
                                         dsn->reason};
        if (d->request.recipients[i].original.n)
            request.address = d->request.recipients[i].original;
        if (ask(d, d->shared->verify, IPC_verify_request, &request, &why) != RC_OK)
            log_warning(&d->log, "verify service: %s", why.text);
    } else if (d->request.flags & DELIVER_USER_VERIFY) {
        if (append(d, d->shared->trace, i, dsn, word, &why) != RC_OK) {
            remains(d, "trace", &why);
            return true;
        }
        d->result.status |= STATUS_TRACED;
    } else {
        return false;
    }
    log_outcome(d, i, dsn, word);
    mark_done(d, i);
    return true;
}

/* "sendmail -v", NOTIFY=SUCCESS, confirm_delay_cleared: the status goes into a report as well. */
static void trace(struct delivery *d, size_t i, const struct dsn *dsn, const char *action)
{
    struct why why;

    if (append(d, d->shared->trace, i, dsn, action, &why) != RC_OK)
        log_warning(&d->log, "trace service failure: %s", why.text);
    else
        d->result.status |= STATUS_TRACED;
}

static void do_sent(struct delivery *d, size_t i, const struct dsn *dsn)
{
    if (is_probe(d, i, dsn, "deliverable", VERIFY_OK))
        return;
    if ((d->request.flags & (DELIVER_RECORD | DELIVER_RECORD_SENT)) ||
        (d->request.recipients[i].dsn_notify & DSN_NOTIFY_SUCCESS))
        trace(d, i, dsn, "delivered");
    log_outcome(d, i, dsn, "sent");
    mark_done(d, i);
}

static void do_deferred(struct delivery *d, size_t i, const struct dsn *dsn, const char *word)
{
    struct why why;

    if (is_probe(d, i, dsn, "undeliverable", VERIFY_DEFER))
        return;
    if (d->request.flags & DELIVER_RECORD)
        trace(d, i, dsn, "delayed");
    if (append(d, d->shared->defer, i, dsn, "delayed", &why) != RC_OK)
        log_warning(&d->log, "defer service failure: %s", why.text);
    log_outcome(d, i, dsn, word);
    d->result.status |= STATUS_REMAINS;
}

static void do_bounced(struct delivery *d, size_t i, const struct dsn *dsn)
{
    struct why why;

    if (is_probe(d, i, dsn, "undeliverable", VERIFY_BOUNCE))
        return;
    if (d->shared->soft_bounce) {
        struct dsn soft = *dsn;
        if (soft.status.n)
            soft.status = arena_printf(d->arena, "4" STR_FMT, STR_ARG(str_from(soft.status, 1)));
        do_deferred(d, i, &soft, "SOFTBOUNCE");
        return;
    }
    if (d->request.flags & DELIVER_RECORD)
        trace(d, i, dsn, "failed");
    if (append(d, d->shared->bounce, i, dsn, "failed", &why) != RC_OK) {
        remains(d, "bounce", &why);
        return;
    }
    d->result.status |= STATUS_BOUNCED;
    log_outcome(d, i, dsn, "bounced");
    mark_done(d, i);
}

void deliver_report(struct delivery *d, size_t i, const struct dsn *dsn)
{
    struct dsn f;

    if (d->reported[i])
        return;
    d->reported[i] = true;
    f = filtered(d, dsn);
    switch (f.status.n ? f.status.p[0] : '4') {
    case '2': do_sent(d, i, &f); break;
    case '5': do_bounced(d, i, &f); break;
    default: do_deferred(d, i, &f, "deferred"); break;
    }
}

static struct dsn with_class(struct delivery *d, const struct dsn *dsn, char class)
{
    struct dsn out = *dsn;

    if (dsn->status.n == 0)
        out.status = arena_printf(d->arena, "%c.0.0", class);
    else if (dsn->status.p[0] != class)
        out.status = arena_printf(d->arena, "%c" STR_FMT, class, STR_ARG(str_from(dsn->status, 1)));
    return out;
}

void deliver_sent(struct delivery *d, size_t i, const struct dsn *dsn)
{
    struct dsn out = with_class(d, dsn, '2');

    deliver_report(d, i, &out);
}

void deliver_bounced(struct delivery *d, size_t i, const struct dsn *dsn)
{
    struct dsn out = with_class(d, dsn, '5');

    deliver_report(d, i, &out);
}

void deliver_deferred(struct delivery *d, size_t i, const struct dsn *dsn)
{
    struct dsn out = with_class(d, dsn, '4');

    deliver_report(d, i, &out);
}

void deliver_report_all(struct delivery *d, const struct dsn *dsn)
{
    for (size_t i = 0; i < d->request.n_recipients; i++)
        deliver_report(d, i, dsn);
}

void deliver_site_failed(struct delivery *d, const struct dsn *dsn)
{
    d->result.site_failed = true;
    d->result.dsn = *dsn;
}
