#include "tls/verify.h"

#ifdef HAVE_OPENSSL

#    include <errno.h>
#    include <openssl/pem.h>
#    include <openssl/ssl.h>
#    include <openssl/x509v3.h>

#    include "tls/dane.h"

static enum rc library_fails(struct tls_check *c, const char *doing, struct why *why)
{
    struct str words = tls_library_error(c->arena);

    return FAIL(why, RC_CONFIG, "%s: " STR_FMT, doing, STR_ARG(words));
}

/* One trust anchor for OpenSSL's DANE: usage 2, full data. */
static enum rc add_anchor(struct tls_check *c, SSL *ssl, int selector, unsigned char *der, int n,
                          struct why *why)
{
    int ok =
        n > 0 ? SSL_dane_tlsa_add(ssl, TLSA_USAGE_TA, (uint8_t)selector, TLSA_FULL, der, (size_t)n)
              : 0;

    OPENSSL_free(der);
    return ok > 0 ? RC_OK : library_fails(c, "trust anchor", why);
}

/* Certificates and public keys of a PEM file. */
static enum rc add_anchor_file(struct tls_check *c, SSL *ssl, struct str path, struct why *why)
{
    BIO *file = BIO_new_file(arena_text(c->arena, path), "r");
    char *name, *header;
    unsigned char *bytes;
    enum rc rc = RC_OK;
    int found = 0;
    long n;

    if (file == NULL)
        return FAIL(why, RC_CONFIG, "open trust anchor file " STR_FMT ": %m", STR_ARG(path));
    while (rc == RC_OK && PEM_read_bio(file, &name, &header, &bytes, &n)) {
        const unsigned char *p = bytes;
        unsigned char *der = NULL;
        int der_n = 0, selector = TLSA_CERTIFICATE;
        if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0) {
            X509 *x = d2i_X509(NULL, &p, n);
            der_n = x ? i2d_X509(x, &der) : 0;
            X509_free(x);
        } else if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
            EVP_PKEY *key = d2i_PUBKEY(NULL, &p, n);
            der_n = key ? i2d_PUBKEY(key, &der) : 0;
            selector = TLSA_KEY;
            EVP_PKEY_free(key);
        } else {
            rc = FAIL(why, RC_CONFIG, "trust anchor file " STR_FMT " holds a \"%s\"", STR_ARG(path),
                      name);
        }
        if (rc == RC_OK)
            rc = add_anchor(c, ssl, selector, der, der_n, why);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(bytes);
        found++;
    }
    BIO_free(file);
    (void)tls_library_error(c->arena); /* the end of the file is one */
    if (rc == RC_OK && found == 0)
        rc = FAIL(why, RC_CONFIG, "no trust anchor in file " STR_FMT, STR_ARG(path));
    return rc;
}

static enum rc use_records(struct tls_check *c, SSL *ssl, struct why *why)
{
    const struct tls_policy *p = c->policy;
    int usable = 0;

    if (SSL_dane_enable(ssl, arena_text(c->arena, p->match.v[0])) <= 0)
        return library_fails(c, "DANE", why);
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                               (c->multi_label ? X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS : 0));
    for (size_t i = 1; i < p->match.n; i++)
        if (!SSL_add1_host(ssl, arena_text(c->arena, p->match.v[i])))
            return library_fails(c, "DANE", why);
    for (size_t i = 0; i < p->tlsa->n; i++) {
        const struct tlsa *r = &p->tlsa->v[i];
        int ok =
            SSL_dane_tlsa_add(ssl, (uint8_t)r->usage, (uint8_t)r->selector, (uint8_t)r->matching,
                              (const unsigned char *)r->data.p, r->data.n);
        usable += ok > 0;
        if (ok <= 0)
            log_warning(c->log, "unusable TLSA record of " STR_FMT ": %d %d %d: " STR_FMT,
                        STR_ARG(p->tlsa->base), r->usage, r->selector, r->matching,
                        STR_ARG(tls_library_error(c->arena)));
    }
    return usable ? RC_OK : FAIL(why, RC_PERM, "TLSA records unusable");
}

static enum rc prepare(SSL *ssl, struct tls_session *t, void *state, struct why *why)
{
    struct tls_check *c = state;
    const struct tls_policy *p = c->policy;

    (void)t;
    if (p->tlsa)
        return use_records(c, ssl, why);
    if (p->trust_anchors.n && SSL_dane_enable(ssl, NULL) <= 0)
        return library_fails(c, "trust anchors", why);
    for (size_t i = 0; i < p->trust_anchors.n; i++)
        TRY(add_anchor_file(c, ssl, p->trust_anchors.v[i], why));
    return RC_OK;
}

static bool has_name(struct tls_check *c, X509 *x, const struct str_list *names,
                     struct str *matched)
{
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                     (c->multi_label ? X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS : 0);

    for (size_t i = 0; i < names->n; i++) {
        char *found = NULL;
        if (X509_check_host(x, names->v[i].p, names->v[i].n, flags, &found) != 1)
            continue;
        *matched = arena_copy(c->arena, found ? str_of(found) : names->v[i]);
        OPENSSL_free(found);
        return true;
    }
    return false;
}

/* "AA:BB" against "aabb". */
static bool is_fingerprint(struct str print, struct str hex)
{
    size_t j = 0;

    for (size_t i = 0; i < print.n; i++) {
        if (print.p[i] == ':')
            continue;
        if (j == hex.n || to_lower(print.p[i]) != hex.p[j++])
            return false;
    }
    return j == hex.n && j > 0;
}

static bool has_fingerprint(struct tls_check *c, X509 *x, struct str *matched)
{
    struct str print = tls_fingerprint(x, c->digest, c->arena);
    struct str key = tls_key_fingerprint(x, c->digest, c->arena);

    for (size_t i = 0; i < c->policy->match.n; i++)
        if (is_fingerprint(print, c->policy->match.v[i]) ||
            is_fingerprint(key, c->policy->match.v[i])) {
            *matched = c->policy->match.v[i];
            return true;
        }
    return false;
}

/* In a resumed session nothing was compared: its first one was kept under a name that tells the
 * policy. */
static bool has_record(SSL *ssl, const struct tls_session *t)
{
    return SSL_get_verify_result(ssl) == X509_V_OK &&
           (t->resumed || SSL_get0_dane_authority(ssl, NULL, NULL) >= 0);
}

static void say_matched(const struct tls_check *c, const struct tls_session *t)
{
    if (c->say_match || t->loglevel & TLS_LOG_HANDSHAKE)
        log_info(c->log, "%s: matched peername: " STR_FMT, t->label, STR_ARG(t->matched));
}

static void say_untrusted(const struct tls_check *c, const struct tls_session *t)
{
    if (t->trust >= TLS_TRUSTED ||
        (c->policy->level <= TLS_LEVEL_ENCRYPT && !(t->loglevel & TLS_LOG_HANDSHAKE)))
        return;
    if (t->resumed) {
        log_info(c->log,
                 "%s: re-using session with untrusted certificate, look for details earlier in the "
                 "log",
                 t->label);
        return;
    }
    tls_log_untrusted(t);
}

static void judge(SSL *ssl, struct tls_session *t, void *state)
{
    struct tls_check *c = state;
    const struct tls_policy *p = c->policy;
    X509 *x = SSL_get0_peer_certificate(ssl);
    const struct str_list *names = p->match.n ? &p->match : &c->names;

    c->accepted = p->level <= TLS_LEVEL_ENCRYPT;
    if (x == NULL)
        return;
    if (p->level != TLS_LEVEL_FINGERPRINT)
        say_untrusted(c, t);
    switch (p->level) {
    case TLS_LEVEL_FINGERPRINT: c->accepted = has_fingerprint(c, x, &t->matched); break;
    case TLS_LEVEL_HALF_DANE:
    case TLS_LEVEL_DANE:
    case TLS_LEVEL_DANE_ONLY:
        c->accepted = has_record(ssl, t);
        if (c->accepted)
            t->matched = p->tlsa->base;
        break;
    default:
        if (t->trust < TLS_TRUSTED || !has_name(c, x, names, &t->matched))
            return;
        c->name_matched = true;
        if (p->level <= TLS_LEVEL_ENCRYPT)
            return;
        c->accepted = true;
        break;
    }
    if (!c->accepted)
        return;
    c->name_matched = true;
    t->trust = p->level == TLS_LEVEL_HALF_DANE ? TLS_TRUSTED : TLS_VERIFIED;
    say_matched(c, t);
}

struct tls_verifier tls_check_verifier(struct tls_check *check)
{
    return (struct tls_verifier){prepare, judge, check};
}

#else

struct tls_verifier tls_check_verifier(struct tls_check *check)
{
    return (struct tls_verifier){.state = check};
}

#endif
