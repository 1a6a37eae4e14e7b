/*
 * Cyrus SASL, the server's side. smtpd_sasl_path names the configuration file (smtpd.conf) in
 * cyrus_sasl_config_path or the library's own places. The library is told to use mutexes, for
 * sessions are threads; each exchange has a connection of its own. The library waits for saslauthd
 * and for files without any limit, so its work on an exchange is done with one (patience.h).
 */
#include <pthread.h>
#include <stdlib.h>

#include "config/config.h"
#include "sasl/modules/cyrus.h"
#include "sasl/patience.h"
#include "sasl/server.h"
#include "table/driver.h"

enum {
    ANSWER_MS = 30000,
    STUCK_MAX = 100, /* threads of a process that wait for a saslauthd that hangs */
};

struct cyrus {
    struct arena *arena;
    struct patience *patience;
    long timeout_ms;
    const struct log *log;
    const char *service, *realm, *hostname;
    sasl_callback_t callbacks[2];
};

/* What the library works on. */
struct dialogue {
    struct arena *arena; /* its own: when the library hangs, this outlives the session */
    sasl_conn_t *connection;
    const char *mechanism; /* NULL: it was all over */
    bool begun;
    struct str message; /* p == NULL: none */
    const char *out;
    unsigned out_n;
    int rc;
};

struct exchange {
    struct arena *arena; /* of the session */
    struct cyrus *cyrus;
    struct dialogue *dialogue; /* NULL: it is lost in the library */
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

    if (sasl_getprop(x->dialogue->connection, which, &value) != SASL_OK || value == NULL)
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

static enum login_status judge(struct exchange *x, struct login_reply *reply)
{
    struct dialogue *d = x->dialogue;

    if (d->rc == SASL_CONTINUE || (d->rc == SASL_OK && d->out_n > 0)) {
        /* SMTP has no place for data with success: the client answers with nothing */
        reply->text = login_encode(x->arena, (struct str){d->out, d->out_n});
        if (d->rc == SASL_OK)
            d->mechanism = NULL;
        return LOGIN_MORE;
    }
    reply->username = property(x, SASL_USERNAME);
    if (d->rc == SASL_OK)
        return LOGIN_OK;
    if (reply->username.n == 0)
        reply->username = property(x, SASL_AUTHUSER);
    reply->reason = arena_copy(x->arena, str_of(sasl_errstring(d->rc, NULL, NULL)));
    return is_trouble(d->rc) ? LOGIN_TROUBLE : LOGIN_FAILED;
}

static void dialogue_step(void *context)
{
    struct dialogue *d = context;
    unsigned n = (unsigned)d->message.n;

    d->out = NULL;
    d->out_n = 0;
    if (d->begun)
        d->rc = sasl_server_step(d->connection, d->message.p, n, &d->out, &d->out_n);
    else
        d->rc = sasl_server_start(d->connection, d->mechanism, d->message.p, n, &d->out, &d->out_n);
    d->begun = true;
    if (n)
        login_forget((char *)d->message.p, n);
}

static void dialogue_free(void *context)
{
    struct dialogue *d = context;

    if (d->connection)
        sasl_dispose(&d->connection);
    arena_free(d->arena);
}

static enum login_status run(struct exchange *x, struct login_reply *reply)
{
    struct cyrus *s = x->cyrus;
    struct why why = {0};
    enum rc rc =
        patience_call(s->patience, dialogue_step, dialogue_free, x->dialogue, s->timeout_ms, &why);

    if (rc == RC_OK)
        return judge(x, reply);
    if (rc == RC_TIMEOUT)
        x->dialogue = NULL;
    reply->reason = STR(LOGIN_SERVER_LOST);
    reply->detail = arena_printf(x->arena, "Cyrus SASL: %s; is saslauthd well?", why.text);
    return LOGIN_TROUBLE;
}

static enum login_status cyrus_step(void *exchange, struct str response, struct login_reply *reply)
{
    struct exchange *x = exchange;
    struct dialogue *d = x->dialogue;

    if (login_decode(d->arena, response, response.n, &d->message, NULL) != RC_OK)
        return LOGIN_MALFORMED;
    if (d->mechanism)
        return run(x, reply);
    reply->username = property(x, SASL_USERNAME);
    return d->message.n == 0 ? LOGIN_OK : LOGIN_MALFORMED;
}

static enum login_status cyrus_begin(void *state, const struct login_peer *peer, struct arena *a,
                                     struct str mechanism, struct str initial, void **exchange,
                                     struct login_reply *reply)
{
    struct exchange *x = arena_new_of(a, struct exchange);
    struct arena *own = arena_new(1024);
    struct why why;

    *x = (struct exchange){a, state, arena_new_of(own, struct dialogue)};
    x->dialogue->arena = own;
    x->dialogue->mechanism = arena_text(own, mechanism);
    *exchange = x;
    if (new_connection(state, peer, own, &x->dialogue->connection, &why) != RC_OK) {
        reply->reason = arena_copy(a, str_of(why.text));
        return LOGIN_TROUBLE;
    }
    return initial.p ? cyrus_step(x, initial, reply) : run(x, reply);
}

static void cyrus_end(void *exchange)
{
    struct exchange *x = exchange;

    if (x->dialogue)
        dialogue_free(x->dialogue);
}

/* ---- life ---- */

static enum rc cyrus_open(const struct login_server_options *o, void **state, struct why *why)
{
    struct arena *a = arena_new(1024);
    struct cyrus *s = arena_new_of(a, struct cyrus);
    int rc;

    s->arena = a;
    s->log = o->log;
    s->timeout_ms = o->timeout_ms ? o->timeout_ms : ANSWER_MS;
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
    s->patience = patience_new(STUCK_MAX);
    *state = s;
    return RC_OK;
}

static void cyrus_close(void *state)
{
    struct cyrus *s = state;

    if (!patience_free(s->patience)) /* the process ends; a thread is still in the library */
        return;
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
