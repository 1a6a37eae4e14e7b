/* The beginning and the end of a session. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/private.h"
#include "util/clock.h"

struct tls_session *tls_session_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static enum rc session_new(struct tls_context *t, struct stream *s, const char *label,
                           unsigned loglevel, struct arena *a, struct tls_session **out,
                           struct why *why)
{
    struct tls_session *n = arena_new_of(a, struct tls_session);

    *n = (struct tls_session){.role = t->role,
                              .context = t,
                              .log = t->log,
                              .loglevel = loglevel,
                              .label = arena_text(a, str_of(label)),
                              .arena = a,
                              .ssl = SSL_new(t->ssl)};
    if (n->ssl == NULL)
        return FAIL(why, RC_TEMP, "OpenSSL: " STR_FMT, STR_ARG(tls_library_error(a)));
    SSL_set_app_data(n->ssl, n);
    *out = n;
    return tls_wire_open(n, s, why);
}

/* After a failure: say what it was, take TLS off the stream. */
static enum rc failed(struct tls_session *t, int result, struct why *why)
{
    struct tls_wire *w = t->wire;
    const char *verb = t->role == TLS_SERVER ? "SSL_accept error from" : "SSL_connect error to";
    int error = SSL_get_error(t->ssl, result);
    enum rc rc = RC_PERM;

    w->broken = true;
    if (w->error == ETIMEDOUT)
        rc = FAIL(why, RC_TIMEOUT, "Connection timed out");
    else if (w->ended || w->error == ECONNRESET || w->error == EPIPE)
        rc = FAIL(why, RC_EOF, "lost connection");
    else if (w->error) {
        errno = w->error;
        rc = FAIL(why, RC_EOF, "%m");
    } else {
        rc = FAIL(why, RC_PERM, "%d", result < 0 || error == SSL_ERROR_SSL ? -1 : 0);
    }
    log_info(t->log, "%s %s: %s", verb, t->label, rc == RC_PERM ? "-1" : why ? why->text : "");
    if (rc == RC_PERM)
        tls_log_library_errors(t->log);
    ERR_clear_error();
    (void)tls_wire_flush(w); /* the alert */
    tls_end(t);
    return rc;
}

static enum rc shake(struct tls_session *t, long timeout_ms, struct why *why)
{
    struct tls_wire *w = t->wire;
    struct why words;
    int result;

    w->deadline_ms = clock_ms() + timeout_ms;
    tls_trace_begin(t);
    ERR_clear_error();
    result = SSL_do_handshake(t->ssl);
    tls_trace_end(t);
    if (result > 0)
        return RC_OK;
    return failed(t, result, why ? why : &words);
}

static void log_handshake_end(struct tls_session *t)
{
    if (t->loglevel & TLS_LOG_HANDSHAKE && t->resumed)
        log_info(t->log, "%s: Reusing old session%s", t->label,
                 SSL_SESSION_has_ticket(SSL_get_session(t->ssl)) ? " (RFC 5077 session ticket)"
                                                                 : "");
    if (t->loglevel & TLS_LOG_SUMMARY)
        tls_log_summary(t, false);
}

/*
 * The library goes on with an untrusted chain: what that means is the caller's decision. The first
 * thing that is wrong is kept for the log.
 */
static int on_certificate(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *t = tls_session_of(ssl);

    tls_trace_certificate(t, store, ok);
    if (!ok && t->verify_error == 0) {
        X509 *x = X509_STORE_CTX_get_current_cert(store);
        char *line = x ? X509_NAME_oneline(X509_get_issuer_name(x), NULL, 0) : NULL;
        t->verify_error = X509_STORE_CTX_get_error(store);
        t->untrusted_issuer = arena_copy(t->arena, str_of(line ? line : "unknown"));
        OPENSSL_free(line);
    }
    return 1;
}

enum rc tls_accept(struct tls_context *t, struct stream *s,
                   const struct tls_server_request *request, struct arena *a,
                   struct tls_session **out, struct why *why)
{
    struct tls_session *n = NULL;

    if (request->loglevel & TLS_LOG_HANDSHAKE)
        log_info(t->log, "setting up TLS connection from %s", request->label);
    TRY(session_new(t, s, request->label, request->loglevel, a, &n, why));
    n->was_asked = request->ask_certificate || request->need_certificate;
    SSL_set_verify(n->ssl, n->was_asked ? SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE : 0,
                   on_certificate);
    SSL_set_accept_state(n->ssl);
    TRY(shake(n, request->timeout_ms, why));
    tls_find_facts(n, a);
    if (request->need_certificate && n->has_certificate && n->verify_error)
        tls_log_untrusted(n);
    log_handshake_end(n);
    *out = n;
    return RC_OK;
}

static enum rc prepare_client(struct tls_session *n, const struct tls_client_request *r,
                              struct arena *a, struct why *why)
{
    struct tls_context *t = n->context;

    SSL_set_verify(n->ssl, SSL_VERIFY_PEER, on_certificate);
    if (r->protocols)
        tls_apply_protocols(n->ssl, r->protocols);
    if (r->ciphers && !SSL_set_cipher_list(n->ssl, r->ciphers))
        return FAIL(why, RC_CONFIG, "no cipher is left in \"%s\"", r->ciphers);
    if (r->sni && *r->sni && !SSL_set_tlsext_host_name(n->ssl, r->sni))
        return FAIL(why, RC_CONFIG, "bad server name \"%s\"", r->sni);
    if (r->no_certificate)
        SSL_certs_clear(n->ssl);
    if (r->verifier.prepare)
        TRY(r->verifier.prepare(n->ssl, n, r->verifier.state, why));
    tls_resume_prepare(t, n, r->cache_id, a);
    SSL_set_connect_state(n->ssl);
    return RC_OK;
}

enum rc tls_connect(struct tls_context *t, struct stream *s,
                    const struct tls_client_request *request, struct arena *a,
                    struct tls_session **out, struct why *why)
{
    struct tls_session *n = NULL;
    enum rc rc;

    if (request->loglevel & TLS_LOG_HANDSHAKE)
        log_info(t->log, "setting up TLS connection to %s", request->label);
    TRY(session_new(t, s, request->label, request->loglevel, a, &n, why));
    rc = prepare_client(n, request, a, why);
    if (rc != RC_OK) {
        n->wire->broken = true;
        tls_end(n);
        return rc;
    }
    n->server_name = arena_copy(a, str_of(request->sni ? request->sni : ""));
    TRY(shake(n, request->timeout_ms, why));
    tls_find_facts(n, a);
    if (request->verifier.judge)
        request->verifier.judge(n->ssl, n, request->verifier.state);
    log_handshake_end(n);
    *out = n;
    return RC_OK;
}

void tls_last_words(struct tls_session *t)
{
    if (t->wire)
        t->wire->ending = true;
}

void tls_end(struct tls_session *t)
{
    struct tls_wire *w = t ? t->wire : NULL;

    if (w == NULL)
        return;
    if (w->stream->fd >= 0 && !w->broken && !w->error && SSL_is_init_finished(t->ssl)) {
        w->deadline_ms = clock_ms() + (w->stream->timeout_ms ? w->stream->timeout_ms : 1000);
        ERR_clear_error();
        if (SSL_shutdown(t->ssl) == 0 && tls_wire_flush(w) == RC_OK && !w->ended &&
            !t->context->config->tls_fast_shutdown_enable)
            SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
    if (w->stream->fd >= 0)
        (void)tls_wire_flush(w);
    tls_wire_close(w);
    SSL_free(t->ssl);
    t->wire = NULL;
    t->ssl = NULL;
}
