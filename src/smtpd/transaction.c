/* A message on its way into the queue. */
#include <stdio.h>
#include <sys/statvfs.h>

#include "global/address.h"
#include "global/date.h"
#include "global/dsn.h"
#include "smtpd/filters.h"
#include "smtpd/standalone.h"
#include "util/clock.h"

static bool rewrites_locally(struct session *s)
{
    if (!s->rewrite_known) {
        s->rewrite_local = access_rewrites_locally(&s->access);
        s->rewrite_known = true;
    }
    return s->rewrite_local;
}

static struct str either(struct str forwarded, struct str own)
{
    return forwarded.p ? forwarded : own;
}

/* What logs and delivery agents are told; XFORWARD speaks for the client before us. */
static void fill_origin(struct session *s, struct origin *o)
{
    const struct access_context *c = &s->access;
    const struct xforward *x = &s->xforward;

    *o = (struct origin){
        .client_name = either(x->name, c->client.name),
        .client_address = either(x->address, c->client.address_text),
        .client_port = either(x->port, c->client.port),
        .protocol = either(x->protocol, c->protocol),
        .helo = either(x->helo, c->helo),
        .sasl_method = c->sasl_method,
        .sasl_username = c->sasl_username,
        .sasl_sender = c->sasl_sender,
        .log_ident = x->ident.p ? x->ident : STR_NONE,
        .rewrite_context = rewrites_locally(s) ? STR("local") : STR("remote"),
    };
}

static void add_attributes(struct session *s)
{
    const struct access_context *c = &s->access;
    const struct {
        const char *name;
        struct str value;
    } attributes[] = {
        {"client_name", c->client.name},
        {"reverse_client_name", c->client.reverse_name},
        {"client_address", c->client.address_text},
        {"client_port", c->client.port},
        {"server_address", c->client.server_address},
        {"server_port", c->client.server_port},
        {"helo_name", c->helo},
        {"protocol_name", c->protocol},
        {"client_address_type", addr_family(&c->client.address) == AF_INET6 ? STR("10") : STR("2")},
    };

    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (attributes[i].value.n)
            submit_attribute(s->t.submission, attributes[i].name, attributes[i].value);
}

static void log_client(struct session *s)
{
    const struct access_context *c = &s->access;
    const struct xforward *x = &s->xforward;
    AUTO_BUF b = {0};

    buf_init(&b, 4096);
    buf_addf(&b, "client=" STR_FMT, STR_ARG(c->client.label));
    if (c->sasl_method.n)
        buf_addf(&b, ", sasl_method=" STR_FMT, STR_ARG(c->sasl_method));
    if (c->sasl_username.n)
        buf_addf(&b, ", sasl_username=" STR_FMT, STR_ARG(c->sasl_username));
    if (c->sasl_sender.n)
        buf_addf(&b, ", sasl_sender=" STR_FMT, STR_ARG(c->sasl_sender));
    if (x->ident.p)
        buf_addf(&b, ", orig_queue_id=" STR_FMT, STR_ARG(x->ident));
    if (x->address.p || x->name.p) {
        buf_addf(&b, ", orig_client=" STR_FMT "[" STR_FMT "]",
                 STR_ARG(either(x->name, STR("unknown"))),
                 STR_ARG(either(x->address, STR("unknown"))));
        if (x->port.p)
            buf_addf(&b, ":" STR_FMT, STR_ARG(x->port));
    }
    log_info(&s->message_log, "%s", buf_text(&b));
}

bool transaction_open(struct session *s)
{
    struct submit_begin *begin = &s->t.begin;

    if (s->t.submission || s->t.standalone || s->t.spooled)
        return true;
    if (s->on_stdin || s->config->smtpd_queue_program.n)
        return standalone_open(s);
    if (s->smtpd->spool_directory)
        return spool_message_open(s);
    begin->flags =
        s->smtpd->submit_flags | (s->t.smtputf8 ? SUBMIT_SMTPUTF8 : 0) |
        (s->t.requiretls ? SUBMIT_REQUIRETLS : 0) |
        (s->config->smtpd_masquerade_from && s->access.sasl_username.n ? SUBMIT_MASQUERADE_FROM
                                                                       : 0);
    begin->sendopts = s->t.smtputf8 ? 1 : 0;
    begin->arrival_sec = s->t.arrival.tv_sec;
    begin->arrival_usec = s->t.arrival.tv_nsec / 1000;
    begin->filter = s->config->content_filter;
    fill_origin(s, &begin->origin);
    if (submit_begin(s->smtpd->submit, begin, s->access.arena, &s->log, &s->t.submission,
                     &s->why) != RC_OK) {
        s->t.submission = NULL;
        log_warning(&s->log, "queue file: %s", s->why.text);
        session_reply(s, STR("451 4.3.0 Error: queue file write error"));
        return false;
    }
    if (s->rule.overlay)
        submit_set_size_limit(s->t.submission, s->config->message_size_limit);
    s->access.queue_id = str_of(submit_queue_id(s->t.submission));
    log_set_queue_id(&s->message_log, s->access.queue_id);
    add_attributes(s);
    log_client(s);
    return true;
}

void transaction_done(struct session *s)
{
    if (s->t.content.wire)
        wire_content_done(&s->t.content);
    s->t = (struct transaction){0};
    access_begin_message(&s->access);
    arena_reset(s->access.arena); /* an unfinished queue file goes with it */
    log_set_queue_id(&s->message_log, STR_NONE);
}

/* ---- content ---- */

static struct str address_literal(struct session *s)
{
    const struct access_client *c = &s->access.client;

    return addr_family(&c->address) == AF_INET6
               ? arena_printf(s->access.arena, "IPv6:" STR_FMT, STR_ARG(c->address_text))
               : c->address_text;
}

/* With what protocol (RFC 3848): ESMTPS under TLS, ESMTPA after AUTH. */
static struct str with_protocol(struct session *s)
{
    const struct access_context *c = &s->access;
    struct str word = c->protocol.n ? c->protocol : STR("SMTP");

    if (!c->esmtp && !s->t.smtputf8)
        return word;
    return arena_printf(c->arena, STR_FMT "%s%s", STR_ARG(s->t.smtputf8 ? STR("UTF8SMTP") : word),
                        c->tls ? "S" : "", c->sasl_username.n ? "A" : "");
}

/* smtpd_sasl_authenticated_header: a comment, so its special bytes are quoted */
static void received_login(struct session *s, struct buf *b)
{
    struct str name = s->access.sasl_username;

    if (!s->config->smtpd_sasl_authenticated_header || name.n == 0)
        return;
    name = arena_join(s->access.arena, s->config->smtpd_sasl_received_prefix, name);
    buf_add(b, STR("\n\t(Authenticated sender: "));
    for (size_t i = 0; i < name.n; i++)
        buf_addf(b, "%s%c", strchr("()\\", name.p[i]) ? "\\" : "", name.p[i]);
    buf_addc(b, ')');
}

void transaction_header(struct session *s, struct str header)
{
    if (filters_take_header(s, header))
        return;
    if (s->t.submission)
        submit_prepend_header(s->t.submission, header);
    else if (s->t.spooled)
        spool_message_header(s, header);
    else
        standalone_line(s, header, false);
}

/* Received: (RFC 5321 4.4) */
static void add_received(struct session *s)
{
    const struct access_context *c = &s->access;
    const struct config *config = s->config;
    struct str id = c->queue_id.n ? c->queue_id : c->instance,
               helo = c->helo.p ? c->helo : c->client.name;
    char date[DATE_SIZE];
    AUTO_BUF b = {0};

    buf_init(&b, 16384);
    date_rfc5322(date, s->t.arrival.tv_sec);
    if (config->smtpd_hide_client_session) {
        buf_addf(&b, "Received: by " STR_FMT " (" STR_FMT ") id " STR_FMT,
                 STR_ARG(config->myhostname), STR_ARG(config->mail_name), STR_ARG(id));
    } else {
        buf_addf(&b, "Received: from " STR_FMT " (" STR_FMT " [" STR_FMT "])", STR_ARG(helo),
                 STR_ARG(c->client.name), STR_ARG(address_literal(s)));
        received_tls(s, &b);
        received_login(s, &b);
        buf_addf(&b, "\n\tby " STR_FMT " (" STR_FMT ") with " STR_FMT " id " STR_FMT,
                 STR_ARG(config->myhostname), STR_ARG(config->mail_name), STR_ARG(with_protocol(s)),
                 STR_ARG(id));
    }
    if (s->t.only_recipient.p) {
        struct str to = address_quote(c->arena, s->t.only_recipient);
        buf_addf(&b, "\n\tfor <" STR_FMT ">; %s", STR_ARG(to), date);
    } else {
        buf_addf(&b, ";\n\t%s", date);
    }
    transaction_header(s, buf_str(&b));
}

void transaction_begin_content(struct session *s)
{
    const struct access_actions *actions = &s->access.actions;

    stream_grow(&s->wire.stream, STREAM_BIG);
    wire_content_begin(&s->t.content, &s->wire);
    s->wire.saw_bare_lf = false;
    filters_content_begins(s);
    if (s->on_stdin)
        return; /* pickup adds Received: */
    for (size_t i = 0; i < actions->headers.n; i++)
        transaction_header(s, actions->headers.v[i]);
    add_received(s);
    if (s->t.requiretls && s->config->requiretls_esmtp_header)
        transaction_header(s, STR("Require-TLS-ESMTP: yes"));
    if (s->smtpd->signatures)
        s->t.scan = signature_scan_new(s->smtpd->signatures, s->access.arena);
}

static void apply_actions(struct session *s)
{
    const struct access_actions *actions = &s->access.actions;
    struct submission *m = s->t.submission;

    submit_set_flags(m,
                     (actions->hold ? SUBMIT_HOLD : 0) | (actions->discard ? SUBMIT_DISCARD : 0));
    if (actions->filter.n)
        submit_set_filter(m, actions->filter);
    if (actions->redirect.n)
        submit_set_redirect(m, actions->redirect);
    for (size_t i = 0; i < actions->bcc.n; i++)
        submit_add_bcc(m, actions->bcc.v[i]);
}

static struct str failure_reply(struct session *s, unsigned status, struct str reason)
{
    const struct submit_outcome *o = submit_outcome(status);
    long code = o->smtp_code;
    size_t dsn = dsn_prefix(reason);

    if (s->config->soft_bounce && code >= 500)
        code -= 100;
    if (dsn)
        return arena_printf(s->access.arena, "%ld %ld" STR_FMT, code, code / 100,
                            STR_ARG(str_from(reason, 1)));
    return arena_printf(s->access.arena, "%ld %ld%s Error: %s", code, code / 100, o->dsn + 1,
                        o->text);
}

static bool bare_lf_is_refused(struct session *s)
{
    if (!s->wire.saw_bare_lf)
        return false;
    s->noted_bare_lf = true;
    return s->wire.bare_lf == BARE_LF_REJECT;
}

static enum verdict check_content(struct session *s)
{
    if (signature_scan_found(s->t.scan))
        return access_refuse(&s->access, 552, "5.7.0", STR("Error: MIME content not accepted"));
    return access_at_end_of_data(&s->access);
}

bool transaction_finish(struct session *s, struct str *reply)
{
    struct str reason = STR_NONE;
    unsigned status;

    s->access.stage = "END-OF-MESSAGE";
    s->access.size = message_size(s);
    s->access.recipient = s->t.only_recipient;
    *reply = STR_NONE;
    if (bare_lf_is_refused(s)) {
        session_refuse_bare_lf(s);
        return false;
    }
    if (message_status(s) == 0) {
        enum verdict v = check_content(s);
        if (v == REJECT || v == HANGUP) {
            if (v == REJECT)
                *reply = s->access.reply;
            s->over = v == HANGUP || s->access.closes || s->config->smtpd_disconnect_on_reject;
            return false;
        }
    }
    if (s->t.standalone && !s->on_stdin && message_status(s) == 0)
        return queue_program_finish(s, reply);
    if (s->t.submission) {
        apply_actions(s);
        status = submit_finish(s->t.submission, &reason);
    } else if (s->t.spooled) {
        status = s->access.actions.discard ? 0 : spool_message_finish(s);
    } else {
        status = s->on_stdin ? standalone_finish(s) : standalone_status(s);
    }
    if (status)
        *reply = failure_reply(s, status, reason);
    else if (s->access.queue_id.n)
        *reply = arena_printf(s->access.arena, "250 2.0.0 Ok: queued as " STR_FMT,
                              STR_ARG(s->access.queue_id));
    else
        *reply = STR("250 2.0.0 Ok");
    return status == 0;
}

/* ---- space ---- */

static long free_bytes(struct session *s)
{
    struct smtpd_shared *shared = s->smtpd->shared;
    long now = clock_seconds();
    struct statvfs fs;

    if (atomic_load(&shared->space_second) == now)
        return atomic_load(&shared->space_bytes);
    if (statvfs(".", &fs) < 0)
        return LONG_MAX;
    atomic_store(&shared->space_bytes, (long)(fs.f_bavail * fs.f_frsize));
    atomic_store(&shared->space_second, now);
    return atomic_load(&shared->space_bytes);
}

bool has_space(struct session *s, long bytes)
{
    const struct config *config = s->config;
    long have = free_bytes(s), limit = config->message_size_limit;

    if (limit > 0 && have / 3 * 2 < limit) {
        log_warning(&s->log,
                    "not enough free space in mail queue: %ld bytes < 1.5*message size limit",
                    have);
        return false;
    }
    return bytes <= have && (config->queue_minfree == 0 || have >= config->queue_minfree + bytes);
}
