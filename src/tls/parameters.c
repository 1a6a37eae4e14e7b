/* What a context takes from configuration besides certificates: versions, ciphers, groups, CAs,
   options. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/private.h"

static enum rc bad_setting(struct tls_context *t, const char *name, struct why *why)
{
    why_prefix(why, "%s%s", t->prefix, name);
    return RC_CONFIG;
}

void tls_apply_protocols(SSL *ssl, const struct tls_protocols *p)
{
    if (p->min)
        SSL_set_min_proto_version(ssl, p->min);
    if (p->max)
        SSL_set_max_proto_version(ssl, p->max);
    SSL_set_options(ssl, p->off);
}

static enum rc apply_protocols(struct tls_context *t, bool mandatory, struct why *why)
{
    struct str text = mandatory ? t->set.mandatory_protocols : t->set.protocols;

    if (tls_protocols_parse(text, &t->protocols, why) != RC_OK)
        return bad_setting(t, mandatory ? "mandatory_protocols" : "protocols", why);
    if (t->protocols.min)
        SSL_CTX_set_min_proto_version(t->ssl, t->protocols.min);
    if (t->protocols.max)
        SSL_CTX_set_max_proto_version(t->ssl, t->protocols.max);
    SSL_CTX_set_options(t->ssl, t->protocols.off);
    return RC_OK;
}

static enum rc apply_ciphers(struct tls_context *t, bool mandatory, struct why *why)
{
    const struct tls_settings *s = &t->set;
    struct str grade = mandatory ? s->mandatory_ciphers : s->ciphers, excluded = s->exclude_ciphers;

    if (grade.n == 0)
        grade = STR("medium");
    if (mandatory)
        excluded = arena_printf(t->arena, STR_FMT " " STR_FMT, STR_ARG(excluded),
                                STR_ARG(s->mandatory_exclude_ciphers));
    if (str_eq_nocase(s->eecdh_grade, STR("none")))
        excluded = arena_join(t->arena, excluded, STR(" kECDHE"));
    if (tls_cipher_list(t->config, grade, excluded, t->arena, &t->ciphers, why) != RC_OK)
        return bad_setting(t, mandatory ? "mandatory_ciphers" : "ciphers", why);
    if (SSL_CTX_set_cipher_list(t->ssl, t->ciphers))
        return RC_OK;
    ERR_clear_error();
    return FAIL(why, RC_CONFIG,
                "%s%s = " STR_FMT ": OpenSSL knows no cipher of \"%s\"; look at "
                "tls_" STR_FMT "_cipherlist and %sexclude_ciphers",
                t->prefix, mandatory ? "mandatory_ciphers" : "ciphers", STR_ARG(grade), t->ciphers,
                STR_ARG(grade), t->prefix);
}

/* Names that this OpenSSL does not know are left out with a word about it. */
static struct str known_groups(struct tls_context *t, const char *parameter, struct str names,
                               struct str list)
{
    SSL_CTX *probe = SSL_CTX_new(TLS_method());
    struct str name;

    while (probe && str_token(&names, LIST_SEPARATORS ":", &name)) {
        struct str one = arena_copy(t->arena, name);
        if (SSL_CTX_set1_groups_list(probe, one.p))
            list = arena_printf(t->arena, STR_FMT "%s" STR_FMT, STR_ARG(list), list.n ? ":" : "",
                                STR_ARG(one));
        else
            log_warning(t->log, "%s: OpenSSL knows no group \"" STR_FMT "\"; ignored", parameter,
                        STR_ARG(name));
    }
    ERR_clear_error();
    SSL_CTX_free(probe);
    return list;
}

static enum rc apply_groups(struct tls_context *t, struct why *why)
{
    const struct config *c = t->config;
    struct str grade = t->set.eecdh_grade, list = STR("");

    if (str_eq_nocase(grade, STR("strong")))
        list = known_groups(t, "tls_eecdh_strong_curve", c->tls_eecdh_strong_curve, list);
    else if (str_eq_nocase(grade, STR("ultra")))
        list = known_groups(t, "tls_eecdh_ultra_curve", c->tls_eecdh_ultra_curve, list);
    else if (grade.n == 0 || str_eq_nocase(grade, STR("auto")))
        list = known_groups(t, "tls_eecdh_auto_curves", c->tls_eecdh_auto_curves, list);
    else if (!str_eq_nocase(grade, STR("none")))
        return FAIL(why, RC_CONFIG,
                    "%seecdh_grade: unknown grade \"" STR_FMT "\"; use auto, strong, ultra or none",
                    t->prefix, STR_ARG(grade));
    list = known_groups(t, "tls_ffdhe_auto_groups", c->tls_ffdhe_auto_groups, list);
    if (list.n && !SSL_CTX_set1_groups_list(t->ssl, list.p)) {
        ERR_clear_error();
        return FAIL(why, RC_CONFIG, "OpenSSL refuses the groups \"" STR_FMT "\"", STR_ARG(list));
    }
    return RC_OK;
}

/* DH parameters for TLS 1.2 and older; OpenSSL's own choice unless there is a file. */
static enum rc apply_dh(struct tls_context *t, struct why *why)
{
    struct str path = t->set.dh1024_param_file;
    EVP_PKEY *key = NULL;
    BIO *file;

    if (t->role == TLS_CLIENT)
        return RC_OK;
    if (path.n == 0 || str_eq(path, STR("auto"))) {
        SSL_CTX_set_dh_auto(t->ssl, 1);
        return RC_OK;
    }
    if (str_eq(path, STR("none")))
        return RC_OK;
    file = BIO_new_file(path.p, "r");
    if (file) {
        key = PEM_read_bio_Parameters(file, NULL);
        BIO_free(file);
    }
    ERR_clear_error();
    if (key == NULL)
        return FAIL(why, RC_CONFIG,
                    "%sdh1024_param_file: no DH parameters in " STR_FMT "; set it to auto",
                    t->prefix, STR_ARG(path));
    if (SSL_CTX_set0_tmp_dh_pkey(t->ssl, key))
        return RC_OK;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return FAIL(why, RC_CONFIG, "%sdh1024_param_file: OpenSSL refuses " STR_FMT "; set it to auto",
                t->prefix, STR_ARG(path));
}

struct option {
    const char *name;
    unsigned long bit;
};

/* tls_disable_workarounds: parts of SSL_OP_ALL. */
static const struct option workarounds[] = {
    {"CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG},
    {"DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
    {"SAFARI_ECDHE_ECDSA_BUG", SSL_OP_SAFARI_ECDHE_ECDSA_BUG},
    {"TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING},
    /* of older versions; nothing to disable any more */
    {"MICROSOFT_SESS_ID_BUG", 0},
    {"NETSCAPE_CHALLENGE_BUG", 0},
    {"NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0},
    {"SSLREF2_REUSE_CERT_TYPE_BUG", 0},
    {"MICROSOFT_BIG_SSLV3_BUFFER", 0},
    {"MSIE_SSLV2_RSA_PADDING", 0},
    {"SSLEAY_080_CLIENT_DH_BUG", 0},
    {"TLS_D5_BUG", 0},
    {"TLS_BLOCK_PADDING_BUG", 0},
    {"TLS_ROLLBACK_BUG", 0},
    {"NETSCAPE_CA_DN_BUG", 0},
    {NULL, 0},
};

/* tls_ssl_options */
static const struct option options[] = {
    {"ENABLE_KTLS", SSL_OP_ENABLE_KTLS},
    {"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
    {"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
    {"NO_ENCRYPT_THEN_MAC", SSL_OP_NO_ENCRYPT_THEN_MAC},
    {"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
    {"NO_SESSION_RESUMPTION_ON_RENEGOTIATION", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
    {"NO_TICKET", SSL_OP_NO_TICKET},
    {"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
    {"TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING},
    {NULL, 0},
};

static enum rc option_bits(const char *parameter, struct str words, const struct option *table,
                           unsigned long *bits, struct why *why)
{
    struct str word;

    while (str_token(&words, LIST_SEPARATORS "|:", &word)) {
        const struct option *o = table;
        while (o->name && !str_eq_nocase(word, str_of(o->name)))
            o++;
        if (o->name == NULL) {
            char number[20] = "", *end = number;
            if (word.n > 2 && word.n < sizeof number && str_has_prefix_nocase(word, STR("0x"))) {
                memcpy(number, word.p, word.n);
                *bits |= strtoul(number, &end, 16);
            }
            if (end == number || *end)
                return FAIL(why, RC_CONFIG,
                            "%s: unknown option \"" STR_FMT "\"; a number 0x... is fine as well",
                            parameter, STR_ARG(word));
        } else {
            *bits |= o->bit;
        }
    }
    return RC_OK;
}

static enum rc apply_options(struct tls_context *t, struct why *why)
{
    const struct config *c = t->config;
    unsigned long on = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION, off = 0;

    TRY(option_bits("tls_disable_workarounds", c->tls_disable_workarounds, workarounds, &off, why));
    TRY(option_bits("tls_ssl_options", c->tls_ssl_options, options, &on, why));
    if (c->tls_preempt_cipherlist && t->role == TLS_SERVER)
        on |= SSL_OP_CIPHER_SERVER_PREFERENCE;
    SSL_CTX_clear_options(t->ssl, SSL_OP_ALL);
    SSL_CTX_set_options(t->ssl, (SSL_OP_ALL & ~off) | on);
    SSL_CTX_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_read_ahead(t->ssl, 1);
    return RC_OK;
}

static enum rc apply_authorities(struct tls_context *t, struct why *why)
{
    struct str file = t->set.CAfile, dir = t->set.CApath;

    if (file.n && !SSL_CTX_load_verify_file(t->ssl, file.p)) {
        struct str words = tls_library_error(t->arena);
        return FAIL(why, RC_CONFIG, "%sCAfile: cannot read certificates from " STR_FMT ": " STR_FMT,
                    t->prefix, STR_ARG(file), STR_ARG(words));
    }
    if (dir.n && !SSL_CTX_load_verify_dir(t->ssl, dir.p)) {
        ERR_clear_error();
        return FAIL(why, RC_CONFIG, "%sCApath: cannot use directory " STR_FMT, t->prefix,
                    STR_ARG(dir));
    }
    if (t->config->tls_append_default_CA && !SSL_CTX_set_default_verify_paths(t->ssl))
        ERR_clear_error();
    if (file.n)
        tls_watch_file(t, file);
    if (t->role == TLS_SERVER && file.n) /* whose certificates a client may show */
        SSL_CTX_set_client_CA_list(t->ssl, SSL_load_client_CA_file(file.p));
    return RC_OK;
}

static enum rc apply_depth(struct tls_context *t, struct why *why)
{
    bool server = t->role == TLS_SERVER;
    struct str text = server ? t->set.ccert_verifydepth : t->set.scert_verifydepth;
    long depth = 9;

    if (text.n && !str_to_long(text, 0, 100, &depth))
        return FAIL(why, RC_CONFIG, "%s%s_verifydepth: bad value \"" STR_FMT "\"; use 0 to 100",
                    t->prefix, server ? "ccert" : "scert", STR_ARG(text));
    SSL_CTX_set_verify_depth(t->ssl, (int)depth);
    if (server && t->config->tls_trust_server_ccerts)
        X509_VERIFY_PARAM_set_purpose(SSL_CTX_get0_param(t->ssl), X509_PURPOSE_ANY);
    return RC_OK;
}

static enum rc apply_digest(struct tls_context *t, struct why *why)
{
    struct str digest = t->set.fingerprint_digest.n ? t->set.fingerprint_digest : STR("sha256");

    if (tls_digest_check(digest, why) != RC_OK)
        return bad_setting(t, "fingerprint_digest", why);
    t->digest = arena_text(t->arena, digest);
    return RC_OK;
}

enum rc tls_apply_parameters(struct tls_context *t, bool mandatory, struct why *why)
{
    TRY(apply_options(t, why));
    TRY(apply_protocols(t, mandatory, why));
    TRY(apply_ciphers(t, mandatory, why));
    TRY(apply_groups(t, why));
    TRY(apply_dh(t, why));
    TRY(apply_authorities(t, why));
    TRY(apply_depth(t, why));
    return apply_digest(t, why);
}
