/* Commands that need little: RSET, NOOP, QUIT, HELP, VRFY, ETRN, and those for later. */
#include "dns/dns.h"
#include "global/address.h"
#include "smtpd/envelope.h"

bool cmd_rset(struct session *s, struct str arguments)
{
    if (arguments.n) {
        session_reply(s, STR("501 5.5.4 Syntax: RSET"));
        return false;
    }
    transaction_done(s);
    session_reply(s, STR("250 2.0.0 Ok"));
    return true;
}

bool cmd_noop(struct session *s, struct str arguments)
{
    (void)arguments;
    session_reply(s, STR("250 2.0.0 Ok"));
    return true;
}

bool cmd_quit(struct session *s, struct str arguments)
{
    (void)arguments;
    session_reply(s, STR("221 2.0.0 Bye"));
    s->over = true;
    return true;
}

bool cmd_help(struct session *s, struct str arguments)
{
    (void)arguments;
    session_reply(
        s, STR("214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET "
               "STARTTLS VRFY XCLIENT XFORWARD"));
    return true;
}

/* The last word may be SMTPUTF8; the address may hold blanks in quotes. */
static struct str vrfy_address(struct str arguments)
{
    ssize_t blank = str_rindex(arguments, ' ');

    if (blank > 0 && str_eq_nocase(str_from(arguments, (size_t)blank + 1), STR("SMTPUTF8")))
        return str_rtrim(str_head(arguments, (size_t)blank));
    return arguments;
}

bool cmd_vrfy(struct session *s, struct str arguments)
{
    struct str text = vrfy_address(arguments), address, rest;
    bool ok;

    if (s->config->disable_vrfy_command) {
        session_reply(s, STR("502 5.5.1 VRFY command is disabled"));
        return false;
    }
    if (text.n == 0) {
        session_reply(s, STR("501 5.5.4 Syntax: VRFY address [SMTPUTF8]"));
        return false;
    }
    if (path_parse(s, text, "VRFY", &address, &rest) != RC_OK) {
        session_reply(s, STR(REPLY_BAD_RECIPIENT));
        return false;
    }
    s->access.recipient = arena_copy(s->access.arena, address);
    ok = session_obeys(s, access_at_vrfy(&s->access));
    if (ok)
        session_replyf(s, "252 2.0.0 " STR_FMT, STR_ARG(text));
    s->access.recipient = STR_NONE;
    return ok;
}

static bool site_is_valid(struct str site)
{
    struct addr a;

    if (site.n && site.p[0] == '[')
        return addr_parse(site, 0, &a, NULL) == RC_OK;
    return dns_name_is_valid(site);
}

/* Ask the flush service; its status (-1 fail, 0 ok, 3 bad, 4 denied). */
static long flush_site(struct session *s, struct str site)
{
    struct flush_request request = {.operation = 's', .site = site};
    struct status_reply reply = {.status = -1};
    struct str name =
        arena_printf(s->access.arena, "public/" STR_FMT, STR_ARG(s->config->flush_service_name));
    struct ipc flush;
    enum rc rc;

    if (ipc_connect(&flush, STR("."), name.p, s->config->ipc_timeout * 1000, &s->why) != RC_OK) {
        log_warning(&s->log, "flush service: %s", s->why.text);
        return -1;
    }
    rc = ipc_send_flush_request(&flush, &request, -1, &s->why);
    if (rc == RC_OK)
        rc = ipc_read_status_reply(&flush, s->access.arena, &reply, NULL, &s->why);
    ipc_done(&flush);
    if (rc != RC_OK)
        log_warning(&s->log, "flush service: %s", s->why.text);
    return rc == RC_OK ? reply.status : -1;
}

bool cmd_etrn(struct session *s, struct str arguments)
{
    struct str site = arguments;
    bool ok;

    if (s->access.sender.p) {
        session_reply(s, STR("503 Error: MAIL transaction in progress"));
        return false;
    }
    if (site.n && (site.p[0] == '@' || site.p[0] == '#'))
        site = str_from(site, 1);
    if (site.n == 0 || str_index_any(site, " \t") >= 0) {
        session_reply(s, STR("500 Syntax: ETRN domain"));
        return false;
    }
    if (!site_is_valid(site)) {
        session_reply(s, STR("501 Error: invalid parameter syntax"));
        return false;
    }
    s->access.etrn_domain = site;
    ok = session_obeys(s, access_at_etrn(&s->access));
    s->access.etrn_domain = STR_NONE;
    if (!ok)
        return false;
    switch (flush_site(s, site)) {
    case 0: session_reply(s, STR("250 Queuing started")); return true;
    case 3:
    case 4:
        log_warning(&s->log, "reject: ETRN " STR_FMT "... from " STR_FMT, STR_ARG(site),
                    STR_ARG(s->access.client.label));
        session_replyf(s, "459 <" STR_FMT ">: service unavailable", STR_ARG(site));
        return false;
    default: session_reply(s, STR("458 Unable to queue messages")); return false;
    }
}
