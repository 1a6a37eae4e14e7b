/*
 * tls_server_sni_maps: a chain for each name that clients ask for. Values are PEM files which
 * "postmap -F" has put into the table. The name itself is looked up, then .parent domains.
 */
#include <openssl/err.h>

#include "table/table.h"
#include "tls/private.h"
#include "util/memory.h"

static enum rc find_chains(struct tls_context *t, struct str name, struct arena *a, struct str *pem,
                           struct why *why)
{
    enum rc rc = maps_get(t->sni, name, a, pem, why);

    while (rc == RC_NONE) {
        ssize_t dot = str_index(str_from(name, 1), '.');
        if (dot < 0)
            return RC_NONE;
        name = str_from(name, (size_t)dot + 1);
        rc = maps_get_fixed(t->sni, name, a, pem, why);
    }
    return rc;
}

static enum rc show_chains(struct tls_context *t, SSL *ssl, struct str pem, struct str name,
                           struct arena *a, struct why *why)
{
    const char *origin = arena_printf(a, "tls_server_sni_maps: " STR_FMT, STR_ARG(name)).p;
    struct tls_chains *chains = NULL;
    enum rc rc;

    TRY(tls_chains_get(t, pem, origin, a, &chains, why));
    rc = tls_chains_use(chains, ssl) ? RC_OK
                                     : FAIL(why, RC_CONFIG, "%s: OpenSSL refuses it: " STR_FMT,
                                            origin, STR_ARG(tls_library_error(a)));
    tls_chains_release(chains);
    return rc;
}

/* A name without an entry gets the usual certificate; a table in trouble ends the handshake. */
static int on_server_name(SSL *ssl, int *alert, void *context)
{
    struct tls_context *t = context;
    struct tls_session *s = tls_session_of(ssl);
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    AUTO_ARENA a = arena_new(1024);
    struct str name = arena_lower(a, str_of(asked ? asked : "")), pem = STR_NONE;
    struct why why = {0};
    enum rc rc;

    if (name.n == 0 || name.n > 253 || t->sni == NULL)
        return SSL_TLSEXT_ERR_OK;
    if (str_index_any(name, "/:") >= 0 || name.p[0] == '.')
        return SSL_TLSEXT_ERR_OK;
    rc = find_chains(t, name, a, &pem, &why);
    if (rc == RC_NONE) {
        if (s->loglevel & TLS_LOG_HANDSHAKE)
            log_info(s->log, "TLS SNI " STR_FMT " from %s not matched, using default chain",
                     STR_ARG(name), s->label);
        return SSL_TLSEXT_ERR_OK;
    }
    if (rc == RC_OK)
        rc = show_chains(t, ssl, pem, name, a, &why);
    s->name_served = rc == RC_OK;
    if (rc == RC_OK)
        return SSL_TLSEXT_ERR_OK;
    log_warning(s->log, "TLS SNI " STR_FMT " from %s: %s", STR_ARG(name), s->label, why.text);
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- "postfix check" and start look at all entries ---- */

enum { LOOK_AT = 1000 };

static void check_entry(struct tls_context *t, struct str name, struct str pem)
{
    AUTO_ARENA a = arena_new(4096);
    const char *origin = arena_printf(a, "tls_server_sni_maps: " STR_FMT, STR_ARG(name)).p;
    struct tls_chains *chains = NEW(struct tls_chains);
    struct why why = {0};

    chains->users = 1;
    if (tls_read_chains(t, pem, origin, a, chains, &why) != RC_OK)
        log_warning(t->log, "%s", why.text);
    tls_chains_release(chains);
}

/* One customer's bad certificate is no reason not to start: warnings. */
static void check_tables(struct tls_context *t, const struct table_env *env)
{
    struct str list = t->config->tls_server_sni_maps, one, name, pem;

    while (str_token_braced(&list, LIST_SEPARATORS, &one)) {
        struct table *table;
        struct why why;
        enum rc rc;
        if (table_open(one, TABLE_BASE64, env, &table, &why) != RC_OK)
            continue;
        for (int n = 0; n < LOOK_AT; n++) {
            AUTO_ARENA a = arena_new(4096);
            rc = table_next(table, n == 0, a, &name, &pem, &why);
            if (rc != RC_OK) /* the end, or a type that cannot be listed */
                break;
            check_entry(t, name, pem);
        }
        table_close(table);
    }
}

enum rc tls_sni_open(struct tls_context *t, struct why *why)
{
    struct table_env env = {t->config, t->log};

    if (str_trim(t->config->tls_server_sni_maps).n == 0)
        return RC_OK;
    TRY(maps_open("tls_server_sni_maps", t->config->tls_server_sni_maps, TABLE_BASE64, &env,
                  &t->sni, why));
    t->chains = tls_chain_cache_new();
    if (t->strict)
        check_tables(t, &env);
    SSL_CTX_set_tlsext_servername_callback(t->ssl, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(t->ssl, t);
    return RC_OK;
}
