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

static void log_outcome(struct delivery *d, const struct recipient *r, const struct dsn *dsn,
                        const char *status)
{
    const struct deliver_request *q = &d->request;
    struct logline_delivery line = {
        .recipient = r,
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

static enum rc ask(struct delivery *d, struct service_pool *pool, enum ipc_type type,
                   const void *request, struct why *why)
{
    struct status_reply reply = {0};

    TRY(service_pool_ask(pool, type, request, IPC_status_reply, d->arena, &reply, why));
    if (reply.status != 0)
        return FAIL(why, RC_TEMP, STR_FMT, STR_ARG(reply.text));
    return RC_OK;
}

static enum rc append(struct delivery *d, struct service_pool *pool, const struct recipient *r,
                      const struct dsn *dsn, const char *action, struct why *why)
{
    struct bounce_append request = {
        .queue_id = d->request.queue_id,
        .recipient = *r,
        .dsn = *dsn,
    };

    if (request.dsn.action.n == 0)
        request.dsn.action = str_of(action);
    return ask(d, pool, IPC_bounce_append, &request, why);
}

static void mark_done(struct delivery *d, size_t i)
{
    const struct recipient *r = &d->request.recipients[i];
    struct timespec began = log_profile_begin(&d->log, LOG_PROFILE_QUEUE);
    struct why why;

    if (r->offset > 0 && (d->request.flags & DELIVER_SUCCESS) &&
        queue_file_mark_done(d->fd, r->offset, &why) != RC_OK)
        log_warning(&d->log, "mark recipient done: %s", why.text);
    log_profile_end(&d->log, began, "profile-queue: envelope_done");
}

/* Probes of verify(8) ask with the address as it came, so that is what the answer is about. */
static void tell_verify(struct delivery *d, const struct recipient *r, const struct dsn *dsn,
                        int verify_status)
{
    struct verify_request request = {'u', r->original.n ? r->original : r->address, verify_status,
                                     dsn->reason};
    struct verify_reply reply = {0};
    struct why why;

    if (service_pool_ask(d->shared->verify, IPC_verify_request, &request, IPC_verify_reply,
                         d->arena, &reply, &why) != RC_OK)
        log_warning(&d->log, "verify service: %s", why.text);
}

/*
 * Probes and "sendmail -bv": nothing is delivered or bounced, the status is the result. False:
 * neither. *done: whether the recipient is through.
 */
static bool is_probe(struct delivery *d, const struct recipient *r, const struct dsn *dsn,
                     const char *word, int verify_status, bool *done)
{
    struct why why;

    if (!deliver_is_trial(d))
        return false;
    *done = true;
    if (d->request.flags & DELIVER_MTA_VERIFY) {
        tell_verify(d, r, dsn, verify_status);
    } else if (append(d, d->shared->trace, r, dsn, word, &why) == RC_OK) {
        d->result.status |= STATUS_TRACED;
    } else {
        log_warning(&d->log, "trace service failure: %s; the recipient is tried again later",
                    why.text);
        *done = false;
        return true;
    }
    log_outcome(d, r, dsn, word);
    return true;
}

/* "sendmail -v", NOTIFY=SUCCESS, confirm_delay_cleared: the status goes into a report as well. */
static void trace(struct delivery *d, const struct recipient *r, const struct dsn *dsn,
                  const char *action)
{
    struct why why;

    if (append(d, d->shared->trace, r, dsn, action, &why) != RC_OK)
        log_warning(&d->log, "trace service failure: %s", why.text);
    else
        d->result.status |= STATUS_TRACED;
}

/* The three outcomes; each tells whether the recipient is through. */

static bool do_sent(struct delivery *d, const struct recipient *r, const struct dsn *dsn)
{
    bool done;

    if (is_probe(d, r, dsn, "deliverable", VERIFY_OK, &done))
        return done;
    if ((d->request.flags & (DELIVER_RECORD | DELIVER_RECORD_SENT)) ||
        (r->dsn_notify & DSN_NOTIFY_SUCCESS))
        trace(d, r, dsn, "delivered");
    log_outcome(d, r, dsn, "sent");
    board_count(&d->env->board, COUNTER_delivery_ok, 1);
    return true;
}

static bool do_deferred(struct delivery *d, const struct recipient *r, const struct dsn *dsn,
                        const char *word)
{
    struct why why;
    bool done;

    if (is_probe(d, r, dsn, "undeliverable", VERIFY_DEFER, &done))
        return done;
    if (d->request.flags & DELIVER_RECORD)
        trace(d, r, dsn, "delayed");
    if (append(d, d->shared->defer, r, dsn, "delayed", &why) != RC_OK)
        log_warning(&d->log, "defer service failure: %s", why.text);
    log_outcome(d, r, dsn, word);
    board_count(&d->env->board, COUNTER_delivery_tempfail, 1);
    return false;
}

/* Without the log file: the sender of the message has nothing to do with it. */
static enum rc bounce_at_once(struct delivery *d, const struct recipient *r, const struct dsn *dsn,
                              struct why *why)
{
    const struct deliver_request *q = &d->request;
    struct bounce_one request = {.queue_name = q->queue_name,
                                 .queue_id = q->queue_id,
                                 .encoding = q->encoding,
                                 .sendopts = q->sendopts,
                                 .sender = d->bounce_to,
                                 .dsn_ret = q->dsn_ret,
                                 .recipient = *r,
                                 .dsn = *dsn};

    if (request.dsn.action.n == 0)
        request.dsn.action = STR("failed");
    return ask(d, d->shared->bounce, IPC_bounce_one, &request, why);
}

static bool do_bounced(struct delivery *d, const struct recipient *r, const struct dsn *dsn)
{
    struct why why;
    bool done;

    if (is_probe(d, r, dsn, "undeliverable", VERIFY_BOUNCE, &done))
        return done;
    if (d->shared->soft_bounce) {
        struct dsn soft = *dsn;
        if (soft.status.n)
            soft.status = arena_printf(d->arena, "4" STR_FMT, STR_ARG(str_from(soft.status, 1)));
        return do_deferred(d, r, &soft, "SOFTBOUNCE");
    }
    if (d->request.flags & DELIVER_RECORD)
        trace(d, r, dsn, "failed");
    if ((d->bounce_to.n ? bounce_at_once(d, r, dsn, &why)
                        : append(d, d->shared->bounce, r, dsn, "failed", &why)) != RC_OK) {
        log_warning(&d->log, "bounce service failure: %s; the recipient is tried again later",
                    why.text);
        return false;
    }
    if (d->bounce_to.n == 0)
        d->result.status |= STATUS_BOUNCED;
    log_outcome(d, r, dsn, "bounced");
    board_count(
        &d->env->board,
        str_eq(dsn->status, STR("5.4.6")) ? COUNTER_delivery_loop : COUNTER_delivery_permfail, 1);
    return true;
}

bool deliver_is_trial(const struct delivery *d)
{
    return d->request.flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY);
}

/* Texts of servers and commands may be longer than messages.def lets them be. */
static void cut(struct dsn *dsn)
{
    enum { TEXT_MAX = 2048, NAME_MAX_BYTES = 255 };

    dsn->reason = str_head(dsn->reason, TEXT_MAX);
    dsn->diag_text = str_head(dsn->diag_text, TEXT_MAX);
    dsn->mta_name = str_head(dsn->mta_name, NAME_MAX_BYTES);
}

bool deliver_report_as(struct delivery *d, const struct recipient *as, const struct dsn *dsn)
{
    struct dsn f = filtered(d, dsn);

    cut(&f);

    switch (f.status.n ? f.status.p[0] : '4') {
    case '2': return do_sent(d, as, &f);
    case '5': return do_bounced(d, as, &f);
    default: return do_deferred(d, as, &f, "deferred");
    }
}

void deliver_done(struct delivery *d, size_t i, bool done)
{
    if (d->reported[i])
        return;
    d->reported[i] = true;
    if (done) {
        mark_done(d, i);
        board_count(&d->env->board, COUNTER_envelope_dequeued, 1);
    } else {
        d->result.status |= STATUS_REMAINS;
    }
}

void deliver_trace(struct delivery *d, const struct recipient *r, const struct dsn *dsn)
{
    trace(d, r, dsn, "delivered");
}

void deliver_report(struct delivery *d, size_t i, const struct dsn *dsn)
{
    if (!d->reported[i])
        deliver_done(d, i, deliver_report_as(d, &d->request.recipients[i], dsn));
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
