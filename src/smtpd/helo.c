/* HELO, EHLO (RFC 5321 4.1.1.1). */
#include <stdio.h>

#include "global/text.h"
#include "smtpd/paranoid.h"

/* Several words are tolerated unless strict. */
static bool name_of_client(struct session *s, struct str arguments, const char *verb)
{
    bool one = str_index_any(arguments, " \t") < 0;

    if (arguments.n && (one || !s->config->strict_rfc821_envelopes))
        return true;
    session_replyf(s, "501 Syntax: %s hostname", verb);
    return false;
}

static bool greeted(struct session *s, struct str name, bool esmtp)
{
    transaction_done(s);
    if (!paranoid_takes_text(s, name, "odd character in host name"))
        return false;
    s->access.esmtp = esmtp;
    s->access.protocol = esmtp ? STR("ESMTP") : STR("SMTP");
    s->access.helo = access_helo_name(s->arena, name);
    if (session_obeys(s, access_at_helo(&s->access)))
        return true;
    s->access.helo = STR_NONE;
    return false;
}

bool cmd_helo(struct session *s, struct str arguments)
{
    if (!name_of_client(s, arguments, "HELO") || !greeted(s, arguments, false))
        return false;
    session_replyf(s, "250 " STR_FMT, STR_ARG(s->config->myhostname));
    return true;
}

struct offer {
    struct buf *b;
    unsigned discard;
    struct buf *discarded;
};

static void offer(struct offer *o, unsigned keyword, const char *text)
{
    if ((o->discard & keyword) == 0) {
        buf_addf(o->b, "\n250-%s", text);
        return;
    }
    buf_addf(o->discarded, "%s%.*s", o->discarded->n ? " " : "", (int)strcspn(text, " "), text);
}

/* RFC 4954 3, and the form of clients from before there was one */
static void offer_auth(struct session *s, struct offer *o)
{
    struct str mechanisms = auth_mechanisms(s);
    AUTO_BUF b = {0};

    if (s->smtpd->login && (o->discard & EHLO_AUTH))
        offer(o, EHLO_AUTH, "AUTH");
    if (mechanisms.n == 0 || s->sasl_is_exception)
        return;
    buf_init(&b, 4096);
    buf_addf(&b, "AUTH " STR_FMT, STR_ARG(mechanisms));
    offer(o, EHLO_AUTH, buf_text(&b));
    b.p[4] = '=';
    if (s->config->broken_sasl_auth_clients)
        offer(o, EHLO_AUTH, buf_text(&b));
}

static void offer_all(struct session *s, struct offer *o)
{
    const struct config *config = s->config;

    offer(o, EHLO_PIPELINING, "PIPELINING");
    if (config->message_size_limit > 0) {
        char size[32];
        snprintf(size, sizeof size, "SIZE %ld", config->message_size_limit);
        offer(o, EHLO_SIZE, size);
    } else {
        offer(o, EHLO_SIZE, "SIZE");
    }
    if (!config->disable_vrfy_command)
        offer(o, EHLO_VRFY, "VRFY");
    offer(o, EHLO_ETRN, "ETRN");
    if (session_offers_tls(s))
        offer(o, EHLO_STARTTLS, "STARTTLS");
    offer_auth(s, o);
    if (s->may_verp)
        offer(o, EHLO_VERP, "XVERP");
    if (s->may_xclient)
        offer(o, EHLO_XCLIENT,
              "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT");
    if (s->may_xforward)
        offer(o, EHLO_XFORWARD, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT");
    offer(o, EHLO_ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES");
    offer(o, EHLO_8BITMIME, "8BITMIME");
    offer(o, EHLO_DSN, "DSN");
    if (config->smtputf8_enable)
        offer(o, EHLO_SMTPUTF8, "SMTPUTF8");
    offer(o, EHLO_CHUNKING, "CHUNKING");
    if (config->requiretls_enable && s->access.tls)
        offer(o, EHLO_REQUIRETLS, "REQUIRETLS");
}

/* As a server that does not know EHLO; a client that insists is taken as if it had said HELO. */
static bool ehlo_without_extensions(struct session *s, struct str arguments)
{
    if (s->counters[CMD_EHLO].total > 1)
        return cmd_helo(s, arguments);
    session_reply(s, STR("500 5.5.1 Error: command not implemented; say HELO"));
    return false;
}

bool cmd_ehlo(struct session *s, struct str arguments)
{
    ssize_t last;
    AUTO_BUF b = {0}, discarded = {0};
    struct offer o = {&b, s->ehlo_discard, &discarded};

    buf_init(&b, 16384);
    buf_init(&discarded, 1024);
    if (s->config->smtpd_ehlo_disable)
        return ehlo_without_extensions(s, arguments);
    if (!name_of_client(s, arguments, "EHLO") || !greeted(s, arguments, true))
        return false;
    buf_addf(&b, "250-" STR_FMT, STR_ARG(s->config->myhostname));
    offer_all(s, &o);
    last = str_rindex(buf_str(&b), '\n');
    b.p[last + 4] = ' ';
    if (discarded.n && (s->ehlo_discard & EHLO_SILENT) == 0)
        log_info(&s->log, "discarding EHLO keywords: %s", buf_text(&discarded));
    session_reply(s, buf_str(&b));
    return true;
}
