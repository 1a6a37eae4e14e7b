/* TLS: STARTTLS (RFC 3207), and from the first byte (smtpd_tls_wrappermode, RFC 8314). */
#include <stdio.h>

#include "smtpd/smtpd.h"
#include "util/clock.h"

static enum tls_level level_of(const struct config *c)
{
    struct str level = c->smtpd_tls_security_level;

    if (level.n == 0)
        return c->smtpd_enforce_tls ? LEVEL_ENCRYPT : c->smtpd_use_tls ? LEVEL_MAY : LEVEL_NONE;
    return str_eq(level, STR("encrypt")) ? LEVEL_ENCRYPT
           : str_eq(level, STR("may"))   ? LEVEL_MAY
                                         : LEVEL_NONE;
}

static enum rc open_context(struct smtpd *s, struct why *why)
{
    const struct config *c = s->config;
    AUTO_ARENA a = arena_new(256);
    const struct tls_options o = {
        .role = TLS_SERVER,
        .prefix = "smtpd_tls_",
        .mandatory = s->tls_level == LEVEL_ENCRYPT,
        .strict = s->env->checking,
        .keep_failed = true,
        .cache = "smtpd",
        .tlsmgr = arena_printf(a, "private/" STR_FMT, STR_ARG(c->tlsmgr_service_name)).p,
    };

    TRY(tls_context_new(&o, c, &s->env->log, &s->tls_failed, why));
    if (tls_context_has_certificate(s->tls_failed) || str_eq(c->smtpd_tls_cert_file, STR("none"))) {
        s->tls = s->tls_failed;
        s->tls_failed = NULL;
        return RC_OK;
    }
    return FAIL(why, RC_CONFIG,
                "no server certificate for TLS (%s); set smtpd_tls_chain_files, or "
                "run: postfix tls enable-server",
                s->tls_level == LEVEL_ENCRYPT ? "which is demanded" : "level may");
}

/*
 * What is wrong with certificates is a mistake for "postfix check" and start. Later it is no reason
 * to stop taking mail in clear where that is allowed; clients that ask for TLS are told to come
 * back.
 */
enum rc smtpd_open_tls(struct smtpd *s, struct why *why)
{
    const struct config *c = s->config;
    const struct table_env env = {c, &s->env->log};

    s->tls_level = c->smtpd_tls_wrappermode ? LEVEL_ENCRYPT : level_of(c);
    if (s->tls_level == LEVEL_NONE)
        return RC_OK;
    if (tls_loglevel_parse(c->smtpd_tls_loglevel, &s->tls_loglevel, why) != RC_OK) {
        why_prefix(why, "smtpd_tls_loglevel");
        return RC_CONFIG;
    }
    if (str_trim(c->smtpd_tls_loglevel_maps).n)
        TRY(maps_open("smtpd_tls_loglevel_maps", c->smtpd_tls_loglevel_maps, 0, &env,
                      &s->tls_loglevels, why));
    if (c->smtpd_tls_req_ccert && s->tls_level != LEVEL_ENCRYPT)
        log_warning(&s->env->log,
                    "smtpd_tls_req_ccert: a client certificate cannot be demanded "
                    "unless TLS is (smtpd_tls_security_level = encrypt); asking only");
    if (open_context(s, why) == RC_OK)
        return RC_OK;
    if (s->env->checking)
        return RC_CONFIG;
    log_warning(&s->env->log, "%s: disabling TLS support", why->text);
    return RC_OK;
}

static unsigned loglevel_for(struct session *s)
{
    const struct access_client *c = &s->access.client;
    unsigned level = s->smtpd->tls_loglevel;
    struct maps *maps = s->smtpd->tls_loglevels;
    struct str word = STR_NONE;
    enum rc rc;

    if (maps == NULL)
        return level;
    rc = maps_get(maps, c->name, s->arena, &word, &s->why);
    if (rc == RC_NONE)
        rc = maps_get(maps, c->address_text, s->arena, &word, &s->why);
    if (rc == RC_OK)
        rc = tls_loglevel_parse(word, &level, &s->why);
    if (rc != RC_OK && rc != RC_NONE)
        log_warning(&s->log, "smtpd_tls_loglevel_maps: %s", s->why.text);
    return level;
}

/* Everything the client said in clear is forgotten (RFC 3207 4.2). */
static void forget(struct session *s)
{
    transaction_done(s);
    s->access.helo = STR_NONE;
    auth_forget(s);
    s->rewrite_known = false;
}

/* smtpd_tls_req_ccert: without a good certificate there is nothing to talk about. */
static void check_needed_certificate(struct session *s)
{
    const struct tls_session *t = s->access.tls;

    if (!s->config->smtpd_tls_req_ccert || s->smtpd->tls_level != LEVEL_ENCRYPT ||
        t->trust >= TLS_TRUSTED)
        return;
    log_info(&s->log, "NOQUEUE: abort: TLS from " STR_FMT ": %s", STR_ARG(s->access.client.label),
             t->has_certificate ? "Client certificate not trusted"
                                : "No client certificate presented");
    session_replyf(s, "421 4.7.1 " STR_FMT " Error: %s", STR_ARG(s->config->myhostname),
                   t->has_certificate ? "Client certificate not trusted"
                                      : "No client certificate presented");
    s->over = true;
}

/* False: the handshake has failed. Afterwards the session may be over nevertheless. */
static bool start_tls(struct session *s)
{
    const struct config *c = s->config;
    struct tls_server_request request = {
        .label = arena_text(s->arena, s->access.client.label),
        .timeout_ms = c->smtpd_starttls_timeout * 1000,
        .loglevel = loglevel_for(s),
        .ask_certificate = c->smtpd_tls_ask_ccert || c->smtpd_tls_req_ccert,
        .need_certificate = c->smtpd_tls_req_ccert && s->smtpd->tls_level == LEVEL_ENCRYPT,
    };
    struct tls_session *t = NULL;
    enum rc rc = tls_accept(s->smtpd->tls, &s->wire.stream, &request, s->arena, &t, &s->why);

    if (rc != RC_OK) {
        session_end(s, rc == RC_TIMEOUT ? "timeout" : "lost connection");
        return false;
    }
    s->tls = t;
    s->access.tls = t;
    count_tls(s, 1);
    forget(s);
    if (limit_new_tls(s))
        check_needed_certificate(s);
    return true;
}

bool cmd_starttls(struct session *s, struct str arguments)
{
    if (arguments.n) {
        session_reply(s, STR("501 5.5.4 Syntax: STARTTLS"));
        return false;
    }
    if (s->access.tls) {
        session_reply(s, STR("554 5.5.1 Error: TLS already active"));
        return false;
    }
    if (s->smtpd->tls_level == LEVEL_NONE || (s->ehlo_discard & EHLO_STARTTLS)) {
        session_reply(s, STR("502 5.5.1 Error: command not implemented"));
        return false;
    }
    if (s->smtpd->tls == NULL) {
        session_reply(s, STR("454 4.7.0 TLS not available due to local problem"));
        return false;
    }
    if (wire_has_more(&s->wire)) { /* it would pass for something said under TLS */
        log_info(&s->log, "improper command pipelining after STARTTLS from " STR_FMT,
                 STR_ARG(s->access.client.label));
        session_reply(s, STR("554 5.5.0 Error: SMTP protocol synchronization"));
        s->over = true;
        return false;
    }
    if (!limit_tls_allowed(s)) {
        session_replyf(s, "454 4.7.0 Error: too many new TLS sessions from " STR_FMT,
                       STR_ARG(s->access.client.label));
        return false;
    }
    session_reply(s, STR("220 2.0.0 Ready to start TLS"));
    if (stream_flush(&s->wire.stream, &s->why) != RC_OK) {
        session_end(s, "lost connection");
        return false;
    }
    return start_tls(s);
}

bool session_wrap(struct session *s)
{
    const char *service = s->smtpd->env->name;

    if (!s->config->smtpd_tls_wrappermode || s->on_stdin)
        return true;
    if (s->smtpd->tls == NULL) {
        log_warning(&s->log,
                    "Wrapper-mode request dropped from " STR_FMT
                    " for service %s: TLS is not available, see earlier warnings",
                    STR_ARG(s->access.client.label), service);
        s->over = true;
        return false;
    }
    if (!limit_tls_allowed(s)) {
        s->over = true;
        return false;
    }
    return start_tls(s) && !s->over;
}

bool session_offers_tls(const struct session *s)
{
    return s->access.tls == NULL && (s->smtpd->tls || s->smtpd->tls_level == LEVEL_ENCRYPT) &&
           s->smtpd->tls_level != LEVEL_NONE;
}

/* ---- Received: ---- */

static struct str certificate_words(struct session *s, const struct tls_session *t)
{
    if (t->has_certificate)
        return arena_printf(s->access.arena,
                            "(Client CN \"" STR_FMT "\", Issuer \"" STR_FMT "\" (%s))",
                            STR_ARG(t->subject), STR_ARG(t->issuer),
                            t->trust >= TLS_TRUSTED ? "verified OK" : "not verified");
    return t->was_asked ? STR("(Client did not present a certificate)")
                        : STR("(No client certificate requested)");
}

void received_tls(struct session *s, struct buf *b)
{
    const struct tls_session *t = s->access.tls;
    struct arena *a = s->access.arena;
    struct str details;
    ssize_t client;

    if (t == NULL || !s->config->smtpd_tls_received_header)
        return;
    buf_addf(b, "\n\t(using " STR_FMT, STR_ARG(tls_describe(t, a)));
    details = tls_describe_details(t, a, " ");
    client = str_find(details, STR(" client-signature")); /* on a line of its own */
    if (details.n)
        buf_addf(b, "\n\t " STR_FMT,
                 STR_ARG(client < 0 ? details : str_head(details, (size_t)client)));
    if (client >= 0)
        buf_addf(b, "\n\t" STR_FMT, STR_ARG(str_from(details, (size_t)client)));
    buf_addf(b, ")\n\t" STR_FMT, STR_ARG(certificate_words(s, t)));
}
