/*
 * AUTH (RFC 4954). Responses of the client and what the back end makes of them are never logged;
 * they live in the arena of the message and go with it at the end of the command.
 */
#include "global/text.h"
#include "sasl/server.h"
#include "smtpd/smtpd.h"
#include "util/clock.h"

enum { METHOD_SHOWN = 100, USERNAME_SHOWN = 100, USERNAME_MAX_BYTES = 255, REASON_SHOWN = 400 };

/* ---- once per process ---- */

static enum rc open_lists(struct smtpd *s, struct why *why)
{
    const struct config *c = s->config;
    struct table_env env = {c, &s->env->log};

    TRY(match_open("smtpd_sasl_mechanism_filter", c->smtpd_sasl_mechanism_filter, MATCH_STRING,
                   false, &env, &s->sasl_filter, why));
    if (str_trim(c->smtpd_sasl_exceptions_networks).n == 0)
        return RC_OK;
    return match_open("smtpd_sasl_exceptions_networks", c->smtpd_sasl_exceptions_networks,
                      MATCH_CLIENT, match_parents(c, "smtpd_sasl_exceptions_networks"), &env,
                      &s->sasl_exceptions, why);
}

/* With what a client without TLS is asked for, or one with it. plaintext: one that shows a password
 * to whoever listens. */
static bool has_mechanism(struct smtpd *s, bool is_encrypted, bool plaintext, enum rc *rc,
                          struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    const struct login_peer peer = {
        .is_encrypted = is_encrypted,
        .security = is_encrypted ? s->sasl_tls_security : s->sasl_security,
    };
    struct str list = STR_NONE, name;

    *rc = login_server_mechanisms(s->login, &peer, a, &list, why);
    while (*rc == RC_OK && str_token(&list, " ", &name))
        if (match_get(s->sasl_filter, name, NULL) == RC_OK &&
            !(plaintext && login_mechanism_is_safe(name, LOGIN_NOPLAINTEXT)))
            return true;
    return false;
}

/* Can anybody but this machine connect? By the address in the service's name, or else by
 * inet_interfaces. */
static bool is_in_a_network(const struct smtpd *s)
{
    struct str list = s->config->inet_interfaces, word, name = str_of(s->env->name);
    ssize_t colon = str_rindex(name, ':');

    if (strcmp(s->env->type, "inet") != 0)
        return false;
    if (colon > 0)
        list = str_head(name, (size_t)colon);
    while (str_token(&list, LIST_SEPARATORS "[]", &word)) {
        struct addr a;
        bool is_address = addr_parse(word, 0, &a, NULL) == RC_OK;
        if (is_address ? !addr_is_loopback(&a)
                       : !str_eq_nocase(word, STR("loopback-only")) &&
                             !str_eq_nocase(word, STR("localhost")))
            return true;
    }
    return false;
}

/* "postfix start" and "postfix check" say it once. */
static void warn_of_plaintext(struct smtpd *s)
{
    const struct config *c = s->config;
    struct why why;
    enum rc rc;

    if (s->env->checking && !c->smtpd_tls_auth_only && s->tls_level != LEVEL_ENCRYPT &&
        is_in_a_network(s) && has_mechanism(s, false, true, &rc, &why))
        log_warning(&s->env->log,
                    "takes passwords over connections without TLS; set smtpd_tls_auth_only = yes, "
                    "or add noplaintext to smtpd_sasl_security_options");
}

/* A server that is not there yet will come; one that has nothing for us is a mistake. */
static enum rc check_mechanisms(struct smtpd *s, struct why *why)
{
    enum rc rc;

    if (has_mechanism(s, false, false, &rc, why) || has_mechanism(s, true, false, &rc, why))
        return RC_OK;
    if (rc == RC_TEMP) {
        log_warning(&s->env->log, "SASL: %s", why->text);
        return RC_OK;
    }
    return FAIL(
        why, RC_CONFIG,
        "smtpd_sasl_auth_enable = yes: there is no mechanism that smtpd_sasl_type = " STR_FMT
        " has, and that smtpd_sasl_security_options and smtpd_sasl_mechanism_filter let "
        "through",
        STR_ARG(s->config->smtpd_sasl_type));
}

enum rc auth_open(struct smtpd *s, struct why *why)
{
    const struct config *c = s->config;
    const struct login_server_options options = {
        .config = c,
        .log = &s->env->log,
        .type = c->smtpd_sasl_type,
        .path = c->smtpd_sasl_path,
        .service = c->smtpd_sasl_service,
        .realm = c->smtpd_sasl_local_domain,
    };

    if (!c->smtpd_sasl_auth_enable)
        return RC_OK;
    TRY(login_security_parse("smtpd_sasl_security_options", c->smtpd_sasl_security_options,
                             &s->sasl_security, why));
    TRY(login_security_parse("smtpd_sasl_tls_security_options", c->smtpd_sasl_tls_security_options,
                             &s->sasl_tls_security, why));
    TRY(open_lists(s, why));
    if (login_server_open(&options, &s->login, why) == RC_OK) {
        TRY(check_mechanisms(s, why));
        warn_of_plaintext(s);
        login_server_started(s->login);
        return RC_OK;
    }
    why_prefix(why, "smtpd_sasl_type = " STR_FMT, STR_ARG(c->smtpd_sasl_type));
    return RC_CONFIG;
}

bool auth_has_changed(const struct smtpd *s)
{
    return (s->login && login_server_has_changed(s->login)) ||
           (s->sasl_filter && match_has_changed(s->sasl_filter)) ||
           (s->sasl_exceptions && match_has_changed(s->sasl_exceptions));
}

/* ---- what this client is offered ---- */

static bool is_active(const struct session *s)
{
    return s->smtpd->login && (s->ehlo_discard & EHLO_AUTH) == 0 &&
           (s->access.tls || !s->config->smtpd_tls_auth_only);
}

static enum rc channel_of(const void *session, const char *type, struct arena *a, struct str *data)
{
    return tls_channel_data(session, type, a, data);
}

static struct login_peer peer_of(const struct session *s)
{
    const struct access_client *c = &s->access.client;
    const struct tls_session *tls = s->access.tls;
    struct login_peer peer = {
        .client_address = c->address_text,
        .client_port = c->port,
        .client_name = c->name,
        .server_address = c->server_address,
        .server_port = c->server_port,
        .helo = s->access.helo,
        .security = tls ? s->smtpd->sasl_tls_security : s->smtpd->sasl_security,
    };

    if (tls == NULL)
        return peer;
    peer.is_encrypted = true;
    if (match_get(s->smtpd->sasl_filter, STR("SCRAM-SHA-256-PLUS"), NULL) == RC_OK) {
        peer.channel = channel_of;
        peer.channel_session = tls;
    }
    peer.tls_protocol = tls->protocol;
    peer.tls_cipher = tls->cipher;
    peer.tls_sni = tls->server_name;
    peer.tls_bits = tls->bits;
    if (tls->has_certificate && tls->trust >= TLS_TRUSTED && tls->subject.n)
        peer.certificate = tls->subject;
    return peer;
}

/* The back end does not answer: clients shall try, and hear that it will pass. */
static struct str assumed(struct session *s, unsigned security)
{
    log_warning(&s->log, "SASL: %s", s->why.text);
    return login_mechanism_is_safe(STR("PLAIN"), security) ? STR("PLAIN LOGIN") : STR_NONE;
}

static struct str filtered(struct session *s, struct str list)
{
    struct str name;
    AUTO_BUF b = {0};

    buf_init(&b, 4096);
    while (str_token(&list, " ", &name))
        if (match_get(s->smtpd->sasl_filter, name, NULL) == RC_OK)
            buf_addf(&b, "%s" STR_FMT, b.n ? " " : "", STR_ARG(name));
    return arena_copy(s->arena, buf_str(&b));
}

struct str auth_mechanisms(struct session *s)
{
    struct login_peer peer = peer_of(s);
    struct str list = STR_NONE;

    if (!is_active(s))
        return STR_NONE;
    if (s->sasl_mechanisms.p)
        return s->sasl_mechanisms;
    switch (login_server_mechanisms(s->smtpd->login, &peer, s->arena, &list, &s->why)) {
    case RC_OK: s->sasl_mechanisms = filtered(s, list); break;
    case RC_NONE: s->sasl_mechanisms = STR(""); break;
    default: return filtered(s, assumed(s, peer.security));
    }
    if (s->sasl_mechanisms.n == 0)
        log_warning(&s->log,
                    "no SASL mechanism for " STR_FMT ": look at smtpd_sasl_security_options and "
                    "smtpd_sasl_mechanism_filter",
                    STR_ARG(s->access.client.label));
    return s->sasl_mechanisms;
}

void auth_forget(struct session *s)
{
    s->sasl_mechanisms = STR_NONE;
    s->access.sasl_method = s->access.sasl_username = s->access.sasl_sender = STR_NONE;
}

void auth_peer_known(struct session *s)
{
    s->sasl_mechanisms = STR_NONE;
    s->sasl_is_exception =
        s->smtpd->sasl_exceptions && match_client(s->smtpd->sasl_exceptions, s->access.client.name,
                                                  &s->access.client.address, &s->why) == RC_OK;
}

/* ---- one exchange ---- */

struct exchange {
    struct session *session;
    struct str method; /* as the client wrote it, fit for the log */
    struct login_peer peer;
    struct login_exchange *login;
    struct login_reply reply;
    struct str username; /* the latest the back end has told */
    bool continued;
};

/* One line, without bytes that could confuse a log, a header or a reply. */
static struct str clean(struct arena *a, struct str text, size_t max)
{
    char *copy = arena_text(a, str_head(text, max));

    text_printable(copy, strlen(copy), '?', true);
    return str_of(copy);
}

static void log_failure(struct exchange *x, struct str reason)
{
    struct session *s = x->session;
    struct arena *a = s->access.arena;
    struct str name = x->username.n ? clean(a, x->username, USERNAME_SHOWN) : STR("(unavailable)");
    struct str detail = clean(a, x->reply.detail, REASON_SHOWN);

    if (detail.n)
        reason = arena_printf(a, STR_FMT " (" STR_FMT ")", STR_ARG(reason), STR_ARG(detail));
    log_warning(
        &s->log,
        STR_FMT ": SASL " STR_FMT " authentication failed: " STR_FMT ", sasl_username=" STR_FMT,
        STR_ARG(s->access.client.label), STR_ARG(x->method), STR_ARG(reason), STR_ARG(name));
}

static bool failed(struct exchange *x, enum login_status status)
{
    struct session *s = x->session;
    struct str reason = clean(s->access.arena, x->reply.reason, REASON_SHOWN);

    if (status == LOGIN_MALFORMED)
        reason = x->continued ? STR("Invalid base64 data in continued response")
                              : STR("Invalid base64 data in initial response");
    if (reason.n == 0)
        reason = STR("(reason unavailable)");
    log_failure(x, reason);
    if (status == LOGIN_TROUBLE)
        session_replyf(s, "454 4.7.0 Temporary authentication failure: " STR_FMT, STR_ARG(reason));
    else
        session_replyf(s, "535 5.7.8 Error: authentication failed: " STR_FMT, STR_ARG(reason));
    return false;
}

static bool succeeded(struct exchange *x)
{
    struct session *s = x->session;

    s->access.sasl_username = clean(s->arena, x->username, USERNAME_MAX_BYTES);
    s->access.sasl_method = arena_copy(s->arena, x->method);
    session_reply(s, STR("235 2.7.0 Authentication successful"));
    return true;
}

/* Nothing of the line is logged: it may be a password. */
static bool response_too_long(struct session *s)
{
    log_warning(&s->log, STR_FMT ": SASL response longer than %zu bytes",
                STR_ARG(s->access.client.label), s->wire.line_limit);
    session_reply(s, STR("500 5.5.6 SASL response limit exceeded"));
    return false;
}

/* The answer to a challenge. False: there is none, and the client has heard so. */
static bool read_response(struct exchange *x, struct str *response)
{
    struct session *s = x->session;
    struct transcript *transcript = s->wire.transcript;
    size_t limit = s->wire.line_limit;
    bool ok = false;
    enum rc rc;

    if (s->config->smtpd_per_request_deadline)
        s->wire.stream.deadline_ms = clock_ms() + s->config->smtpd_timeout * 1000;
    s->wire.line_limit = (size_t)s->config->smtpd_sasl_response_limit;
    s->wire.transcript = NULL;
    rc = wire_command(&s->wire, response, &s->why);
    s->wire.transcript = transcript;
    transcript_in(transcript, STR("..."));
    if (rc == RC_PERM) {
        response_too_long(s);
    } else if (rc != RC_OK) {
        session_broke(s, rc);
    } else if (str_eq(*response, STR("*"))) {
        log_warning(&s->log, STR_FMT ": SASL " STR_FMT " authentication aborted",
                    STR_ARG(s->access.client.label), STR_ARG(x->method));
        session_reply(s, STR("501 5.7.0 Authentication aborted"));
    } else {
        ok = true;
    }
    s->wire.line_limit = limit;
    login_forget(s->wire.shown, sizeof s->wire.shown);
    return ok;
}

static bool exchange_run(struct exchange *x, struct str mechanism, struct str initial)
{
    struct session *s = x->session;
    struct str response;
    enum login_status status = login_server_begin(s->smtpd->login, &x->peer, s->access.arena,
                                                  mechanism, initial, &x->login, &x->reply);

    for (;;) {
        if (x->reply.username.n)
            x->username = x->reply.username;
        if (status == LOGIN_OK)
            return x->username.n ? succeeded(x) : failed(x, LOGIN_FAILED);
        if (status != LOGIN_MORE)
            return failed(x, status);
        session_replyf(s, "334 " STR_FMT, STR_ARG(x->reply.text));
        if (!read_response(x, &response))
            return false;
        x->continued = true;
        status = login_server_step(x->login, response, &x->reply);
    }
}

/* Only what was offered, so that the filter cannot be passed by. */
static bool is_offered(struct session *s, struct str mechanism)
{
    struct str list = auth_mechanisms(s), name;

    while (str_token(&list, " ", &name))
        if (str_eq_nocase(name, mechanism))
            return true;
    return false;
}

static bool authenticate(struct session *s, struct str word, struct str initial)
{
    char *mechanism = arena_text(s->access.arena, str_head(word, METHOD_SHOWN));
    struct exchange x = {
        .session = s, .method = clean(s->access.arena, word, METHOD_SHOWN), .peer = peer_of(s)};
    bool ok;

    str_upper_bytes(mechanism, strlen(mechanism));
    if (!is_offered(s, word)) {
        x.reply.reason = STR("Invalid authentication mechanism");
        return failed(&x, LOGIN_FAILED);
    }
    if (str_eq(initial, STR("="))) /* RFC 4954 4: empty, but there */
        initial = STR("");
    else if (initial.n)
        initial = arena_copy(s->access.arena, initial);
    ok = exchange_run(&x, str_of(mechanism), initial);
    login_server_end(x.login);
    return ok;
}

/* RFC 4954 4. Answers itself when it must not be now. */
static bool may_authenticate(struct session *s)
{
    if (!is_active(s) && s->rule.overlay && s->smtpd->login && s->tls == NULL)
        /* SMTPAUTH="TLSREQUIRED": this client can log in, but not yet */
        session_reply(s, STR("504 5.5.4 Encryption required for requested authentication "
                             "mechanism"));
    else if (!is_active(s))
        session_reply(s, STR("503 5.5.1 Error: authentication not enabled"));
    else if (s->access.sender.p)
        session_reply(s, STR("503 5.5.1 Error: MAIL transaction in progress"));
    else if (s->access.sasl_username.n)
        session_reply(s, STR("503 5.5.1 Error: already authenticated"));
    else
        return true;
    return false;
}

bool cmd_auth(struct session *s, struct str arguments)
{
    struct str rest = arguments, mechanism, initial = STR_NONE, more;
    bool ok;

    if (!may_authenticate(s))
        return false;
    if (!str_token(&rest, " \t", &mechanism)) {
        session_reply(s, STR("501 5.5.4 Syntax: AUTH mechanism"));
        return false;
    }
    if (str_token(&rest, " \t", &initial) && str_token(&rest, " \t", &more)) {
        session_reply(s, STR("501 5.5.4 Syntax: AUTH mechanism"));
        return false;
    }
    if (!limit_auth(s))
        return false;
    ok = authenticate(s, mechanism, initial);
    arena_reset(s->access.arena);
    return ok;
}
