/* A context: made once, read-only afterwards. */
#include <openssl/err.h>
#include <stdlib.h>

#include "table/table.h"
#include "tls/private.h"
#include "util/memory.h"

/* OpenSSL's own configuration file, once per process: the first context decides. */
static enum rc start_openssl(const struct config *c, struct why *why)
{
    OPENSSL_INIT_SETTINGS *settings = OPENSSL_INIT_new();
    bool none = str_eq(c->tls_config_file, STR("none"));
    uint64_t what = none ? OPENSSL_INIT_NO_LOAD_CONFIG : OPENSSL_INIT_LOAD_CONFIG;
    int done;

    if (settings && c->tls_config_file.n && !none && !str_eq(c->tls_config_file, STR("default")))
        OPENSSL_INIT_set_config_filename(settings, c->tls_config_file.p);
    if (settings && c->tls_config_name.n)
        OPENSSL_INIT_set_config_appname(settings, c->tls_config_name.p);
    if (settings && !none)
        OPENSSL_INIT_set_config_file_flags(settings, str_eq(c->tls_config_file, STR("default"))
                                                         ? CONF_MFLAGS_IGNORE_MISSING_FILE
                                                         : 0);
    done = OPENSSL_init_ssl(what | OPENSSL_INIT_NO_ATEXIT, settings);
    OPENSSL_INIT_free(settings);
    if (done)
        return RC_OK;
    ERR_clear_error();
    return FAIL(why, RC_CONFIG,
                "tls_config_file = " STR_FMT ": OpenSSL cannot use it; set it to default or none",
                STR_ARG(c->tls_config_file));
}

static enum rc context_fill(struct tls_context *t, const struct tls_options *options,
                            struct why *why)
{
    t->ssl = SSL_CTX_new(options->role == TLS_SERVER ? TLS_server_method() : TLS_client_method());
    if (t->ssl == NULL) {
        struct str words = tls_library_error(t->arena);
        return FAIL(why, RC_CONFIG, "OpenSSL: " STR_FMT, STR_ARG(words));
    }
    SSL_CTX_set_app_data(t->ssl, t);
    if (str_eq_nocase(t->set.enable_rpk, STR("yes")))
        log_warning(t->log,
                    "%senable_rpk = yes: this OpenSSL has no raw public keys (3.2 has); ignored",
                    t->prefix);
    if (options->role == TLS_CLIENT && SSL_CTX_dane_enable(t->ssl) <= 0) { /* verify.c needs it */
        struct str words = tls_library_error(t->arena);
        return FAIL(why, RC_CONFIG, "OpenSSL: " STR_FMT, STR_ARG(words));
    }
    TRY(tls_apply_parameters(t, options->mandatory, why));
    TRY(tls_load_certificates(t, why));
    if (options->role == TLS_SERVER)
        TRY(tls_sni_open(t, why));
    return tls_resume_open(t, options->tlsmgr, why);
}

enum rc tls_context_new(const struct tls_options *options, const struct config *config,
                        const struct log *log, struct tls_context **out, struct why *why)
{
    struct tls_context *t = NEW(struct tls_context);
    enum rc rc;

    t->arena = arena_new(4096);
    t->role = options->role;
    t->prefix = options->prefix;
    t->cache = str_of(options->cache ? options->cache : "");
    t->config = config;
    t->log = log;
    t->strict = options->strict;
    pthread_mutex_init(&t->trace_lock, NULL);
    tls_settings_read(config, options->prefix, t->arena, &t->set);
    t->bio = tls_wire_method();
    rc = start_openssl(config, why);
    if (rc == RC_OK)
        rc = context_fill(t, options, why);
    if (rc != RC_OK && !options->keep_failed) {
        tls_context_free(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

void tls_context_free(struct tls_context *t)
{
    if (t == NULL)
        return;
    tls_resume_close(t);
    tls_unwatch_files(t);
    maps_close(t->sni);
    tls_chain_cache_free(t->chains);
    SSL_CTX_free(t->ssl);
    BIO_meth_free(t->bio);
    pthread_mutex_destroy(&t->trace_lock);
    arena_free(t->arena);
    free(t);
}

bool tls_context_has_changed(struct tls_context *t, struct str *name)
{
    for (size_t i = 0; t && i < t->files.n; i++) {
        if (tls_file_has_changed(&t->files.v[i])) {
            *name = t->files.v[i].path;
            return true;
        }
    }
    if (t && t->sni && maps_have_changed(t->sni)) {
        *name = STR("tls_server_sni_maps");
        return true;
    }
    return false;
}

bool tls_context_has_certificate(const struct tls_context *t)
{
    return t->certificates > 0;
}
