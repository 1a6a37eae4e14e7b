/*
 * Keys and certificate chains from PEM: files of the parameters, and values of SNI tables.
 *
 * What may be wrong is told with file and remedy: unreadable, encrypted, no key, key of another
 * certificate, certificate that has expired.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls/private.h"
#include "util/file.h"

enum { CHAIN_FILE_MAX = 1024 * 1024 };

struct pair {                      /* what was read, until it is used */
    bool no_keys, no_certificates; /* skip them */
    struct tls_chains *into;       /* who gets it; NULL: the context */
    struct arena *arena;           /* for words */
    EVP_PKEY *key;
    X509 *leaf;
    STACK_OF(X509) * chain;
};

static void pair_reset(struct pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->leaf);
    sk_X509_pop_free(p->chain, X509_free);
    p->key = NULL;
    p->leaf = NULL;
    p->chain = NULL;
}

/* A file as it is now; its change later means a new generation of processes. */
static enum rc read_pem(struct tls_context *t, const char *parameter, struct str path,
                        struct str *text, struct why *why)
{
    enum rc rc = file_read(path.p, CHAIN_FILE_MAX, t->arena, text, why);

    tls_watch_file(t, path);
    if (rc == RC_OK)
        return RC_OK;
    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG, "%s%s: file " STR_FMT " does not exist", t->prefix, parameter,
                    STR_ARG(path));
    if (errno == EACCES)
        return FAIL(why, RC_CONFIG,
                    "%s%s: no permission to read " STR_FMT "; run: chown root " STR_FMT
                    " && chmod 600 " STR_FMT,
                    t->prefix, parameter, STR_ARG(path), STR_ARG(path), STR_ARG(path));
    why_prefix(why, "%s%s", t->prefix, parameter);
    return RC_CONFIG;
}

static struct str expiry(const X509 *leaf, struct arena *a)
{
    BIO *b = BIO_new(BIO_s_mem());
    struct str text = STR("?");
    char *bytes = NULL;

    if (b && ASN1_TIME_print(b, X509_get0_notAfter(leaf))) {
        long n = BIO_get_mem_data(b, &bytes);
        text = arena_copy(a, (struct str){bytes, (size_t)n});
    }
    BIO_free(b);
    return text;
}

/* An expired certificate still serves opportunistic clients: fatal for "postfix check" alone. */
static enum rc check_dates(struct tls_context *t, const struct pair *p, const char *origin,
                           struct why *why)
{
    const X509 *leaf = p->leaf;
    const char *what = NULL;

    if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
        what = "certificate has expired";
    else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
        what = "certificate is not valid yet";
    if (what == NULL)
        return RC_OK;
    if (t->strict)
        return FAIL(why, RC_CONFIG, "%s: %s (valid until " STR_FMT "); install a new one", origin,
                    what, STR_ARG(expiry(leaf, p->arena)));
    log_warning(t->log, "%s: %s (valid until " STR_FMT "); install a new one", origin, what,
                STR_ARG(expiry(leaf, p->arena)));
    return RC_OK;
}

static enum rc pair_keep(struct pair *p, const char *origin, struct why *why)
{
    struct tls_chains *c = p->into;

    if (c->n == CHAINS_MAX)
        return FAIL(why, RC_CONFIG, "%s: more than %d keys", origin, CHAINS_MAX);
    c->v[c->n++] = (struct tls_chain){p->key, p->leaf, p->chain};
    p->key = NULL;
    p->leaf = NULL;
    p->chain = NULL;
    return RC_OK;
}

/* Will a session take what is kept for it? */
static bool session_takes(struct tls_context *t, struct pair *p)
{
    SSL *ssl = SSL_new(t->ssl);
    bool taken = ssl && SSL_use_cert_and_key(ssl, p->leaf, p->key, p->chain, 1);

    SSL_free(ssl);
    return taken;
}

/* A finished pair goes to OpenSSL, or where it was asked for. */
static enum rc pair_use(struct tls_context *t, struct pair *p, const char *origin, struct why *why)
{
    if (p->key == NULL && p->leaf == NULL)
        return FAIL(why, RC_CONFIG, "%s: no key and no certificate in it", origin);
    if (p->leaf == NULL)
        return FAIL(why, RC_CONFIG,
                    "%s: no certificate follows a key; put each key before its certificates",
                    origin);
    if (p->key == NULL)
        return FAIL(why, RC_CONFIG,
                    "%s: a certificate stands before its key; put each key before its certificates",
                    origin);
    if (!X509_check_private_key(p->leaf, p->key)) {
        ERR_clear_error();
        return FAIL(why, RC_CONFIG,
                    "%s: key and certificate do not belong together; install the pair again",
                    origin);
    }
    TRY(check_dates(t, p, origin, why));
    if (!(p->into ? session_takes(t, p)
                  : SSL_CTX_use_cert_and_key(t->ssl, p->leaf, p->key, p->chain, 1))) {
        struct str words = tls_library_error(p->arena);
        return FAIL(why, RC_CONFIG, "%s: OpenSSL refuses the certificate: " STR_FMT, origin,
                    STR_ARG(words));
    }
    if (p->into)
        return pair_keep(p, origin, why);
    t->certificates++;
    pair_reset(p);
    return RC_OK;
}

enum pem_kind { PEM_OTHER, PEM_KEY, PEM_CERTIFICATE, PEM_LOCKED };

static enum pem_kind pem_kind(const char *name, const char *header)
{
    size_t n = strlen(name);

    if (strstr(header, "ENCRYPTED") || strcmp(name, "ENCRYPTED PRIVATE KEY") == 0)
        return PEM_LOCKED;
    if (n >= 11 && strcmp(name + n - 11, "PRIVATE KEY") == 0)
        return PEM_KEY;
    if (n >= 11 && strcmp(name + n - 11, "CERTIFICATE") == 0)
        return PEM_CERTIFICATE;
    return PEM_OTHER; /* EC PARAMETERS, DH PARAMETERS ... */
}

static enum rc take_key(struct pair *p, const unsigned char *der, long n, const char *origin,
                        struct why *why)
{
    p->key = d2i_AutoPrivateKey(NULL, &der, n);
    if (p->key)
        return RC_OK;
    ERR_clear_error();
    return FAIL(why, RC_CONFIG, "%s: malformed private key", origin);
}

static enum rc take_certificate(struct pair *p, const char *name, const unsigned char *der, long n,
                                const char *origin, struct why *why)
{
    X509 *x =
        strncmp(name, "TRUSTED", 7) == 0 ? d2i_X509_AUX(NULL, &der, n) : d2i_X509(NULL, &der, n);

    if (x == NULL) {
        ERR_clear_error();
        return FAIL(why, RC_CONFIG, "%s: malformed certificate", origin);
    }
    if (p->leaf == NULL) {
        p->leaf = x;
        return RC_OK;
    }
    if (p->chain == NULL)
        p->chain = sk_X509_new_null();
    if (p->chain == NULL || !sk_X509_push(p->chain, x)) {
        X509_free(x);
        return FAIL(why, RC_TEMP, "no memory for certificates");
    }
    return RC_OK;
}

/* One PEM object joins the pair; a key that follows certificates begins the next. */
static enum rc take_object(struct tls_context *t, struct pair *p, const char *name,
                           const char *header, const unsigned char *der, long n, const char *origin,
                           struct why *why)
{
    switch (pem_kind(name, header)) {
    case PEM_LOCKED:
        if (p->no_keys)
            return RC_OK;
        return FAIL(why, RC_CONFIG,
                    "%s: the private key is encrypted, and nobody is there to give a passphrase; "
                    "run: openssl pkey -in OLD -out NEW",
                    origin);
    case PEM_KEY:
        if (p->no_keys)
            return RC_OK;
        if (p->leaf)
            TRY(pair_use(t, p, origin, why));
        if (p->key)
            return FAIL(why, RC_CONFIG, "%s: two keys without a certificate between them", origin);
        return take_key(p, der, n, origin, why);
    case PEM_CERTIFICATE:
        return p->no_certificates ? RC_OK : take_certificate(p, name, der, n, origin, why);
    default: return RC_OK;
    }
}

static enum rc take_all(struct tls_context *t, struct pair *p, struct str pem, const char *origin,
                        struct why *why)
{
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    enum rc rc = RC_OK;
    long n = 0;

    while (rc == RC_OK && in && PEM_read_bio(in, &name, &header, &der, &n)) {
        rc = take_object(t, p, name, header, der, n, origin, why);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)n);
    }
    if (rc == RC_OK && in && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        rc = FAIL(why, RC_CONFIG, "%s: malformed PEM", origin);
    ERR_clear_error();
    BIO_free(in);
    return rc;
}

enum rc tls_read_chains(struct tls_context *t, struct str pem, const char *origin, struct arena *a,
                        struct tls_chains *out, struct why *why)
{
    struct pair p = {.into = out, .arena = a};
    enum rc rc = take_all(t, &p, pem, origin, why);

    if (rc == RC_OK)
        rc = pair_use(t, &p, origin, why);
    pair_reset(&p);
    return rc;
}

/* chain_files: as if they were one file, but each is named when it is wrong. */
static enum rc load_chain_files(struct tls_context *t, struct why *why)
{
    struct str rest = t->set.chain_files, path;
    const char *origin = NULL;
    struct pair p = {.arena = t->arena};
    enum rc rc = RC_OK;

    while (rc == RC_OK && str_token(&rest, LIST_SEPARATORS, &path)) {
        struct str text = STR_NONE;
        path = arena_copy(t->arena, path);
        origin = arena_printf(t->arena, "%schain_files: " STR_FMT, t->prefix, STR_ARG(path)).p;
        rc = read_pem(t, "chain_files", path, &text, why);
        if (rc == RC_OK)
            rc = take_all(t, &p, text, origin, why);
    }
    if (rc == RC_OK && (p.key || p.leaf || t->certificates == 0))
        rc = pair_use(t, &p, origin, why);
    pair_reset(&p);
    return rc;
}

/* A certificate file, and a key file which may be the same. */
static enum rc load_pair(struct tls_context *t, const char *parameter, struct str certificates,
                         struct str key, struct why *why)
{
    struct pair p = {.no_certificates = true, .arena = t->arena};
    struct str text = STR_NONE;
    const char *origin;
    enum rc rc;

    if (certificates.n == 0 || str_eq_nocase(certificates, STR("none")))
        return RC_OK;
    origin = arena_printf(t->arena, "%s%s: " STR_FMT, t->prefix, parameter, STR_ARG(key)).p;
    rc = read_pem(t, parameter, key, &text, why);
    if (rc == RC_OK)
        rc = take_all(t, &p, text, origin, why);
    if (rc == RC_OK && p.key == NULL)
        rc = FAIL(why, RC_CONFIG, "%s: no private key in it", origin);
    p.no_keys = true;
    p.no_certificates = false;
    origin =
        arena_printf(t->arena, "%s%s: " STR_FMT, t->prefix, parameter, STR_ARG(certificates)).p;
    if (rc == RC_OK)
        rc = read_pem(t, parameter, certificates, &text, why);
    if (rc == RC_OK)
        rc = take_all(t, &p, text, origin, why);
    if (rc == RC_OK && p.leaf == NULL)
        rc = FAIL(why, RC_CONFIG, "%s: no certificate in it", origin);
    if (rc == RC_OK)
        rc = pair_use(t, &p, origin, why);
    pair_reset(&p);
    return rc;
}

enum rc tls_load_certificates(struct tls_context *t, struct why *why)
{
    const struct tls_settings *s = &t->set;

    if (s->chain_files.n)
        return load_chain_files(t, why);
    TRY(load_pair(t, "cert_file", s->cert_file, s->key_file, why));
    TRY(load_pair(t, "dcert_file", s->dcert_file, s->dkey_file, why));
    return load_pair(t, "eccert_file", s->eccert_file, s->eckey_file, why);
}
