/* Digests of certificates and public keys, in the form of tables: "AA:BB:...". */
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "tls/tls.h"

enum rc tls_digest_check(struct str digest, struct why *why)
{
    char name[64];

    if (digest.n && digest.n < sizeof name) {
        memcpy(name, digest.p, digest.n);
        name[digest.n] = 0;
        if (EVP_get_digestbyname(name))
            return RC_OK;
    }
    return FAIL(why, RC_CONFIG,
                "OpenSSL has no digest \"" STR_FMT "\"; run: openssl list -digest-commands",
                STR_ARG(digest));
}

struct str tls_digest(struct str bytes, const char *digest, struct arena *a)
{
    static const char hex[] = "0123456789ABCDEF";
    const EVP_MD *md = EVP_get_digestbyname(digest);
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char *text;

    if (md == NULL || !EVP_Digest(bytes.p, bytes.n, value, &n, md, NULL) || n == 0)
        return STR_NONE;
    text = arena_alloc(a, 3 * (size_t)n);
    for (unsigned i = 0; i < n; i++) {
        text[3 * i] = hex[value[i] >> 4];
        text[3 * i + 1] = hex[value[i] & 15];
        text[3 * i + 2] = i + 1 < n ? ':' : 0;
    }
    return (struct str){text, 3 * (size_t)n - 1};
}

static struct str digest_of(unsigned char *der, int n, const char *digest, struct arena *a)
{
    struct str text = STR_NONE;

    if (n > 0)
        text = tls_digest((struct str){(char *)der, (size_t)n}, digest, a);
    OPENSSL_free(der);
    return text;
}

struct str tls_fingerprint(const struct x509_st *certificate, const char *digest, struct arena *a)
{
    unsigned char *der = NULL;
    int n = i2d_X509(certificate, &der);

    return digest_of(der, n, digest, a);
}

struct str tls_key_fingerprint(const struct x509_st *certificate, const char *digest,
                               struct arena *a)
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    return digest_of(der, n, digest, a);
}
