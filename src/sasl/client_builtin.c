#include "sasl/client_builtin.h"

#include <stdio.h>
#include <stdlib.h>

#include "sasl/prep.h"

#ifdef HAVE_OPENSSL
#    include <openssl/evp.h>
#    include <openssl/hmac.h>
#endif

#include "sasl/prep.h"
#include "util/buf.h"

static enum login_status more(struct exchange *e, struct login_reply *reply, struct str bytes)
{
    reply->text = login_encode(e->arena, bytes);
    return LOGIN_MORE;
}

static enum login_status no_more(struct exchange *e, struct str challenge,
                                 struct login_reply *reply)
{
    (void)challenge;
    reply->reason =
        arena_printf(e->arena, "a challenge too many for mechanism %s", e->mechanism->name);
    return LOGIN_MALFORMED;
}

static enum login_status plain_begin(struct exchange *e, struct login_reply *reply)
{
    const struct login_account *who = &e->account;
    struct buf b;
    enum login_status status;

    buf_init(&b, LOGIN_CHALLENGE_MAX);
    if (who->send_authzid)
        buf_add(&b, who->username);
    buf_addc(&b, '\0');
    buf_add(&b, who->username);
    buf_addc(&b, '\0');
    buf_add(&b, who->password);
    status = more(e, reply, buf_str(&b));
    login_forget(b.p, b.n);
    buf_done(&b);
    return status;
}

static enum login_status server_first(struct exchange *e, struct login_reply *reply)
{
    (void)e;
    (void)reply;
    return LOGIN_MORE;
}

/* Servers disagree about the words of the two questions; their order is what counts. */
static enum login_status login_step(struct exchange *e, struct str challenge,
                                    struct login_reply *reply)
{
    if (e->step > 1)
        return no_more(e, challenge, reply);
    return more(e, reply, e->step == 0 ? e->account.username : e->account.password);
}

#ifdef HAVE_OPENSSL
/* RFC 2195: the name, and the keyed MD5 of the challenge in hexadecimal. */
static enum login_status cram_step(struct exchange *e, struct str challenge,
                                   struct login_reply *reply)
{
    const struct login_account *who = &e->account;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned n = 0;

    if (e->step > 0)
        return no_more(e, challenge, reply);
    if (HMAC(EVP_md5(), who->password.p, (int)who->password.n, (const unsigned char *)challenge.p,
             challenge.n, digest, &n) == NULL) {
        reply->reason = STR("MD5 is not available on this machine");
        return LOGIN_FAILED;
    }
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
    return more(e, reply, arena_printf(e->arena, STR_FMT " %s", STR_ARG(who->username), hex));
}
#endif

static enum login_status xoauth2_begin(struct exchange *e, struct login_reply *reply)
{
    const struct login_account *who = &e->account;

    return more(e, reply,
                arena_printf(e->arena, "user=" STR_FMT "\001auth=Bearer " STR_FMT "\001\001",
                             STR_ARG(who->username), STR_ARG(who->password)));
}

/* RFC 7628 3.1; the name as RFC 5801 4 writes it. */
static enum login_status oauthbearer_begin(struct exchange *e, struct login_reply *reply)
{
    const struct login_account *who = &e->account;
    struct buf b;
    enum login_status status;

    buf_init(&b, LOGIN_CHALLENGE_MAX);
    buf_add(&b, STR("n,a="));
    for (size_t i = 0; i < who->username.n; i++)
        if (who->username.p[i] == ',')
            buf_add(&b, STR("=2C"));
        else if (who->username.p[i] == '=')
            buf_add(&b, STR("=3D"));
        else
            buf_addc(&b, who->username.p[i]);
    buf_addf(&b, ",\001host=" STR_FMT, STR_ARG(who->server));
    if (who->port)
        buf_addf(&b, "\001port=%u", who->port);
    buf_addf(&b, "\001auth=Bearer " STR_FMT "\001\001", STR_ARG(who->password));
    status = more(e, reply, buf_str(&b));
    login_forget(b.p, b.n);
    buf_done(&b);
    return status;
}

/* The only challenge is a report of failure; it must be answered before the refusal comes. */
static enum login_status oauth_step(struct exchange *e, struct str challenge,
                                    struct login_reply *reply)
{
    bool xoauth2 = e->mechanism->name[0] == 'X';

    if (e->step > 0)
        return no_more(e, challenge, reply);
    return more(e, reply, xoauth2 ? STR("") : STR("\001"));
}

/* Best first. */
static const struct mechanism all[] = {
#ifdef HAVE_OPENSSL
    {"SCRAM-SHA-256-PLUS", false, true, scram_client_begin, scram_client_step},
    {"SCRAM-SHA-256", false, false, scram_client_begin, scram_client_step},
    {"CRAM-MD5", false, false, server_first, cram_step},
#endif
    {"PLAIN", false, false, plain_begin, no_more},
    {"LOGIN", false, false, server_first, login_step},
    {"OAUTHBEARER", true, false, oauthbearer_begin, oauth_step},
    {"XOAUTH2", true, false, xoauth2_begin, oauth_step},
};

static enum rc builtin_open(const struct login_client_options *o, void **state, struct why *why)
{
    (void)o;
    (void)why;
    prep_load();
    *state = NULL;
    return RC_OK;
}

/* A token is as good as a password to whoever reads the line. */
static bool may_use(const struct mechanism *m, const struct login_account *account, struct arena *a)
{
    if (m->for_token != account->is_token || !login_offers(account->mechanisms, m->name))
        return false;
    if (m->binds && !scram_client_can_bind(account, a))
        return false;
    return m->for_token ? (account->security & LOGIN_NOPLAINTEXT) == 0
                        : login_mechanism_is_safe(str_of(m->name), account->security);
}

static enum login_status builtin_begin(void *state, const struct login_account *account,
                                       struct arena *a, void **attempt, struct login_reply *reply)
{
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct exchange *e;
        if (!may_use(&all[i], account, a))
            continue;
        e = arena_new_of(a, struct exchange);
        *e = (struct exchange){.mechanism = &all[i], .arena = a, .account = *account};
        *attempt = e;
        reply->mechanism = str_of(all[i].name);
        return all[i].begin(e, reply);
    }
    reply->reason = account->is_token ? STR("no mechanism for tokens available")
                                      : STR("no mechanism available");
    return LOGIN_FAILED;
}

static enum login_status builtin_step(void *attempt, struct str challenge,
                                      struct login_reply *reply)
{
    struct exchange *e = attempt;
    enum login_status status;
    struct str bytes;
    struct why why;

    if (login_decode(e->arena, challenge, LOGIN_CHALLENGE_MAX, &bytes, &why) != RC_OK) {
        reply->reason = arena_printf(e->arena, "%s in the challenge", why.text);
        return LOGIN_MALFORMED;
    }
    status = e->mechanism->step(e, bytes, reply);
    e->step++;
    return status;
}

static void builtin_end(void *attempt)
{
    (void)attempt;
}

const struct login_client_type login_client_builtin = {
    .name = "builtin",
    .open = builtin_open,
    .begin = builtin_begin,
    .step = builtin_step,
    .end = builtin_end,
};
