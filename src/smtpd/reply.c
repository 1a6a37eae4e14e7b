/* Replies: what happens to each before it is sent. */
#include <unistd.h>

#include "global/dsn.h"
#include "smtpd/filters.h"

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
    struct str sent = reply_as_sent(&s->smtpd->reply_style, &s->access, reply);

    s->noticed |= class_of(reply, reply.p == s->access.reply.p);
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
