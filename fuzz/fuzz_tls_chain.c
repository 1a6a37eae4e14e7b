/* Keys and certificates from PEM text: what is accepted is a pair that a server can use. */
#include "fuzz.h"

#ifdef HAVE_OPENSSL
#    include "tls/private.h"

static struct tls_context *context(void)
{
    static struct tls_context *t;
    static struct config *c;
    static struct log log;
    const struct str main_cf = STR("");
    const struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    const struct tls_options o = {.role = TLS_SERVER, .prefix = "smtpd_tls_", .cache = "smtpd"};
    const struct log_options quiet = {.tag = "fuzz", .file = "/dev/null", .progname = "fuzz"};

    if (t)
        return t;
    log_open(&log, &quiet);
    if (config_load(&request, &c, NULL) != RC_OK || tls_context_new(&o, c, &log, &t, NULL) != RC_OK)
        abort();
    t->chains = tls_chain_cache_new();
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_context *t = context();
    SSL *ssl = SSL_new(t->ssl);
    AUTO_ARENA a = arena_new(1024);
    struct str pem = {(const char *)data, size};
    struct tls_chains *chains = NULL;
    struct why why = {0};

    if (tls_chains_get(t, pem, "fuzz", a, &chains, &why) == RC_OK)
        FUZZ_CHECK(tls_chains_use(chains, ssl) && SSL_get_certificate(ssl) &&
                   SSL_get_privatekey(ssl) &&
                   X509_check_private_key(SSL_get_certificate(ssl), SSL_get_privatekey(ssl)));
    else
        FUZZ_CHECK(why.text[0] != 0);
    tls_chains_release(chains);
    SSL_free(ssl);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data, (void)size;
    return 0;
}
#endif
