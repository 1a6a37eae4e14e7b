/* RCPT TO (RFC 5321 4.1.1.3) and its parameters. */
#include "global/address.h"
#include "global/dsn.h"
#include "global/probe_sender.h"
#include "smtpd/envelope.h"
#include "smtpd/paranoid.h"
#include "smtpd/standalone.h"
#include "util/clock.h"

enum { ORCPT_MAX = 500 };

static bool rcpt_notify(struct session *s, struct str option, struct str value)
{
    (void)option;
    if (dsn_is_off(s))
        return false;
    if (s->t.recipient.dsn_notify == 0 && dsn_notify_parse(value, &s->t.recipient.dsn_notify))
        return true;
    session_replyf(s, "501 5.5.4 Error: Bad NOTIFY parameter syntax");
    return false;
}

/* "rfc822;user@host", the part behind the semicolon in xtext */
static bool rcpt_orcpt(struct session *s, struct str option, struct str value)
{
    struct str text = value, type, decoded;

    (void)option;
    if (dsn_is_off(s))
        return false;
    type = str_cut(&text, ';');
    if (type.n && text.n && value.n <= ORCPT_MAX && s->t.recipient.dsn_orcpt.n == 0 &&
        xtext_decode(s->access.arena, text, &decoded, &s->why) == RC_OK) {
        s->t.recipient.dsn_orcpt =
            arena_printf(s->access.arena, STR_FMT ";" STR_FMT, STR_ARG(type), STR_ARG(decoded));
        return true;
    }
    session_replyf(s, "501 5.5.4 Error: Bad ORCPT parameter syntax");
    return false;
}

static const struct parameter rcpt_parameters[] = {{"NOTIFY", rcpt_notify}, {"ORCPT", rcpt_orcpt}};

/* Beyond the limit a client is told to come again with the rest, for a while without blame. */
static bool too_many(struct session *s, bool *is_error)
{
    long code = s->config->smtpd_recipient_limit_reject_code;

    *is_error = true;
    if (s->t.recipients < s->config->smtpd_recipient_limit)
        return false;
    *is_error = s->t.overshoot++ >= s->config->smtpd_recipient_overshoot_limit;
    session_replyf(s, "%ld %d.5.3 Error: too many recipients", code, code >= 500 ? 5 : 4);
    if (code >= 500 && s->config->smtpd_disconnect_on_reject)
        s->over = true;
    return true;
}

/* smtpd_relay_client_suffix: the mail goes where that leads, whatever the recipient is. */
static void append_suffix(struct session *s)
{
    struct recipient *r = &s->t.recipient;

    if (!s->config->smtpd_relay_client || s->config->smtpd_relay_client_suffix.n == 0)
        return;
    r->address = r->original =
        arena_join(s->access.arena, r->address, s->config->smtpd_relay_client_suffix);
}

static void take_recipient(struct session *s)
{
    s->t.recipients++;
    s->access.recipient_count = s->t.recipients;
    s->t.recipient.action = s->access.action.n ? s->access.action : STR("-");
    s->t.only_recipient = s->t.recipients == 1 ? s->access.recipient : STR_NONE;
    append_suffix(s);
    message_recipient(s, &s->t.recipient);
}

/* The more recipients one message has, the slower they are taken. */
static void tarpit(struct session *s)
{
    const struct config *c = s->config;

    if (c->smtpd_tarpit_recipient_count > 0 && c->smtpd_tarpit_delay > 0 &&
        s->t.recipients >= c->smtpd_tarpit_recipient_count)
        s->access.wait(s, c->smtpd_tarpit_delay);
}

static bool parse_recipient(struct session *s, struct str arguments)
{
    struct str path, address, rest;

    if (!path_after(s, arguments, STR("TO"), &path)) {
        session_replyf(s, "501 5.5.4 Syntax: RCPT TO:<address>");
        return false;
    }
    if (path_parse(s, path, "RCPT", &address, &rest) != RC_OK) {
        session_reply(s, STR(REPLY_BAD_RECIPIENT));
        return false;
    }
    (void)probe_sender_is(s->config, address, s->access.arena, clock_seconds(), &address);
    s->t.recipient = (struct recipient){0};
    if (!paranoid_takes_text(s, address, "odd character in recipient address") ||
        !parameters_parse(s, rest, rcpt_parameters,
                          sizeof rcpt_parameters / sizeof *rcpt_parameters) ||
        !address_is_fit(s, address))
        return false;
    s->t.recipient.address = s->t.recipient.original = s->access.recipient =
        arena_copy(s->access.arena, address);
    return true;
}

bool cmd_rcpt(struct session *s, struct str arguments)
{
    bool is_error = true, taken = false;

    if (!parse_recipient(s, arguments))
        return false;
    if (too_many(s, &is_error)) {
        s->access.recipient = STR_NONE;
        return !is_error;
    }
    if (limit_recipients(s) && session_obeys(s, access_at_rcpt(&s->access)) &&
        transaction_open(s)) {
        take_recipient(s);
        tarpit(s);
        session_reply(s, STR("250 2.1.5 Ok"));
        taken = true;
    }
    s->access.recipient = STR_NONE;
    return taken;
}
