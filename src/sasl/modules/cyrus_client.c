/*
 * Cyrus SASL, client side. The library is set up once per process, before the privileges are
 * dropped, for its plug-ins are found then; it gets locks, because sessions are threads.
 */
#include <pthread.h>
#include <sasl/sasl.h>
#include <stdlib.h>

#include "sasl/client.h"
#include "table/driver.h"
#include "util/memory.h"

enum { OUTPUT_MAX = 12288 };

/* The library wants them all as one type. */
#define CALLBACK(f) ((int (*)(void))(void (*)(void))(f))

struct cyrus {
    const struct log *log;
    sasl_callback_t callbacks[2];
};

struct cyrus_attempt {
    sasl_conn_t *conn;
    struct arena *arena;
    const struct login_account *account;
    sasl_secret_t *secret;
    sasl_callback_t callbacks[4];
};

/* ---- locks ---- */

static void *lock_new(void)
{
    pthread_mutex_t *m = NEW(pthread_mutex_t);

    pthread_mutex_init(m, NULL);
    return m;
}

static int lock_take(void *m)
{
    return pthread_mutex_lock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static int lock_give(void *m)
{
    return pthread_mutex_unlock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static void lock_free(void *m)
{
    pthread_mutex_destroy(m);
    free(m);
}

/* ---- what the library asks ---- */

/* Its talk below "failure" can hold parts of the dialogue. */
static int say(void *context, int level, const char *text)
{
    const struct cyrus *c = context;

    if (level == SASL_LOG_ERR)
        log_warning(c->log, "SASL authentication problem: %s", text);
    else if (level == SASL_LOG_FAIL || level == SASL_LOG_WARN)
        log_warning(c->log, "SASL authentication failure: %s", text);
    return SASL_OK;
}

static int tell_name(void *context, int id, const char **name, unsigned *n)
{
    const struct cyrus_attempt *t = context;
    struct str text = t->account->username;

    if (id == SASL_CB_USER && !t->account->send_authzid)
        text = STR("");
    *name = text.p;
    if (n)
        *n = (unsigned)text.n;
    return SASL_OK;
}

static int tell_secret(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
    struct cyrus_attempt *t = context;

    (void)conn;
    (void)id;
    *secret = t->secret;
    return SASL_OK;
}

/* ---- the back end ---- */

static enum rc cyrus_open(const struct login_client_options *o, void **state, struct why *why)
{
    struct cyrus *c = NEW(struct cyrus);
    int result;

    c->log = o->log;
    c->callbacks[0] = (sasl_callback_t){SASL_CB_LOG, CALLBACK(say), c};
    c->callbacks[1] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
    sasl_set_mutex(lock_new, lock_take, lock_give, lock_free);
    result = sasl_client_init(c->callbacks);
    if (result != SASL_OK) {
        free(c);
        return FAIL(why, RC_CONFIG, "SASL library initialization: %s",
                    sasl_errstring(result, NULL, NULL));
    }
    *state = c;
    return RC_OK;
}

static const struct {
    enum login_security ours;
    unsigned theirs;
} security_bits[] = {
    {LOGIN_NOPLAINTEXT, SASL_SEC_NOPLAINTEXT},         {LOGIN_NOACTIVE, SASL_SEC_NOACTIVE},
    {LOGIN_NODICTIONARY, SASL_SEC_NODICTIONARY},       {LOGIN_NOANONYMOUS, SASL_SEC_NOANONYMOUS},
    {LOGIN_FORWARD_SECRECY, SASL_SEC_FORWARD_SECRECY}, {LOGIN_MUTUAL_AUTH, SASL_SEC_MUTUAL_AUTH},
};

static sasl_security_properties_t properties(unsigned security)
{
    sasl_security_properties_t p = {.min_ssf = 0, .max_ssf = 0}; /* no layer of its own */

    for (size_t i = 0; i < sizeof security_bits / sizeof *security_bits; i++)
        if (security & security_bits[i].ours)
            p.security_flags |= security_bits[i].theirs;
    return p;
}

static void forget(void *context)
{
    struct cyrus_attempt *t = context;

    if (t->conn)
        sasl_dispose(&t->conn);
    explicit_bzero(t->secret->data, t->secret->len);
    free(t->secret);
    t->secret = NULL;
}

static struct cyrus_attempt *attempt_new(const struct login_account *account, struct arena *a)
{
    struct cyrus_attempt *t = arena_new_of(a, struct cyrus_attempt);
    struct login_account *copy = arena_new_of(a, struct login_account);

    *copy = *account;
    copy->username = arena_copy(a, account->username);
    t->arena = a;
    t->account = copy;
    t->secret = memory_new(sizeof(sasl_secret_t) + account->password.n + 1);
    t->secret->len = account->password.n;
    if (account->password.n)
        memcpy(t->secret->data, account->password.p, account->password.n);
    t->callbacks[0] = (sasl_callback_t){SASL_CB_USER, CALLBACK(tell_name), t};
    t->callbacks[1] = (sasl_callback_t){SASL_CB_AUTHNAME, CALLBACK(tell_name), t};
    t->callbacks[2] = (sasl_callback_t){SASL_CB_PASS, CALLBACK(tell_secret), t};
    t->callbacks[3] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
    arena_defer(a, forget, t);
    return t;
}

/* What the library returned, and its output; initial: without output there is no response at all.
 */
static enum login_status result_of(struct cyrus_attempt *t, int result, const char *out, unsigned n,
                                   bool initial, struct login_reply *reply)
{
    if (result != SASL_OK && result != SASL_CONTINUE) {
        reply->reason = arena_copy(t->arena, str_of(sasl_errstring(result, NULL, NULL)));
        return result == SASL_BADPROT ? LOGIN_MALFORMED
               : result == SASL_NOMEM ? LOGIN_TROUBLE
                                      : LOGIN_FAILED;
    }
    if (n > OUTPUT_MAX) {
        reply->reason = STR("a response that is too long");
        return LOGIN_FAILED;
    }
    if (out || !initial)
        reply->text = login_encode(t->arena, (struct str){out ? out : "", n});
    return !initial && result == SASL_OK ? LOGIN_OK : LOGIN_MORE;
}

static enum login_status cyrus_begin(void *state, const struct login_account *account,
                                     struct arena *a, void **attempt, struct login_reply *reply)
{
    struct cyrus_attempt *t = attempt_new(account, a);
    sasl_security_properties_t p = properties(account->security);
    const char *out = NULL, *mechanism = NULL;
    unsigned n = 0;
    int result;

    (void)state;
    *attempt = t;
    result = sasl_client_new(arena_text(a, account->service), arena_text(a, account->server), NULL,
                             NULL, t->callbacks, 0, &t->conn);
    if (result == SASL_OK)
        result = sasl_setprop(t->conn, SASL_SEC_PROPS, &p);
    if (result != SASL_OK) {
        reply->reason = arena_copy(a, str_of(sasl_errstring(result, NULL, NULL)));
        return LOGIN_TROUBLE;
    }
    result =
        sasl_client_start(t->conn, arena_text(a, account->mechanisms), NULL, &out, &n, &mechanism);
    if (mechanism)
        reply->mechanism = arena_copy(a, str_of(mechanism));
    if (result == SASL_NOMECH) {
        reply->reason = STR("no mechanism available");
        return LOGIN_FAILED;
    }
    return result_of(t, result, out, n, true, reply);
}

static enum login_status cyrus_step(void *attempt, struct str challenge, struct login_reply *reply)
{
    struct cyrus_attempt *t = attempt;
    struct str bytes;
    const char *out = NULL;
    struct why why;
    unsigned n = 0;
    int result;

    if (login_decode(t->arena, challenge, OUTPUT_MAX, &bytes, &why) != RC_OK) {
        reply->reason = arena_printf(t->arena, "%s in the challenge", why.text);
        return LOGIN_MALFORMED;
    }
    result = sasl_client_step(t->conn, bytes.p, (unsigned)bytes.n, NULL, &out, &n);
    return result_of(t, result, out, n, false, reply);
}

static void cyrus_end(void *attempt)
{
    struct cyrus_attempt *t = attempt;

    arena_undefer(t->arena, forget, t);
    forget(t);
}

MODULE_EXPORT const struct login_client_type login_client_type_cyrus;
const struct login_client_type login_client_type_cyrus = {
    .name = "cyrus",
    .open = cyrus_open,
    .begin = cyrus_begin,
    .step = cyrus_step,
    .end = cyrus_end,
};
