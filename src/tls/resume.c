/*
 * Resumption: a server gives tickets, and keeps sessions of clients that take none when there is a
 * cache; a client keeps what servers gave it.
 *
 * A session is resumed only where it was made under the same terms: those of a server are part of
 * its session id context, those of a client part of the id of the cache.
 */
#include <openssl/err.h>

#include "tls/private.h"
#include "tls/tickets.h"
#include "util/cache.h"

enum { SESSION_MAX = 12 * 1024, LOCAL_SESSIONS = 1000 };

static struct tls_context *context_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* ---- server ---- */

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seal)
{
    return tls_tickets_key(context_of(ssl)->tickets, name, iv, cipher, mac, seal);
}

static struct str id_text(const unsigned char *id, size_t n, struct arena *a)
{
    return tls_digest((struct str){(const char *)id, n}, "sha256", a);
}

static bool encode(SSL_SESSION *session, struct arena *a, struct str *out)
{
    int n = i2d_SSL_SESSION(session, NULL);
    unsigned char *bytes, *p;

    if (n <= 0 || n > SESSION_MAX)
        return false;
    bytes = p = arena_alloc(a, (size_t)n);
    i2d_SSL_SESSION(session, &p);
    *out = (struct str){(const char *)bytes, (size_t)n};
    return true;
}

static SSL_SESSION *decode(struct str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;

    return d2i_SSL_SESSION(NULL, &p, (long)bytes.n);
}

static int on_server_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_context *t = context_of(ssl);
    AUTO_ARENA a = arena_new(4096);
    unsigned n = 0;
    const unsigned char *id = SSL_SESSION_get_id(session, &n);
    struct str bytes;

    if (t->tickets && SSL_version(ssl) >= TLS1_3_VERSION)
        return 0; /* it went out as a ticket */
    if (n && encode(session, a, &bytes))
        tls_manager_put(t->manager, id_text(id, n, a), bytes);
    return 0; /* OpenSSL keeps its reference */
}

static SSL_SESSION *on_server_wants(SSL *ssl, const unsigned char *id, int n, int *copy)
{
    struct tls_context *t = context_of(ssl);
    AUTO_ARENA a = arena_new(4096);
    struct str bytes;

    *copy = 0;
    if (tls_manager_get(t->manager, id_text(id, (size_t)n, a), a, &bytes) != RC_OK)
        return NULL;
    return decode(bytes);
}

static void on_server_forgets(SSL_CTX *ctx, SSL_SESSION *session)
{
    struct tls_context *t = SSL_CTX_get_app_data(ctx);
    AUTO_ARENA a = arena_new(256);
    unsigned n = 0;
    const unsigned char *id = SSL_SESSION_get_id(session, &n);

    if (t && t->manager && n)
        tls_manager_delete(t->manager, id_text(id, n, a));
}

/* What a client proved elsewhere, to other authorities or under another name, is worth nothing. */
static void set_id_context(struct tls_context *t)
{
    const struct tls_settings *s = &t->set;
    struct str terms = arena_printf(
        t->arena, STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n%d",
        STR_ARG(t->config->myhostname), STR_ARG(s->CAfile), STR_ARG(s->CApath),
        STR_ARG(s->ask_ccert), STR_ARG(s->req_ccert), t->config->tls_append_default_CA);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (EVP_Digest(terms.p, terms.n, digest, &n, EVP_sha256(), NULL))
        SSL_CTX_set_session_id_context(t->ssl, digest, n < 32 ? n : 32);
}

static enum rc open_server(struct tls_context *t, long lifetime, struct why *why)
{
    struct str cipher = t->config->tls_session_ticket_cipher;
    bool always = !str_eq_nocase(t->set.always_issue_session_ids, STR("no"));
    bool cached = lifetime > 0 && t->manager && str_trim(t->set.session_cache_database).n;

    set_id_context(t);
    if (lifetime > 0 && cipher.n) {
        TRY(tls_tickets_new(cipher, lifetime, t->manager, &t->tickets, why));
        SSL_CTX_set_tlsext_ticket_key_evp_cb(t->ssl, on_ticket);
        SSL_CTX_set_num_tickets(t->ssl, 1); /* a mail client makes one connection at a time */
    } else {
        SSL_CTX_set_options(t->ssl, SSL_OP_NO_TICKET);
        if (!cached)
            SSL_CTX_set_num_tickets(t->ssl, 0);
    }
    SSL_CTX_set_session_cache_mode(t->ssl, cached || always ? SSL_SESS_CACHE_SERVER |
                                                                  SSL_SESS_CACHE_NO_INTERNAL |
                                                                  SSL_SESS_CACHE_NO_AUTO_CLEAR
                                                            : SSL_SESS_CACHE_OFF);
    if (cached) {
        SSL_CTX_sess_set_new_cb(t->ssl, on_server_session);
        SSL_CTX_sess_set_get_cb(t->ssl, on_server_wants);
        SSL_CTX_sess_set_remove_cb(t->ssl, on_server_forgets);
    }
    return RC_OK;
}

/* ---- client ---- */

static int on_client_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_context *t = context_of(ssl);
    struct tls_session *s = tls_session_of(ssl);
    AUTO_ARENA a = arena_new(4096);
    struct str bytes;

    if (s->cache_id.n == 0 || !SSL_SESSION_is_resumable(session) || !encode(session, a, &bytes))
        return 0;
    cache_put(t->local, s->cache_id, bytes, t->lifetime);
    if (t->manager)
        tls_manager_put(t->manager, s->cache_id, bytes);
    return 0;
}

void tls_resume_prepare(struct tls_context *t, struct tls_session *s, struct str cache_id,
                        struct arena *a)
{
    struct str bytes = STR_NONE;
    SSL_SESSION *session;

    if (t->local == NULL || cache_id.n == 0)
        return;
    s->cache_id = tls_digest(cache_id, "sha256", a);
    if (!cache_get(t->local, s->cache_id, a, &bytes) &&
        (t->manager == NULL || tls_manager_get(t->manager, s->cache_id, a, &bytes) != RC_OK))
        return;
    session = decode(bytes);
    if (session && !SSL_set_session(s->ssl, session))
        tls_resume_forget(t, s);
    SSL_SESSION_free(session);
    ERR_clear_error();
}

void tls_resume_forget(struct tls_context *t, struct tls_session *s)
{
    if (t->local == NULL || s->cache_id.n == 0)
        return;
    cache_remove(t->local, s->cache_id);
    if (t->manager)
        tls_manager_delete(t->manager, s->cache_id);
}

static void open_client(struct tls_context *t)
{
    if (t->lifetime <= 0 || str_trim(t->set.session_cache_database).n == 0) {
        SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_OFF);
        return;
    }
    t->local = cache_new(LOCAL_SESSIONS);
    SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL |
                                               SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(t->ssl, on_client_session);
}

/* ---- both ---- */

enum rc tls_resume_open(struct tls_context *t, const char *tlsmgr, struct why *why)
{
    const struct config *c = t->config;

    if (!config_parse_time(t->set.session_cache_timeout, 's', &t->lifetime))
        t->lifetime = 3600;
    if (t->lifetime > 0)
        SSL_CTX_set_timeout(t->ssl, t->lifetime);
    if (tlsmgr)
        t->manager = tls_manager_new(tlsmgr, c->queue_directory, t->cache,
                                     c->tls_daemon_random_bytes, t->log);
    if (t->role == TLS_SERVER)
        return open_server(t, t->lifetime, why);
    open_client(t);
    return RC_OK;
}

void tls_resume_close(struct tls_context *t)
{
    if (t->ssl)
        SSL_CTX_set_app_data(t->ssl, NULL); /* no more questions */
    tls_tickets_free(t->tickets);
    tls_manager_free(t->manager);
    if (t->local)
        cache_free(t->local);
    t->tickets = NULL;
    t->manager = NULL;
    t->local = NULL;
}
