/* What a session is: the words of log lines and of Received: headers. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/private.h"

/* "RSA (2048 bits)", "X25519", "ECDHE (prime256v1)": names as the log has them. */
static struct str key_words(EVP_PKEY *key, bool exchange, struct arena *a)
{
    char curve[64];
    size_t n = 0;
    int type = EVP_PKEY_get_base_id(key);

    switch (type) {
    case EVP_PKEY_EC:
        if (!EVP_PKEY_get_group_name(key, curve, sizeof curve, &n))
            return exchange ? STR("ECDHE") : STR("ECDSA");
        return arena_printf(a, "%s (%s)", exchange ? "ECDHE" : "ECDSA", curve);
    case EVP_PKEY_DH:
    case EVP_PKEY_DHX: return arena_printf(a, "DHE (%d bits)", EVP_PKEY_get_bits(key));
    case EVP_PKEY_RSA: return arena_printf(a, "RSA (%d bits)", EVP_PKEY_get_bits(key));
    case EVP_PKEY_DSA: return arena_printf(a, "DSA (%d bits)", EVP_PKEY_get_bits(key));
    default: {
        const char *name = OBJ_nid2sn(type);
        return arena_copy(a, str_of(name ? name : "unknown"));
    }
    }
}

static struct str signature_words(EVP_PKEY *key, int nid, struct arena *a)
{
    if (nid == EVP_PKEY_RSA_PSS && key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        return arena_printf(a, "RSA-PSS (%d bits)", EVP_PKEY_get_bits(key));
    return key ? key_words(key, false, a) : STR("");
}

static struct str digest_words(int nid)
{
    return nid == NID_undef ? STR("") : str_of(OBJ_nid2sn(nid));
}

/* TLS 1.3 alone negotiates these one by one; before, the cipher's name tells. */
static void find_details(struct tls_session *t, struct arena *a)
{
    bool server = t->role == TLS_SERVER;
    X509 *own = SSL_get_certificate(t->ssl);
    X509 *other = SSL_get0_peer_certificate(t->ssl);
    X509 *server_certificate = server ? own : other, *client_certificate = server ? other : own;
    EVP_PKEY *key = NULL;
    int nid = NID_undef;

    if (SSL_version(t->ssl) < TLS1_3_VERSION)
        return;
    if (SSL_get_peer_tmp_key(t->ssl, &key) && key) {
        t->key_exchange = key_words(key, true, a);
        EVP_PKEY_free(key);
    }
    if (t->resumed) /* nobody has signed anything */
        return;
    if (server_certificate &&
        (server ? SSL_get_signature_type_nid : SSL_get_peer_signature_type_nid)(t->ssl, &nid)) {
        t->server_signature = signature_words(X509_get0_pubkey(server_certificate), nid, a);
        if (server ? SSL_get_signature_nid(t->ssl, &nid) : SSL_get_peer_signature_nid(t->ssl, &nid))
            t->server_digest = digest_words(nid);
    }
    if (client_certificate && (!server || t->has_certificate) &&
        (server ? SSL_get_peer_signature_type_nid : SSL_get_signature_type_nid)(t->ssl, &nid)) {
        t->client_signature = signature_words(X509_get0_pubkey(client_certificate), nid, a);
        if (server ? SSL_get_peer_signature_nid(t->ssl, &nid) : SSL_get_signature_nid(t->ssl, &nid))
            t->client_digest = digest_words(nid);
    }
}

/* The last common name, as UTF-8, if it is one and harmless. */
static struct str common_name(const X509_NAME *name, struct arena *a)
{
    struct str text = STR("");
    unsigned char *utf8 = NULL;
    int at = -1, last = -1, n;

    while ((at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0)
        last = at;
    if (last < 0)
        return text;
    n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
    if (n > 0 && n <= 256 && memchr(utf8, 0, (size_t)n) == NULL)
        text = arena_copy(a, (struct str){(char *)utf8, (size_t)n});
    if (n >= 0)
        OPENSSL_free(utf8);
    return text;
}

static void find_certificate(struct tls_session *t, struct arena *a)
{
    X509 *peer = SSL_get0_peer_certificate(t->ssl);
    const struct tls_context *c = t->context;

    t->subject = t->issuer = t->fingerprint = t->key_fingerprint = t->matched = STR("");
    t->verify_text = STR("");
    if (peer == NULL)
        return;
    t->has_certificate = true;
    t->subject = common_name(X509_get_subject_name(peer), a);
    t->issuer = common_name(X509_get_issuer_name(peer), a);
    if (t->issuer.n == 0) {
        char *line = X509_NAME_oneline(X509_get_issuer_name(peer), NULL, 0);
        t->issuer = line ? arena_copy(a, str_of(line)) : STR("");
        OPENSSL_free(line);
    }
    t->fingerprint = tls_fingerprint(peer, c->digest, a);
    t->key_fingerprint = tls_key_fingerprint(peer, c->digest, a);
    if (t->verify_error == 0) /* of a resumed session, or of a check that nobody interrupted */
        t->verify_error = SSL_get_verify_result(t->ssl);
    if (t->verify_error)
        t->verify_text = str_of(X509_verify_cert_error_string(t->verify_error));
    t->trust = t->verify_error ? TLS_UNTRUSTED : TLS_TRUSTED;
}

void tls_find_facts(struct tls_session *t, struct arena *a)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);

    t->resumed = SSL_session_reused(t->ssl);
    t->protocol = str_of(SSL_get_version(t->ssl));
    t->cipher = str_of(SSL_CIPHER_get_name(cipher));
    t->bits = SSL_CIPHER_get_bits(cipher, &t->key_bits);
    t->key_exchange = t->server_signature = t->server_digest = STR("");
    t->client_signature = t->client_digest = STR("");
    if (t->role == TLS_SERVER)
        t->server_name = arena_copy(a, str_of(name ? name : ""));
    find_certificate(t, a);
    find_details(t, a);
    if (t->loglevel & TLS_LOG_HANDSHAKE && t->has_certificate) {
        log_info(t->log,
                 "%s: subject_CN=" STR_FMT ", %s=" STR_FMT ", fingerprint=" STR_FMT
                 ", pkey_fingerprint=" STR_FMT,
                 t->label, STR_ARG(t->subject), t->role == TLS_SERVER ? "issuer" : "issuer_CN",
                 STR_ARG(t->issuer), STR_ARG(t->fingerprint), STR_ARG(t->key_fingerprint));
    }
}

void tls_log_untrusted(const struct tls_session *t)
{
    switch (t->verify_error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        log_info(t->log, "certificate verification failed for %s: untrusted issuer " STR_FMT,
                 t->label, STR_ARG(t->untrusted_issuer));
        break;
    default:
        log_info(t->log, "certificate verification failed for %s: " STR_FMT, t->label,
                 STR_ARG(t->verify_text));
    }
}

struct str tls_describe(const struct tls_session *t, struct arena *a)
{
    return arena_printf(a, STR_FMT " with cipher " STR_FMT " (%d/%d bits)", STR_ARG(t->protocol),
                        STR_ARG(t->cipher), t->bits, t->key_bits);
}

struct str tls_describe_details(const struct tls_session *t, struct arena *a, const char *separator)
{
    const struct {
        const char *word;
        struct str value;
    } parts[] = {
        {"key-exchange", t->key_exchange},   {"server-signature", t->server_signature},
        {"server-digest", t->server_digest}, {"client-signature", t->client_signature},
        {"client-digest", t->client_digest},
    };
    struct str text = STR("");

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].value.n)
            text = arena_printf(a, STR_FMT "%s%s " STR_FMT, STR_ARG(text), text.n ? separator : "",
                                parts[i].word, STR_ARG(parts[i].value));
    return text;
}

void tls_log_summary(const struct tls_session *t, bool reused)
{
    AUTO_ARENA a = arena_new(1024);
    bool server = t->role == TLS_SERVER;
    struct str details = tls_describe_details(t, a, " ");

    log_info(t->log,
             "%s TLS connection %s %s %s"
             "%s" STR_FMT ": " STR_FMT "%s" STR_FMT,
             tls_trust_word(t->trust), reused ? "reused" : "established", server ? "from" : "to",
             t->label, t->name_served ? " to " : "",
             STR_ARG(t->name_served ? t->server_name : STR("")), STR_ARG(tls_describe(t, a)),
             details.n ? " " : "", STR_ARG(details));
}

void tls_file_names(const char *path, void (*each)(void *, struct str), void *context)
{
    FILE *f = fopen(path, "re");
    X509 *certificate = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    GENERAL_NAMES *names =
        certificate ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL) : NULL;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type == GEN_DNS)
            each(context, (struct str){(const char *)ASN1_STRING_get0_data(n->d.dNSName),
                                       (size_t)ASN1_STRING_length(n->d.dNSName)});
    }
    GENERAL_NAMES_free(names);
    X509_free(certificate);
    if (f)
        (void)fclose(f);
}
