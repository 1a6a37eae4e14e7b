/* MAIL FROM (RFC 5321 4.1.1.2) and its parameters. */
#include "global/address.h"
#include "global/dsn.h"
#include "smtpd/envelope.h"
#include "smtpd/paranoid.h"
#include "util/clock.h"

enum { ENVID_MAX = 100 }; /* RFC 3461 4.4 */

bool path_after(struct session *s, struct str arguments, struct str keyword, struct str *path)
{
    struct str rest = arguments;

    if (!str_has_prefix_nocase(rest, keyword))
        return false;
    rest = str_ltrim(str_from(rest, keyword.n));
    if (rest.n == 0 || rest.p[0] != ':')
        return false;
    *path = str_from(rest, 1);
    if (s->config->strict_rfc821_envelopes && path->n && is_blank(path->p[0]))
        return false;
    *path = str_ltrim(*path);
    return path->n > 0;
}

enum rc path_parse(struct session *s, struct str path, const char *verb, struct str *address,
                   struct str *rest)
{
    enum rc rc = access_path_parse(&s->access, path, verb, address, rest, &s->why);

    if (rc != RC_OK)
        log_warning(&s->log, "Illegal address syntax from " STR_FMT " in %s command: " STR_FMT,
                    STR_ARG(s->access.client.label), verb, STR_ARG(str_head(path, 100)));
    return rc;
}

static bool unsupported(struct session *s, struct str option)
{
    session_replyf(s, "555 5.5.4 Unsupported option: " STR_FMT, STR_ARG(option));
    return false;
}

bool dsn_is_off(struct session *s)
{
    if ((s->ehlo_discard & EHLO_DSN) == 0)
        return false;
    session_replyf(s, "501 5.7.1 DSN support is disabled");
    return true;
}

static bool mail_size(struct session *s, struct str option, struct str value)
{
    long size;

    (void)option;
    if (!str_is_digits(value) || !str_to_long(value, 0, LONG_MAX, &size)) {
        session_replyf(s, "501 5.5.4 Bad message size syntax");
        return false;
    }
    s->access.size = size;
    return true;
}

static bool mail_body(struct session *s, struct str option, struct str value)
{
    if (str_eq_nocase(value, STR("8BITMIME")))
        s->t.begin.encoding = STR("8bit");
    else if (str_eq_nocase(value, STR("7BIT")))
        s->t.begin.encoding = STR("7bit");
    else
        return unsupported(s, option);
    return true;
}

static bool mail_smtputf8(struct session *s, struct str option, struct str value)
{
    if (value.p || !s->config->smtputf8_enable || (s->ehlo_discard & EHLO_SMTPUTF8))
        return unsupported(s, option);
    s->t.smtputf8 = true;
    return true;
}

/* RFC 8689 2: only for who came under TLS */
static bool mail_requiretls(struct session *s, struct str option, struct str value)
{
    if (value.p || !s->config->requiretls_enable || (s->ehlo_discard & EHLO_REQUIRETLS))
        return unsupported(s, option);
    if (s->access.tls == NULL) {
        session_reply(s, STR("530 5.7.10 REQUIRETLS needs a TLS session; use STARTTLS first"));
        return false;
    }
    s->t.requiretls = true;
    return true;
}

static bool mail_ret(struct session *s, struct str option, struct str value)
{
    (void)option;
    if (dsn_is_off(s))
        return false;
    if (s->t.begin.dsn_ret == 0 && dsn_ret_parse(value, &s->t.begin.dsn_ret))
        return true;
    session_replyf(s, "501 5.5.4 Bad RET parameter syntax");
    return false;
}

static bool is_printable(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < ' ' || text.p[i] > '~')
            return false;
    return true;
}

static bool mail_envid(struct session *s, struct str option, struct str value)
{
    struct str decoded;

    (void)option;
    if (dsn_is_off(s))
        return false;
    if (value.n && value.n <= ENVID_MAX && s->t.begin.envid.n == 0 &&
        xtext_decode(s->access.arena, value, &decoded, &s->why) == RC_OK && is_printable(decoded)) {
        s->t.begin.envid = arena_copy(s->access.arena, decoded);
        return true;
    }
    session_replyf(s, "501 5.5.4 Bad ENVID parameter syntax");
    return false;
}

/* RFC 4954 5: from a client that has not logged in it counts as AUTH=<> */
static bool mail_auth(struct session *s, struct str option, struct str value)
{
    if (value.p == NULL)
        return unsupported(s, option);
    if (s->t.has_auth) {
        session_reply(s, STR("503 5.5.4 Error: multiple AUTH= options"));
        return false;
    }
    s->t.has_auth = true;
    if (s->access.sasl_username.n && !str_eq(value, STR("<>")))
        s->access.sasl_sender = arena_copy(s->access.arena, value);
    return true;
}

static bool mail_verp(struct session *s, struct str option, struct str value)
{
    struct str delimiters = value.n ? value : s->config->default_verp_delimiters;

    if (!s->may_verp)
        return unsupported(s, option);
    if (delimiters.n != 2 || str_index(s->config->verp_delimiter_filter, delimiters.p[0]) < 0 ||
        str_index(s->config->verp_delimiter_filter, delimiters.p[1]) < 0) {
        session_replyf(s, "503 5.5.4 Error: XVERP needs two characters from " STR_FMT,
                       STR_ARG(s->config->verp_delimiter_filter));
        return false;
    }
    s->t.begin.verp = arena_copy(s->access.arena, delimiters);
    return true;
}

static const struct parameter mail_parameters[] = {
    {"SIZE", mail_size},         {"BODY", mail_body},
    {"SMTPUTF8", mail_smtputf8}, {"RET", mail_ret},
    {"ENVID", mail_envid},       {"AUTH", mail_auth},
    {"XVERP", mail_verp},        {"REQUIRETLS", mail_requiretls},
};

bool parameters_parse(struct session *s, struct str rest, const struct parameter *known, size_t n)
{
    struct str option;

    while (str_token(&rest, " \t", &option)) {
        struct str value = option, name = str_cut(&value, '=');
        size_t i = 0;
        while (i < n && !str_eq_nocase(name, str_of(known[i].name)))
            i++;
        if (i == n)
            return unsupported(s, option);
        if (!known[i].take(s, option, value))
            return false;
    }
    return true;
}

/* A new message: everything that the one before has left is gone. */
static void begin_transaction(struct session *s)
{
    s->t = (struct transaction){.arrival = clock_now()};
    access_begin_message(&s->access);
    s->access.instance =
        arena_printf(s->access.arena, "%x.%lx.%lx.%x", (unsigned)s->smtpd->pid,
                     (unsigned long)s->t.arrival.tv_sec, (unsigned long)s->t.arrival.tv_nsec / 1000,
                     atomic_fetch_add(&s->smtpd->shared->sequence, 1));
}

static bool check_size(struct session *s)
{
    const struct config *config = s->config;

    if (config->message_size_limit > 0 && s->access.size > config->message_size_limit)
        return session_obeys(
            s, access_refuse(&s->access, 552, "5.3.4", STR("Message size exceeds fixed limit")));
    if (!has_space(s, s->access.size))
        return session_obeys(
            s, access_refuse(&s->access, 452, "4.3.1", STR("Insufficient system storage")));
    return true;
}

bool address_is_fit(struct session *s, struct str address)
{
    if (s->t.smtputf8 || !s->config->strict_smtputf8 || str_is_ascii(address))
        return true;
    session_reply(s, STR(REPLY_NEEDS_UTF8));
    return false;
}

/* smtpd_mail_count_limit: of this session; a new one may send more. */
static bool is_within_session(struct session *s)
{
    long limit = s->config->smtpd_mail_count_limit;

    if (limit <= 0 || s->counters[CMD_MAIL].done < limit)
        return true;
    session_replyf(s, "452 4.5.3 Error: too many messages in this session");
    return false;
}

static bool accept_sender(struct session *s, struct str path)
{
    struct str sender, rest;

    if (path_parse(s, path, "MAIL", &sender, &rest) != RC_OK) {
        session_reply(s, STR(REPLY_BAD_SENDER));
        return false;
    }
    if (!paranoid_takes_text(s, sender, "odd character in sender address") ||
        !parameters_parse(s, rest, mail_parameters,
                          sizeof mail_parameters / sizeof *mail_parameters) ||
        !address_is_fit(s, sender) || !is_within_session(s) || !limit_messages(s))
        return false;
    s->access.sender = sender.n ? arena_copy(s->access.arena, sender) : STR("");
    s->t.begin.sender = s->access.sender;
    return check_size(s) && session_obeys(s, access_at_mail(&s->access));
}

bool cmd_mail(struct session *s, struct str arguments)
{
    struct str path;

    if (s->access.sender.p) {
        session_replyf(s, "503 5.5.1 Error: nested MAIL command");
        return false;
    }
    if (s->t.chunking) {
        session_replyf(s, "503 5.5.1 Error: MAIL after BDAT");
        return false;
    }
    if (!path_after(s, arguments, STR("FROM"), &path)) {
        session_replyf(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
        return false;
    }
    begin_transaction(s);
    if (!accept_sender(s, path) ||
        (!s->config->smtpd_delay_open_until_valid_rcpt && !transaction_open(s))) {
        transaction_done(s);
        return false;
    }
    session_reply(s, STR("250 2.1.0 Ok"));
    return true;
}
