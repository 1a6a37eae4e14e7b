/* Channel binding (RFC 5929, RFC 9266): bytes that only the two ends of this session know, or that
 * name its server. */
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "tls/private.h"

enum { EXPORTED = 32, FINISHED_MAX = 64 };

static enum rc exporter(const struct tls_session *t, struct arena *a, struct str *data)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    unsigned char *bytes = arena_alloc(a, EXPORTED);

    if (SSL_export_keying_material(t->ssl, bytes, EXPORTED, label, sizeof label - 1,
                                   (const unsigned char *)"", 0, 1) != 1)
        return RC_NONE;
    *data = (struct str){(const char *)bytes, EXPORTED};
    return RC_OK;
}

/* The first Finished message of the handshake: the client's, or after resumption the server's. */
static enum rc unique(const struct tls_session *t, struct arena *a, struct str *data)
{
    bool own = (t->role == TLS_CLIENT) != t->resumed;
    unsigned char *bytes = arena_alloc(a, FINISHED_MAX);
    size_t n;

    if (SSL_version(t->ssl) >= TLS1_3_VERSION)
        return RC_NONE;
    n = own ? SSL_get_finished(t->ssl, bytes, FINISHED_MAX)
            : SSL_get_peer_finished(t->ssl, bytes, FINISHED_MAX);
    *data = (struct str){(const char *)bytes, n};
    return n ? RC_OK : RC_NONE;
}

/* The server's certificate by the digest of its signature; what is weaker than SHA-256 becomes
 * that. */
static enum rc end_point(const struct tls_session *t, struct arena *a, struct str *data)
{
    X509 *x =
        t->role == TLS_SERVER ? SSL_get_certificate(t->ssl) : SSL_get0_peer_certificate(t->ssl);
    int digest = NID_undef;
    const EVP_MD *md;
    unsigned char *bytes = arena_alloc(a, EVP_MAX_MD_SIZE);
    unsigned n = 0;

    if (x == NULL || !X509_get_signature_info(x, &digest, NULL, NULL, NULL))
        return RC_NONE;
    if (digest == NID_undef || digest == NID_md5 || digest == NID_sha1)
        digest = NID_sha256;
    md = EVP_get_digestbynid(digest);
    if (md == NULL || !X509_digest(x, md, bytes, &n))
        return RC_NONE;
    *data = (struct str){(const char *)bytes, n};
    return RC_OK;
}

enum rc tls_channel_data(const struct tls_session *t, const char *type, struct arena *a,
                         struct str *data)
{
    if (strcmp(type, "tls-exporter") == 0)
        return exporter(t, a, data);
    if (strcmp(type, "tls-unique") == 0)
        return unique(t, a, data);
    if (strcmp(type, "tls-server-end-point") == 0)
        return end_point(t, a, data);
    return RC_NONE;
}
