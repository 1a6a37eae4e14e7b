/*
 * Cyrus SASL, the server's side. smtpd_sasl_path names the configuration file (smtpd.conf) in
 * cyrus_sasl_config_path or the library's own places. The library is told to use mutexes, for
 * sessions are threads; each exchange has a connection of its own.
 */
#include <pthread.h>
#include <stdlib.h>

#include "config/config.h"
#include "sasl/modules/cyrus.h"
#include "sasl/server.h"
#include "table/driver.h"

struct cyrus {
    struct arena *arena;
    const struct log *log;
    const char *service, *realm, *hostname;
    sasl_callback_t callbacks[2];
};

struct exchange {
    struct arena *arena;
    sasl_conn_t *connection;
    bool first; /* no response was taken yet: the mechanism is not started */
    const char *mechanism;
};

static const struct {
    enum login_security ours;
    sasl_ssf_t theirs;
} security[] = {
    {LOGIN_NOPLAINTEXT, SASL_SEC_NOPLAINTEXT},         {LOGIN_NOACTIVE, SASL_SEC_NOACTIVE},
    {LOGIN_NODICTIONARY, SASL_SEC_NODICTIONARY},       {LOGIN_NOANONYMOUS, SASL_SEC_NOANONYMOUS},
    {LOGIN_FORWARD_SECRECY, SASL_SEC_FORWARD_SECRECY}, {LOGIN_MUTUAL_AUTH, SASL_SEC_MUTUAL_AUTH},
};

/* "addr;port", as the library wants it; NULL: not known */
static const char *endpoint(struct arena *a, struct str address, struct str port)
{
    if (address.n == 0 || port.n == 0)
        return NULL;
    return arena_printf(a, STR_FMT ";" STR_FMT, STR_ARG(address), STR_ARG(port)).p;
}

static int set_properties(sasl_conn_t *c, const struct login_peer *peer, struct arena *a)
{
    sasl_security_properties_t properties = {0};
    sasl_ssf_t strength = (sasl_ssf_t)peer->tls_bits;
    int rc;

    for (size_t i = 0; i < sizeof security / sizeof *security; i++)
        if (peer->security & security[i].ours)
            properties.security_flags |= security[i].theirs;
    rc = sasl_setprop(c, SASL_SEC_PROPS, &properties);
    if (rc == SASL_OK && peer->is_encrypted)
        rc = sasl_setprop(c, SASL_SSF_EXTERNAL, &strength);
    if (rc == SASL_OK && peer->certificate.p)
        rc = sasl_setprop(c, SASL_AUTH_EXTERNAL, arena_text(a, peer->certificate));
    return rc;
}

static enum rc new_connection(struct cyrus *s, const struct login_peer *peer, struct arena *a,
                              sasl_conn_t **out, struct why *why)
{
    sasl_conn_t *c = NULL;
    int rc = sasl_server_new(s->service, s->hostname, s->realm,
                             endpoint(a, peer->server_address, peer->server_port),
                             endpoint(a, peer->client_address, peer->client_port), NULL, 0, &c);

    if (rc == SASL_OK)
        rc = set_properties(c, peer, a);
    if (rc == SASL_OK) {
        *out = c;
        return RC_OK;
    }
    if (c)
        sasl_dispose(&c);
    return FAIL(why, RC_TEMP, "Cyrus SASL: %s", sasl_errstring(rc, NULL, NULL));
}

static enum rc cyrus_mechanisms(void *state, const struct login_peer *peer, struct arena *a,
                                struct str *list, struct why *why)
{
    sasl_conn_t *c = NULL;
    const char *text = NULL;
    unsigned n = 0;
    int count = 0, rc;

    TRY(new_connection(state, peer, a, &c, why));
    rc = sasl_listmech(c, NULL, "", " ", "", &text, &n, &count);
    if (rc == SASL_OK && count > 0)
        *list = arena_copy(a, (struct str){text, n});
    sasl_dispose(&c);
    return rc == SASL_OK && count > 0 ? RC_OK : RC_NONE;
}

/* ---- exchanges ---- */

static struct str property(struct exchange *x, int which)
{
    const void *value = NULL;

    if (sasl_getprop(x->connection, which, &value) != SASL_OK || value == NULL)
        return STR_NONE;
    return arena_copy(x->arena, str_of(value));
}

/* Failure of the credentials, or of something of ours? */
static bool is_trouble(int rc)
{
    switch (rc) {
    case SASL_FAIL:
    case SASL_NOMEM:
    case SASL_TRYAGAIN:
    case SASL_UNAVAIL:
    case SASL_CONFIGERR:
    case SASL_BADVERS: return true;
    default: return false;
    }
}

static enum login_status judge(struct exchange *x, int rc, const char *out, unsigned n,
                               struct login_reply *reply)
{
    if (rc == SASL_CONTINUE || (rc == SASL_OK && n > 0)) {
        /* SMTP has no place for data with success: the client answers with nothing */
        reply->text = login_encode(x->arena, (struct str){out, n});
        if (rc == SASL_OK)
            x->first = false, x->mechanism = NULL;
        return LOGIN_MORE;
    }
    reply->username = property(x, SASL_USERNAME);
    if (rc == SASL_OK)
        return LOGIN_OK;
    if (reply->username.n == 0)
        reply->username = property(x, SASL_AUTHUSER);
    reply->reason = arena_copy(x->arena, str_of(sasl_errstring(rc, NULL, NULL)));
    return is_trouble(rc) ? LOGIN_TROUBLE : LOGIN_FAILED;
}

static enum login_status cyrus_step(void *exchange, struct str response, struct login_reply *reply)
{
    struct exchange *x = exchange;
    const char *out = NULL;
    unsigned n = 0;
    struct str message;
    int rc;

    if (login_decode(x->arena, response, response.n, &message, NULL) != RC_OK)
        return LOGIN_MALFORMED;
    if (x->mechanism == NULL) { /* it was all over */
        reply->username = property(x, SASL_USERNAME);
        return message.n == 0 ? LOGIN_OK : LOGIN_MALFORMED;
    }
    if (x->first)
        rc = sasl_server_start(x->connection, x->mechanism, message.p, (unsigned)message.n, &out,
                               &n);
    else
        rc = sasl_server_step(x->connection, message.p, (unsigned)message.n, &out, &n);
    x->first = false;
    if (message.n)
        login_forget((char *)message.p, message.n);
    return judge(x, rc, out, n, reply);
}

static enum login_status cyrus_begin(void *state, const struct login_peer *peer, struct arena *a,
                                     struct str mechanism, struct str initial, void **exchange,
                                     struct login_reply *reply)
{
    struct exchange *x = arena_new_of(a, struct exchange);
    const char *out = NULL;
    struct why why;
    unsigned n = 0;
    int rc;

    x->arena = a;
    x->mechanism = arena_text(a, mechanism);
    x->first = true;
    if (new_connection(state, peer, a, &x->connection, &why) != RC_OK) {
        reply->reason = arena_copy(a, str_of(why.text));
        return LOGIN_TROUBLE;
    }
    *exchange = x;
    if (initial.p)
        return cyrus_step(x, initial, reply);
    rc = sasl_server_start(x->connection, x->mechanism, NULL, 0, &out, &n);
    x->first = false;
    return judge(x, rc, out, n, reply);
}

static void cyrus_end(void *exchange)
{
    struct exchange *x = exchange;

    sasl_dispose(&x->connection);
}

/* ---- life ---- */

static enum rc cyrus_open(const struct login_server_options *o, void **state, struct why *why)
{
    struct arena *a = arena_new(1024);
    struct cyrus *s = arena_new_of(a, struct cyrus);
    int rc;

    s->arena = a;
    s->log = o->log;
    s->service = arena_text(a, o->service);
    s->realm = o->realm.n ? arena_text(a, o->realm) : NULL;
    s->hostname = arena_text(a, o->config->myhostname);
    s->callbacks[0] =
        (sasl_callback_t){SASL_CB_LOG, (cyrus_callback *)(void (*)(void))cyrus_log, (void *)o->log};
    s->callbacks[1] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
    cyrus_use_mutexes();
    if (o->config->cyrus_sasl_config_path.n)
        cyrus_use_path(a, o->config->cyrus_sasl_config_path);
    rc = sasl_server_init(s->callbacks, arena_text(a, o->path));
    if (rc != SASL_OK) {
        arena_free(a);
        return FAIL(why, RC_CONFIG,
                    "Cyrus SASL with smtpd_sasl_path = " STR_FMT ": %s; look at " STR_FMT
                    ".conf in cyrus_sasl_config_path",
                    STR_ARG(o->path), sasl_errstring(rc, NULL, NULL), STR_ARG(o->path));
    }
    *state = s;
    return RC_OK;
}

static void cyrus_close(void *state)
{
    struct cyrus *s = state;

    sasl_server_done();
    arena_free(s->arena);
}

MODULE_EXPORT const struct login_server_type login_server_type_cyrus = {
    .name = "cyrus",
    .open = cyrus_open,
    .close = cyrus_close,
    .mechanisms = cyrus_mechanisms,
    .begin = cyrus_begin,
    .step = cyrus_step,
    .end = cyrus_end,
};
