#include "smtp/transaction.h"

#include <unistd.h>

#include "global/dsn.h"
#include "smtp/protect.h"
#include "smtp/reports.h"

enum { OPT_SMTPUTF8 = 1, OPT_SMTPUTF8_NEEDED = 2 | 4 | 8 }; /* bits of sendopts */

enum verb { RSET, XFORWARD, MAIL, RCPT, DATA };

static const struct {
    const char *doing, *command; /* as log lines have them */
} verbs[] = {
    [RSET] = {"sending RSET probe", "RSET command"},
    [XFORWARD] = {"sending XFORWARD name/address", "XFORWARD name/address command"},
    [MAIL] = {"sending MAIL FROM", "MAIL FROM command"},
    [RCPT] = {"sending RCPT TO", "RCPT TO command"},
    [DATA] = {"sending DATA command", "DATA command"},
};

struct said { /* a command whose reply is still to come */
    enum verb verb;
    size_t recipient;
};

struct transaction {
    struct attempt *at;
    struct session *s;
    struct said *said;
    size_t first, n, bytes; /* of said; bytes that wait for replies */
    bool *accepted;         /* by recipient */
    size_t n_accepted;
    struct dsn *postponed; /* "452 too many recipients" for some: they get a turn of their own */
    size_t n_postponed;
    bool kept;   /* the session has rested: it may turn out to be closed */
    bool heard;  /* the server has said something in this transaction */
    bool failed; /* MAIL was refused: what follows in the group means nothing */
    bool go;     /* DATA was welcome */
    bool over;   /* the connection is lost */
    bool stale;  /* it was lost before this transaction began */
};

static bool is_probe(const struct attempt *at)
{
    return at->d->request.flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY);
}

static struct dsn said_dsn(struct transaction *t, const struct wire_client_reply *reply,
                           const char *command)
{
    return dsn_remote(t->at, t->s, reply, "host %s said: %s (in reply to %s)", t->s->where,
                      reply_words(t->at, reply), command);
}

static void lost(struct transaction *t, enum rc rc, const char *doing)
{
    t->over = true;
    t->s->broken = true;
    if (t->kept && !t->heard && rc != RC_TIMEOUT)
        t->stale = true;
    else
        attempt_lost(t->at, t->s, rc, doing);
}

/* The recipients of the transaction get what was said about the message. */
static void refuse_accepted(struct transaction *t, const struct wire_client_reply *reply,
                            const char *command)
{
    struct dsn dsn = said_dsn(t, reply, command);

    attempt_message(t->at, &dsn, t->accepted);
}

static void answer_rcpt(struct transaction *t, const struct wire_client_reply *reply, size_t i)
{
    struct dsn dsn;

    t->s->refused = reply->code / 100 == 2 ? 0 : t->s->refused + 1;
    if (reply->code / 100 == 2) {
        t->accepted[i] = true;
        t->n_accepted++;
        if (!is_probe(t->at))
            return;
    }
    dsn = said_dsn(t, reply, verbs[RCPT].command);
    if (t->accepted[i]) {
        dsn.status = arena_copy(t->at->arena, reply->status);
        dsn.reason = str_of(reply_words(t->at, reply));
        if (str_eq(t->at->smtp->set.address_verify_target, STR("rcpt")))
            attempt_settle(t->at, i, &dsn);
    } else if (reply->code == 452 && t->n_accepted > 0 && !t->s->closing) {
        t->postponed[i] = dsn;
        t->n_postponed++;
    } else {
        attempt_recipient(t->at, i, &dsn);
    }
}

static void tell(struct transaction *t, const struct said *c, int code)
{
    const struct deliver_request *q = &t->at->d->request;

    switch (c->verb) {
    case MAIL: reports_mail(t->s, q->sender, code); break;
    case RCPT: reports_rcpt(t->s, q->recipients[c->recipient].address, code); break;
    case DATA: reports_data(t->s, code); break;
    default: break;
    }
}

static void answer(struct transaction *t, const struct said *c,
                   const struct wire_client_reply *reply)
{
    struct dsn dsn;

    tell(t, c, reply->code);
    if (t->failed && c->verb != DATA) /* a server that now welcomes DATA must get its dot */
        return;
    switch (c->verb) {
    case RSET: /* a server that cannot even do this is of no use any more */
        if (reply->code / 100 != 2)
            lost(t, RC_EOF, verbs[RSET].doing);
        break;
    case RCPT: answer_rcpt(t, reply, c->recipient); break;
    case DATA:
        t->go = reply->code / 100 == 3;
        if (!t->go && t->n_accepted > 0)
            refuse_accepted(t, reply, verbs[DATA].command);
        break;
    case XFORWARD:
    case MAIL:
        if (reply->code / 100 == 2)
            break;
        t->failed = true;
        dsn = said_dsn(t, reply, verbs[c->verb].command);
        attempt_message(t->at, &dsn, NULL);
        break;
    }
}

static long limit_seconds(const struct transaction *t, enum verb verb)
{
    const struct smtp_settings *set = &t->at->smtp->set;

    switch (verb) {
    case RSET: return set->rset_timeout;
    case XFORWARD: return set->xforward_timeout;
    case MAIL: return set->mail_timeout;
    case RCPT: return set->rcpt_timeout;
    default: return set->data_init_timeout;
    }
}

/* Send what was collected and read all replies that are due. */
static void hear(struct transaction *t)
{
    for (; t->first < t->n && !t->over; t->first++) {
        const struct said *c = &t->said[t->first];
        struct wire_client_reply reply;
        enum rc rc;
        session_limit(t->s, limit_seconds(t, c->verb), t->bytes);
        rc = session_read(t->s, &reply);
        if (rc == RC_OK && reply.code == 421 && !t->heard && t->kept)
            rc = RC_EOF; /* it had enough of waiting for us */
        if (rc != RC_OK) {
            lost(t, rc, verbs[c->verb].doing);
            return;
        }
        t->heard = true;
        answer(t, c, &reply);
    }
    t->bytes = 0;
    reports_flush(t->s);
}

static void say(struct transaction *t, enum verb verb, size_t recipient, struct str line)
{
    if (t->over || t->failed)
        return;
    wire_client_say(&t->s->wire, line);
    t->said[t->n++] = (struct said){verb, recipient};
    t->bytes += line.n;
    if (!(t->s->features.bits & FEATURE_PIPELINING) || t->bytes > WIRE_PIPELINE_MAX)
        hear(t);
}

/*
 * A reply to MAIL before there was one: somebody has put commands in front of ours (CVE-2009-3555,
 * renegotiation). TLS 1.3 has no such thing, but messages of its own that look like input here.
 */
static bool spoke_early(struct transaction *t)
{
    struct session *s = t->s;
    struct dsn dsn;

    if (!s->smtp->set.tls_block_early_mail_reply || s->tls == NULL ||
        str_eq(s->tls->protocol, STR("TLSv1.3")))
        return false;
    hear(t); /* what is due */
    if (t->over || !stream_has_input(&s->wire.stream))
        return t->over;
    s->broken = t->over = true;
    dsn = dsn_local(t->at, "4.7.0", "host %s replied before it got a MAIL FROM command", s->where);
    attempt_site(t->at, &dsn);
    return true;
}

static void say_envelope(struct transaction *t)
{
    struct attempt *at = t->at;
    struct str xforward;
    int n;

    if (t->s->dirty)
        say(t, RSET, 0, STR("RSET\r\n"));
    xforward = xforward_commands(at, t->s, &n);
    for (; n > 0; n--) {
        ssize_t end = str_index(xforward, '\n') + 1;
        say(t, XFORWARD, 0, str_head(xforward, (size_t)end));
        xforward = str_from(xforward, (size_t)end);
    }
    if (spoke_early(t))
        return;
    say(t, MAIL, 0, mail_command(at, t->s));
    t->s->dirty = true;
    for (size_t i = 0; i < at->d->request.n_recipients; i++)
        if (at->open[i])
            say(t, RCPT, i, rcpt_command(at, t->s, i));
    if (!is_probe(at) || !str_eq(at->smtp->set.address_verify_target, STR("rcpt")))
        if (t->bytes > 0 || t->n_accepted > 0)
            say(t, DATA, 0, STR("DATA\r\n"));
    hear(t);
}

/* Reports a recipient that the server has taken. */
static void taken(struct transaction *t, size_t i, const struct wire_client_reply *reply)
{
    struct attempt *at = t->at;
    struct recipient *r = &at->d->request.recipients[i];
    struct dsn dsn = {
        .status = arena_copy(at->arena, reply->status),
        .action = at->smtp->flags & FLAG_FINAL ? STR("delivered") : STR("relayed"),
        .reason = str_of(reply_words(at, reply)),
        .diag_type = STR("smtp"),
        .mta_type = STR("dns"),
        .mta_name = arena_copy(at->arena, str_of(t->s->host)),
    };

    dsn.diag_text = dsn.reason;
    if (t->s->features.bits & FEATURE_DSN) /* telling about success is the next server's job */
        r->dsn_notify &= ~(long)DSN_NOTIFY_SUCCESS;
    attempt_settle(at, i, &dsn);
}

/* The reply to the final dot; by LMTP one for each recipient. */
static void hear_verdict(struct transaction *t)
{
    struct wire_client_reply reply = {0};
    struct attempt *at = t->at;
    bool first = true;

    session_limit(t->s, at->smtp->set.data_done_timeout, 0);
    for (size_t i = 0; i < at->d->request.n_recipients; i++) {
        enum rc rc = RC_OK;
        if (!t->accepted[i])
            continue;
        if (first || at->smtp->lmtp)
            rc = session_read(t->s, &reply);
        first = false;
        if (rc != RC_OK) {
            lost(t, rc, "sending end of data -- message may be sent more than once");
            return;
        }
        if (reply.code / 100 == 2) {
            taken(t, i, &reply);
        } else if (at->smtp->lmtp) {
            struct dsn dsn = said_dsn(t, &reply, "end of DATA command");
            attempt_recipient(at, i, &dsn);
        } else {
            refuse_accepted(t, &reply, "end of DATA command");
            break;
        }
    }
    t->s->dirty = false;
    reports_commit(t->s, at->d->request.size, reply.code);
}

/* Hanging up before the dot makes the server drop what it has got. */
static void content_failed(struct transaction *t, const struct why *why)
{
    struct str status, words;
    struct dsn dsn;

    dsn_split(str_of(why->text), "", &status, &words);
    if (status.n) {
        dsn = dsn_local(t->at, "", STR_FMT, STR_ARG(words));
        dsn.status = arena_copy(t->at->arena, status);
    } else {
        log_warning(&t->at->d->log, "%s", why->text);
        dsn = dsn_local(t->at, "4.3.0", "local data error while talking to %s", t->s->where);
    }
    t->s->broken = t->over = true;
    attempt_message(t->at, &dsn, t->accepted);
}

static void send_message(struct transaction *t)
{
    struct session *s = t->s;
    struct wire_text text = {.stream = &s->wire.stream};
    struct why why = {0};
    enum rc rc;

    session_limit(s, t->at->smtp->set.data_xfer_timeout, (size_t)t->at->d->request.size);
    rc = content_send(t->at, s, &why);
    if (rc != RC_OK) {
        content_failed(t, &why);
        return;
    }
    if (s->pix & PIX_DELAY_DOTCRLF) {
        rc = stream_flush(&s->wire.stream, &why);
        sleep((unsigned)t->at->smtp->set.pix_workaround_delay_time);
    }
    wire_text_end(&text);
    if (rc == RC_OK)
        rc = stream_flush(&s->wire.stream, &why);
    if (rc != RC_OK)
        lost(t, rc, "sending message body");
    else
        hear_verdict(t);
}

/* DATA was welcome, but no recipient is left: an empty message ends it (RFC 2920 3.1). */
static void send_nothing(struct transaction *t)
{
    struct wire_client_reply reply;

    if (is_probe(t->at)) { /* only hanging up tells the server that there is no message */
        t->s->broken = true;
        return;
    }
    wire_client_say(&t->s->wire, STR(".\r\n"));
    session_limit(t->s, t->at->smtp->set.data_done_timeout, 0);
    if (session_read(t->s, &reply) != RC_OK)
        t->s->broken = true;
}

/* By address_verify_target = data: the recipients that were not refused up to DATA are good. */
static void settle_probe(struct transaction *t)
{
    struct dsn dsn = dsn_simple("2.0.0", STR("deliverable"));

    for (size_t i = 0; i < t->at->d->request.n_recipients; i++)
        if (t->accepted[i])
            attempt_settle(t->at, i, &dsn);
}

/* May this message go to this server at all? */
static bool fits(struct attempt *at, const struct session *s)
{
    const struct deliver_request *q = &at->d->request;
    struct dsn dsn;

    if (s->features.size_limit > 0 && q->size > s->features.size_limit) {
        dsn = dsn_local(at, "5.3.4", "message size %ld exceeds size limit %ld of server %s",
                        q->size, s->features.size_limit, s->where);
    } else if (q->sendopts & OPT_SMTPUTF8 && q->sendopts & OPT_SMTPUTF8_NEEDED &&
               !(s->features.bits & FEATURE_SMTPUTF8)) {
        dsn = dsn_local(at, "5.6.7", "SMTPUTF8 is required, but was not offered by host %s",
                        s->where);
    } else {
        return protect_allows(at, s);
    }
    attempt_message(at, &dsn, NULL);
    return false;
}

static void run_once(struct transaction *t)
{
    size_t n = t->at->d->request.n_recipients;
    struct arena *a = t->at->arena;

    t->said = arena_array(a, struct said, n + 6);
    t->accepted = arena_array(a, bool, n + 1);
    t->postponed = arena_array(a, struct dsn, n + 1);
    say_envelope(t);
    if (t->over)
        return;
    if (is_probe(t->at)) {
        if (t->go)
            settle_probe(t);
        if (t->go)
            send_nothing(t);
    } else if (t->go && t->n_accepted > 0) {
        send_message(t);
    } else if (t->go) {
        send_nothing(t);
    }
}

/* Those who were too many for the transaction. True: they get another on this session. */
static bool go_on(struct transaction *t)
{
    bool again = !t->s->broken && !t->s->closing;

    for (size_t i = 0; t->n_postponed > 0 && i < t->at->d->request.n_recipients; i++) {
        if (t->postponed[i].status.n == 0)
            continue;
        if (again)
            t->at->last[i] = t->postponed[i];
        else
            attempt_recipient(t->at, i, &t->postponed[i]);
    }
    return again && t->n_postponed > 0;
}

enum rc transaction_run(struct attempt *at, struct session *s)
{
    bool again = fits(at, s), kept = s->rested_ms > 0;

    while (again) {
        struct transaction t = {.at = at, .s = s, .kept = kept};
        run_once(&t);
        if (t.stale)
            return RC_NONE;
        s->messages++;
        kept = false;
        again = go_on(&t);
    }
    return RC_OK;
}
