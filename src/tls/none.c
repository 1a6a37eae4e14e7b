/* The library of a build without OpenSSL: there is no context, so there are no sessions. */
#include "tls/tls.h"

enum rc tls_context_new(const struct tls_options *options, const struct config *config,
                        const struct log *log, struct tls_context **out, struct why *why)
{
    (void)config;
    (void)log;
    *out = NULL;
    return FAIL(why, RC_CONFIG,
                "%.*s parameters ask for TLS, and this build has none; install libssl-dev, then "
                "run: ./makedefs && make && make install",
                (int)strlen(options->prefix) - 1, options->prefix);
}

void tls_context_free(struct tls_context *t)
{
    (void)t;
}

bool tls_context_has_changed(struct tls_context *t, struct str *name)
{
    (void)t;
    (void)name;
    return false;
}

bool tls_context_has_certificate(const struct tls_context *t)
{
    (void)t;
    return false;
}

enum rc tls_accept(struct tls_context *t, struct stream *s,
                   const struct tls_server_request *request, struct arena *a,
                   struct tls_session **out, struct why *why)
{
    (void)t, (void)s, (void)request, (void)a, (void)out;
    return FAIL(why, RC_PERM, "no TLS in this build");
}

enum rc tls_connect(struct tls_context *t, struct stream *s,
                    const struct tls_client_request *request, struct arena *a,
                    struct tls_session **out, struct why *why)
{
    (void)t, (void)s, (void)request, (void)a, (void)out;
    return FAIL(why, RC_PERM, "no TLS in this build");
}

void tls_last_words(struct tls_session *t)
{
    (void)t;
}

void tls_end(struct tls_session *t)
{
    (void)t;
}

void tls_log_summary(const struct tls_session *t, bool connection_reused)
{
    (void)t, (void)connection_reused;
}

void tls_log_untrusted(const struct tls_session *t)
{
    (void)t;
}

struct str tls_describe(const struct tls_session *t, struct arena *a)
{
    (void)t, (void)a;
    return STR_NONE;
}

struct str tls_describe_details(const struct tls_session *t, struct arena *a, const char *separator)
{
    (void)t, (void)a, (void)separator;
    return STR_NONE;
}

enum rc tls_channel_data(const struct tls_session *t, const char *type, struct arena *a,
                         struct str *data)
{
    (void)t, (void)type, (void)a, (void)data;
    return RC_NONE;
}

enum rc tls_protocols_parse(struct str text, struct tls_protocols *out, struct why *why)
{
    (void)text, (void)out, (void)why;
    return RC_OK;
}

enum rc tls_cipher_list(const struct config *config, struct str grade, struct str excluded,
                        struct arena *a, const char **out, struct why *why)
{
    (void)config, (void)grade, (void)excluded, (void)a, (void)out;
    return FAIL(why, RC_CONFIG, "no TLS in this build");
}

void tls_file_names(const char *path, void (*each)(void *, struct str), void *context)
{
    (void)path, (void)each, (void)context;
}

enum rc tls_digest_check(struct str digest, struct why *why)
{
    (void)digest;
    return FAIL(why, RC_CONFIG, "no TLS in this build");
}

struct str tls_fingerprint(const struct x509_st *certificate, const char *digest, struct arena *a)
{
    (void)certificate, (void)digest, (void)a;
    return STR_NONE;
}

struct str tls_key_fingerprint(const struct x509_st *certificate, const char *digest,
                               struct arena *a)
{
    (void)certificate, (void)digest, (void)a;
    return STR_NONE;
}

struct str tls_digest(struct str bytes, const char *digest, struct arena *a)
{
    (void)bytes, (void)digest, (void)a;
    return STR_NONE;
}

struct str tls_library_error(struct arena *a)
{
    (void)a;
    return STR_NONE;
}

void tls_log_library_errors(const struct log *log)
{
    (void)log;
}
