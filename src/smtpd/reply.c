/* Replies: what happens to each before it is sent. */
#include <stdio.h>
#include <unistd.h>

#include "global/date.h"
#include "global/dsn.h"
#include "global/text.h"
#include "smtpd/filters.h"
#include "util/clock.h"

/* "[45]NN[ X.Y.Z] text" with classes that agree. */
static bool is_reject_reply(struct str reply)
{
    size_t n;

    if (reply.n < 4 || (reply.p[0] != '4' && reply.p[0] != '5') ||
        !str_is_digits(str_head(reply, 3)) || (reply.p[3] != ' ' && reply.p[3] != '-'))
        return false;
    n = dsn_prefix(str_from(reply, 4));
    return n == 0 || reply.p[4] == reply.p[0];
}

static const char *id_of(const struct session *s)
{
    return s->message_log.queue_id[0] ? "" : "NOQUEUE: ";
}

static struct str apply_filter(struct session *s, struct str reply)
{
    struct str other;
    enum rc rc;

    if (s->smtpd->reject_filter == NULL)
        return reply;
    rc = maps_get(s->smtpd->reject_filter, reply, s->access.arena, &other, &s->why);
    if (rc == RC_NONE)
        return reply;
    if (rc != RC_OK || !is_reject_reply(other)) {
        log_warning(&s->message_log, "%signoring invalid reject filter result: " STR_FMT, id_of(s),
                    STR_ARG(rc == RC_OK ? other : str_of(s->why.text)));
        return reply;
    }
    log_info(&s->message_log, "%sreply filter in: " STR_FMT, id_of(s), STR_ARG(reply));
    log_info(&s->message_log, "%sreply filter out: " STR_FMT, id_of(s), STR_ARG(other));
    return other;
}

static bool footer_value(void *context, struct str name, struct str *value)
{
    struct session *s = context;
    const struct access_context *c = &s->access;
    const struct {
        const char *name;
        struct str value;
    } values[] = {
        {"client", c->client.label},
        {"client_address", c->client.address_text},
        {"client_name", c->client.name},
        {"client_port", c->client.port},
        {"reverse_client_name", c->client.reverse_name},
        {"helo_name", c->helo},
        {"sender", c->sender},
        {"recipient", c->recipient},
        {"server_name", s->config->myhostname},
        {"server_address", c->client.server_address},
        {"server_port", c->client.server_port},
    };

    if (str_eq(name, STR("localtime"))) {
        char text[DATE_SIZE];
        date_rfc5322(text, clock_seconds());
        *value = arena_copy(c->arena, str_of(text));
        return true;
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (str_eq(name, str_of(values[i].name))) {
            *value = values[i].value;
            return true;
        }
    return config_get(s->config, name, value) == RC_OK;
}

static struct str footer_for(struct session *s, struct str reply)
{
    struct str found;

    if (s->smtpd->reject_footers == NULL)
        return s->config->smtpd_reject_footer;
    switch (maps_get(s->smtpd->reject_footers, reply, s->access.arena, &found, &s->why)) {
    case RC_OK: return found;
    case RC_NONE: break;
    default: log_warning(&s->log, "smtpd_reject_footer_maps: %s", s->why.text);
    }
    return s->config->smtpd_reject_footer;
}

/* Next line of a footer, written with "\n" in two characters. */
static struct str footer_line(struct str *rest)
{
    ssize_t at = str_find(*rest, STR("\\n"));
    struct str line = at < 0 ? *rest : str_head(*rest, (size_t)at);

    *rest = at < 0 ? STR_NONE : str_from(*rest, (size_t)at + 2);
    return line;
}

/*
 * Code and enhanced code of the reply are repeated on each line of the footer; "\c" in front of the
 * first one joins it to the reply.
 */
static struct str add_footer(struct session *s, struct str reply)
{
    struct str footer = footer_for(s, reply), head;
    size_t dsn;
    AUTO_BUF b = {0};

    if (footer.n == 0)
        return reply;
    footer = text_expand(s->access.arena, footer, footer_value, s, s->smtpd->footer_filter);
    dsn = dsn_prefix(str_from(reply, 4));
    head = str_head(reply, 4 + (dsn ? dsn + 1 : 0));
    buf_init(&b, 16384);
    buf_add(&b, reply);
    if (str_has_prefix(footer, STR("\\c"))) {
        footer = str_from(footer, 2);
        buf_add(&b, footer_line(&footer));
    }
    while (footer.p && footer.n) {
        ssize_t last = str_rindex(buf_str(&b), '\n');
        b.p[last + 4] = '-';
        buf_addc(&b, '\n');
        buf_add(&b, head);
        buf_add(&b, footer_line(&footer));
    }
    return b.over ? reply : arena_copy(s->access.arena, buf_str(&b));
}

/* Which class of notify_classes a refusal belongs to, by its enhanced status code (RFC 3463). */
static unsigned class_of(struct str reply, bool by_rules)
{
    static const struct {
        const char *status;
        unsigned by_rules, by_us;
    } classes[] = {
        {".3.0", NOTIFY_DATA, NOTIFY_RESOURCE},     {".3.1", NOTIFY_RESOURCE, NOTIFY_RESOURCE},
        {".3.5", NOTIFY_SOFTWARE, NOTIFY_SOFTWARE}, {".5.", NOTIFY_PROTOCOL, NOTIFY_PROTOCOL},
        {"", NOTIFY_POLICY, NOTIFY_PROTOCOL},
    };
    struct str status = str_from(reply, 4);
    size_t i = 0;

    if (reply.p[0] != '4' && reply.p[0] != '5')
        return 0;
    status = dsn_prefix(status) ? str_from(status, 1) : STR("");
    while (!str_has_prefix(status, str_of(classes[i].status)))
        i++;
    return by_rules ? classes[i].by_rules : classes[i].by_us;
}

void session_reply(struct session *s, struct str reply)
{
    struct str sent = reply;

    s->noticed |= class_of(reply, reply.p == s->access.reply.p);
    if (reply.n > 4 && (reply.p[0] == '4' || reply.p[0] == '5'))
        sent = add_footer(s, apply_filter(s, reply));
    if (s->errors >= s->config->smtpd_soft_error_limit && s->config->smtpd_error_sleep_time > 0)
        sleep((unsigned)s->config->smtpd_error_sleep_time);
    if (sent.n && (sent.p[0] == '4' || sent.p[0] == '5'))
        board_count(&s->smtpd->env->board, COUNTER_smtp_reject, 1);
    filters_server_says(s, sent);
    wire_reply(&s->wire, sent);
    if (str_has_prefix(sent, STR("421")) || str_has_prefix(sent, STR("521")))
        s->over = true;
}

void session_replyf(struct session *s, const char *format, ...)
{
    va_list args;
    AUTO_BUF b = {0};

    buf_init(&b, 8192);
    va_start(args, format);
    buf_vaddf(&b, format, args);
    va_end(args);
    session_reply(s, buf_str(&b));
}

void session_notify(struct session *s)
{
    AUTO_BUF subject = {0};

    if (!s->transcript.keep || (s->noticed & s->smtpd->notify) == 0)
        return;
    buf_init(&subject, 512);
    buf_addf(&subject, "SMTP server: errors from " STR_FMT, STR_ARG(s->access.client.label));
    notice_send(s->smtpd->env, s->smtpd->cleanup, buf_text(&subject), &s->transcript);
}

bool session_obeys(struct session *s, enum verdict v)
{
    if (v == HANGUP)
        s->over = true;
    else if (v == REJECT)
        session_reply(s, s->access.reply);
    s->over =
        s->over || (v == REJECT && (s->access.closes || s->config->smtpd_disconnect_on_reject));
    return v == DUNNO || v == PERMIT;
}

void session_refuse_bare_lf(struct session *s)
{
    access_log(&s->access, "reject", STR("bare <LF> received"));
    s->errors++;
    session_replyf(s, "%ld 5.5.2 " STR_FMT " Error: bare <LF> received",
                   s->config->smtpd_forbid_bare_newline_reject_code,
                   STR_ARG(s->config->myhostname));
}
