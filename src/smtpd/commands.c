#include "smtpd/commands.h"

#include "global/header.h"
#include "smtpd/filters.h"
#include "util/clock.h"

static const struct command commands[] = {
    {"HELO", CMD_HELO, BEFORE_TLS | ENDS_GROUP | IS_JUNK | NOT_IN_BDAT,
     cmd_helo}, /* RFC 5321 4.1.1.1 */
    {"EHLO", CMD_EHLO, BEFORE_TLS | ENDS_GROUP | IS_JUNK, cmd_ehlo},
    {"XCLIENT", CMD_XCLIENT, BEFORE_TLS, cmd_xclient},
    {"XFORWARD", CMD_XFORWARD, 0, cmd_xforward},
    {"STARTTLS", CMD_STARTTLS, BEFORE_TLS, cmd_starttls}, /* RFC 3207 */
    {"AUTH", CMD_AUTH, 0, cmd_auth},                      /* RFC 4954 */
    {"MAIL", CMD_MAIL, NEEDS_HELO, cmd_mail},
    {"RCPT", CMD_RCPT, NEEDS_MAIL | NOT_IN_BDAT, cmd_rcpt},
    {"DATA", CMD_DATA, ENDS_GROUP | NOT_IN_BDAT, cmd_data},
    {"BDAT", CMD_BDAT, 0, cmd_bdat}, /* RFC 3030 */
    {"RSET", CMD_RSET, IS_JUNK, cmd_rset},
    {"NOOP", CMD_NOOP, BEFORE_TLS | ENDS_GROUP | IS_JUNK, cmd_noop},
    {"VRFY", CMD_VRFY, ENDS_GROUP | IS_JUNK | NEEDS_HELO, cmd_vrfy},
    {"ETRN", CMD_ETRN, IS_JUNK | NEEDS_HELO, cmd_etrn}, /* RFC 1985 */
    {"QUIT", CMD_QUIT, BEFORE_TLS, cmd_quit},
    {"HELP", CMD_HELP, BEFORE_TLS, cmd_help},
};

static const struct command *command_find(struct str word)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (str_eq_nocase(word, str_of(commands[i].name)))
            return &commands[i];
    return NULL;
}

/* Does the state of the session allow it? Answers itself when not. */
static bool command_allowed(struct session *s, const struct command *c)
{
    if (s->greeting_refused && c->id != CMD_QUIT) {
        session_reply(s, s->denied);
        return false;
    }
    if (s->denied.p && c->id != CMD_QUIT) {
        if (str_has_prefix(s->denied, STR("421")) || str_has_prefix(s->denied, STR("521")))
            session_reply(s, s->denied);
        else
            session_replyf(s, "503 5.7.0 Error: access denied for " STR_FMT,
                           STR_ARG(s->access.client.label));
        return false;
    }
    if ((c->flags & BEFORE_TLS) == 0 && s->smtpd->tls_level == LEVEL_ENCRYPT && !s->access.tls) {
        session_reply(s, STR("530 5.7.0 Must issue a STARTTLS command first"));
        return false;
    }
    if ((c->flags & NEEDS_HELO) && s->config->smtpd_helo_required && s->access.helo.p == NULL) {
        session_reply(s, STR(REPLY_SEND_HELO));
        return false;
    }
    if ((c->flags & NOT_IN_BDAT) && s->t.chunking && c->id != CMD_HELO) {
        session_replyf(s, "503 5.5.1 Error: %s after BDAT", c->name);
        return false;
    }
    if ((c->flags & NEEDS_MAIL) && s->access.sender.p == NULL) {
        session_replyf(s, "503 5.5.1 Error: need MAIL command");
        return false;
    }
    return true;
}

/* What may be logged of input: not what stands behind AUTH, or answers it. */
static struct str without_secrets(const struct session *s, struct str text)
{
    ssize_t at = str_find_nocase(text, STR("AUTH"));

    if (strcmp(s->access.stage, "AUTH") == 0)
        return STR_NONE;
    return at < 0 ? text : str_head(text, (size_t)at + 4);
}

/* A client that talks ahead where it may not is no mail client, or wants to smuggle something. */
static bool is_unauthorized_pipelining(struct session *s, const struct command *c)
{
    struct str ahead;
    AUTO_BUF shown = {0};

    if (!s->config->smtpd_forbid_unauth_pipelining || !wire_has_more(&s->wire) ||
        (s->access.esmtp && (c->flags & ENDS_GROUP) == 0))
        return false;
    ahead = without_secrets(s, str_head(stream_peek(&s->wire.stream), 100));
    buf_init(&shown, 1024);
    for (size_t i = 0; i < ahead.n; i++) {
        char b = ahead.p[i];
        if (b == '\r' || b == '\n' || b == '\t')
            buf_addf(&shown, "\\%c", b == '\r' ? 'r' : b == '\n' ? 'n' : 't');
        else if ((unsigned char)b < ' ' || (unsigned char)b > 126)
            buf_addf(&shown, "\\%03o", (unsigned char)b);
        else
            buf_addc(&shown, b);
    }
    log_info(&s->log, "improper command pipelining after %s from " STR_FMT ": %s", s->access.stage,
             STR_ARG(s->access.client.label), buf_text(&shown));
    session_replyf(s, "554 5.5.0 Error: SMTP protocol synchronization");
    s->over = true;
    return true;
}

/* No mail client: a browser, or one that mistakes the end of its message. */
static bool is_forbidden(struct session *s, struct str line, struct str word)
{
    return header_name_length(line) > 0 ||
           match_get(s->smtpd->forbidden_commands, word, NULL) == RC_OK;
}

static bool is_noop(struct session *s, struct str word)
{
    struct str rest = s->config->smtpd_noop_commands, name;

    while (str_token(&rest, LIST_SEPARATORS, &name))
        if (str_eq_nocase(name, word))
            return true;
    return false;
}

static void unknown_command(struct session *s, struct str line, struct str word)
{
    s->counters[CMD_UNKNOWN].total++;
    if (is_noop(s, word)) {
        session_replyf(s, "250 2.0.0 Ok");
        s->counters[CMD_UNKNOWN].done++;
        return;
    }
    if (is_forbidden(s, line, word)) {
        log_warning(&s->log, "non-SMTP command from " STR_FMT ": " STR_FMT,
                    STR_ARG(s->access.client.label), STR_ARG(str_head(line, 100)));
        session_replyf(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
        s->over = true;
        return;
    }
    s->errors++;
    session_replyf(s,
                   s->denied.p ? "503 5.7.0 Error: access denied for " STR_FMT
                               : "500 5.5.2 Error: command not recognized",
                   STR_ARG(s->access.client.label));
}

static void bare_lf_refused(struct session *s)
{
    session_refuse_bare_lf(s);
    s->over = true;
}

static struct str filter_line(struct session *s, struct str line)
{
    struct str other;

    if (s->smtpd->command_filter == NULL)
        return line;
    switch (maps_get(s->smtpd->command_filter, line, s->access.arena, &other, &s->why)) {
    case RC_OK: return other;
    case RC_NONE: return line;
    default: log_warning(&s->log, "smtpd_command_filter: %s", s->why.text); return line;
    }
}

static void command_run(struct session *s, struct str line)
{
    const struct command *c;
    struct str arguments = line, word;
    size_t n = 0;
    bool done;

    filters_client_says(s, line);
    while (n < line.n && !is_blank(line.p[n]))
        n++;
    word = str_head(line, n);
    arguments = str_ltrim(str_from(line, n));
    if (word.n == 0) { /* not counted as a command */
        s->errors++;
        session_replyf(s, "500 5.5.2 Error: bad syntax");
        return;
    }
    if (s->config->smtputf8_enable && !str_is_utf8(line)) {
        s->errors++;
        session_replyf(s, "500 5.5.2 Error: bad UTF-8 syntax");
        return;
    }
    c = command_find(word);
    if (c == NULL) {
        if (!str_eq_nocase(word, STR("WIZ")) || filters_command(s, NULL, &line))
            unknown_command(s, line, word);
        return;
    }
    s->access.stage = c->name;
    s->counters[c->id].total++;
    if (is_unauthorized_pipelining(s, c))
        return;
    if ((c->flags & IS_JUNK) && s->junk++ >= s->config->smtpd_junk_command_limit)
        s->errors++;
    done = command_allowed(s, c) && filters_command(s, c, &arguments) && c->answer(s, arguments);
    if (done)
        s->counters[c->id].done++;
    else
        s->errors++;
    filters_told(s, c, arguments, done);
}

void command_next(struct session *s)
{
    struct str line;
    enum rc rc;

    if (s->errors >= s->config->smtpd_hard_error_limit) {
        session_end(s, "too many errors");
        session_replyf(s, "421 4.7.0 " STR_FMT " Error: too many errors",
                       STR_ARG(s->config->myhostname));
        return;
    }
    if (s->config->smtpd_per_request_deadline)
        s->wire.stream.deadline_ms = clock_ms() + s->config->smtpd_timeout * 1000;
    s->wire.saw_bare_lf = false;
    service_waits(s->env);
    rc = wire_command(&s->wire, &line, &s->why);
    service_progress(s->env);
    if (rc == RC_PERM) {
        s->counters[CMD_UNKNOWN].total++;
        s->errors++;
        s->access.stage = "UNKNOWN";
        log_warning(&s->log, STR_FMT ": request longer than %zu: " STR_FMT "...",
                    STR_ARG(s->access.client.label), s->wire.line_limit,
                    STR_ARG(without_secrets(s, str_of(s->wire.shown))));
        session_replyf(s, "500 5.5.2 " STR_FMT " Error: command too long",
                       STR_ARG(s->config->myhostname));
        return;
    }
    if (rc != RC_OK) {
        session_broke(s, rc);
        return;
    }
    if (s->wire.saw_bare_lf) {
        s->noted_bare_lf = true;
        if (s->wire.bare_lf == BARE_LF_REJECT) {
            bare_lf_refused(s);
            return;
        }
    }
    command_run(s, filter_line(s, line));
}
