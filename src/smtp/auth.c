#include "smtp/auth.h"

#include "sasl/client.h"
#include "smtp/reports.h"

enum {
    COMMAND_MAX = 512, /* RFC 4954 4: a longer initial response waits for an empty challenge */
    CHALLENGES_MAX = 20
};

struct exchange {
    struct attempt *at;
    struct session *s;
    struct account who;
    struct login_attempt *login;
    struct login_reply reply;
    enum login_status status;
};

static bool failed(struct attempt *at, struct dsn *dsn)
{
    if (dsn->status.p[0] == '5' && at->smtp->set.sasl_auth_soft_bounce)
        dsn->status = arena_printf(at->arena, "4" STR_FMT, STR_ARG(str_from(dsn->status, 1)));
    attempt_site(at, dsn);
    return false;
}

static bool cannot(struct exchange *e)
{
    struct dsn dsn = dsn_local(
        e->at, "4.7.0", "SASL authentication failed; cannot authenticate to server %s: " STR_FMT,
        e->s->where, STR_ARG(e->reply.reason.n ? e->reply.reason : STR("login failed")));

    return failed(e->at, &dsn);
}

/* What the server offers and the administrator wants. */
static enum rc filter(struct attempt *at, struct str offered, struct str *kept, struct why *why)
{
    struct match_list *list = at->smtp->authentication->mechanisms;
    struct str name;
    struct buf b;
    enum rc rc = RC_OK;

    *kept = offered;
    if (match_empty(list))
        return RC_OK;
    buf_init(&b, sizeof((struct wire_features *)0)->auth);
    while (rc != RC_TEMP && str_token(&offered, " \t", &name)) {
        rc = match_get(list, name, why);
        if (rc == RC_OK)
            buf_addf(&b, "%s" STR_FMT, b.n ? " " : "", STR_ARG(name));
    }
    *kept = arena_copy(at->arena, buf_str(&b));
    buf_done(&b);
    return rc == RC_TEMP ? RC_TEMP : RC_OK;
}

static unsigned security_of(const struct session *s)
{
    const struct authentication *auth = s->smtp->authentication;

    if (s->tls == NULL)
        return auth->in_clear;
    return s->name_matched ? auth->with_verified : auth->with_tls;
}

static enum rc converse(struct exchange *e, struct wire_client_reply *reply)
{
    session_limit(e->s, e->at->smtp->set.helo_timeout, 0);
    return session_read(e->s, reply);
}

/* "AUTH mechanism [initial response]"; *waiting: the response that did not fit. */
static void say_auth(struct exchange *e, struct str *waiting)
{
    struct stream *stream = &e->s->wire.stream;
    struct str initial = e->reply.text;

    *waiting = STR_NONE;
    if (initial.p == NULL) {
        stream_putf(stream, "AUTH " STR_FMT "\r\n", STR_ARG(e->reply.mechanism));
    } else if (e->reply.mechanism.n + initial.n + 8 > COMMAND_MAX) {
        stream_putf(stream, "AUTH " STR_FMT "\r\n", STR_ARG(e->reply.mechanism));
        *waiting = initial;
    } else {
        stream_putf(stream, "AUTH " STR_FMT " " STR_FMT "\r\n", STR_ARG(e->reply.mechanism),
                    STR_ARG(initial.n ? initial : STR("=")));
    }
}

/* We have had enough: RFC 4954 4. */
static bool cancel(struct exchange *e, struct dsn *dsn)
{
    struct wire_client_reply reply;

    stream_put(&e->s->wire.stream, STR("*\r\n"));
    if (converse(e, &reply) != RC_OK)
        e->s->broken = true;
    return failed(e->at, dsn);
}

/* Responses may be longer than stream_putf() formats. */
static void say(struct exchange *e, struct str line)
{
    stream_put(&e->s->wire.stream, line);
    stream_put(&e->s->wire.stream, STR("\r\n"));
}

static bool lost(struct exchange *e, enum rc rc)
{
    attempt_lost(e->at, e->s, rc,
                 e->at->smtp->lmtp ? "performing the LHLO handshake"
                                   : "performing the EHLO handshake");
    return false;
}

static struct str challenge_of(const struct wire_client_reply *reply)
{
    struct str rest = reply->text;

    return str_trim(str_from(str_cut(&rest, '\n'), 4));
}

/* One challenge. False: it is over, and that was recorded. */
static bool respond(struct exchange *e, struct str challenge, struct str *waiting)
{
    struct attempt *at = e->at;
    struct dsn dsn;

    if (waiting->p) {
        if (challenge.n) {
            dsn = dsn_local(at, "4.7.0",
                            "SASL authentication failed; non-empty initial " STR_FMT
                            " challenge from server %s: " STR_FMT,
                            STR_ARG(e->reply.mechanism), e->s->where, STR_ARG(challenge));
            return cancel(e, &dsn);
        }
        say(e, *waiting);
        *waiting = STR_NONE;
        return true;
    }
    e->status = login_client_step(e->login, challenge, &e->reply);
    if (e->status != LOGIN_OK && e->status != LOGIN_MORE) {
        dsn = dsn_local(
            at, "4.7.0", "SASL authentication failed; cannot authenticate to server %s: " STR_FMT,
            e->s->where, STR_ARG(e->reply.reason.n ? e->reply.reason : STR("login failed")));
        return cancel(e, &dsn);
    }
    say(e, e->reply.text);
    return true;
}

/* The server has the last word, unless it had to prove that it knows the password. */
static bool judge(struct exchange *e, const struct wire_client_reply *reply)
{
    struct attempt *at = e->at;
    struct dsn dsn;

    reports_auth(e->s, e->who.username, reply->code / 100 == 2);
    if (reply->code / 100 == 2) {
        if (e->status == LOGIN_OK || !(security_of(e->s) & LOGIN_MUTUAL_AUTH))
            return true;
        e->reply.reason = STR("the server has not shown that it knows the password");
        return cannot(e);
    }
    dsn = dsn_remote(at, e->s, reply, "SASL authentication failed; server %s said: %s", e->s->where,
                     reply_words(at, reply));
    if (reply->code / 100 == 5)
        auth_failure_keep(at, e->s, &e->who, &dsn, reply_words(at, reply));
    return failed(at, &dsn);
}

static bool exchange(struct exchange *e)
{
    struct wire_client_reply reply;
    struct str waiting;
    struct dsn dsn;
    enum rc rc;

    say_auth(e, &waiting);
    for (int i = 0; i < CHALLENGES_MAX; i++) {
        rc = converse(e, &reply);
        if (rc != RC_OK)
            return lost(e, rc);
        if (reply.code / 100 != 3)
            return judge(e, &reply);
        if (!respond(e, challenge_of(&reply), &waiting))
            return false;
    }
    dsn = dsn_local(e->at, "4.7.0",
                    "SASL authentication failed; authentication protocol loop with server %s",
                    e->s->where);
    e->s->broken = true;
    return failed(e->at, &dsn);
}

static enum rc channel_of(const void *session, const char *type, struct arena *a, struct str *data)
{
    return tls_channel_data(session, type, a, data);
}

static bool login(struct exchange *e, struct str mechanisms)
{
    struct login_account account = {
        .service = e->at->smtp->lmtp ? STR("lmtp") : STR("smtp"),
        .server = str_of(e->s->host),
        .username = e->who.username,
        .password = e->who.password,
        .is_token = e->who.is_token,
        .mechanisms = mechanisms,
        .security = security_of(e->s),
        .send_authzid = e->at->smtp->config->send_cyrus_sasl_authzid,
        .port = addr_port(&e->s->address),
        .channel = e->s->tls ? channel_of : NULL,
        .channel_session = e->s->tls,
    };
    bool done;

    e->status = login_client_begin(e->at->smtp->authentication->client, &account, e->at->arena,
                                   &e->login, &e->reply);
    done = e->status == LOGIN_MORE ? exchange(e) : cannot(e);
    login_client_end(e->login);
    return done;
}

static bool no_mechanism(struct attempt *at, const struct session *s)
{
    struct dsn dsn =
        dsn_local(at, "4.7.0",
                  "SASL authentication failed: server %s offered no compatible authentication "
                  "mechanisms for this type of connection security",
                  s->where);

    if (s->features.auth[0])
        log_warning(&s->smtp->log, "%s offered no supported AUTH mechanisms: '%s'", s->relay,
                    s->features.auth);
    else
        log_warning(&s->smtp->log, "%s offered null AUTH mechanism list", s->relay);
    return failed(at, &dsn);
}

static bool table_failed(struct attempt *at, const char *parameter, const struct why *why)
{
    struct dsn dsn = dsn_local(at, "4.3.0", "%s_sasl_%s lookup error",
                               at->smtp->lmtp ? "lmtp" : "smtp", parameter);

    log_warning(&at->d->log, STR_FMT ": %s", STR_ARG(dsn.reason), why->text);
    attempt_site(at, &dsn);
    return false;
}

bool auth_choose(struct attempt *at, const struct nexthop *hop)
{
    struct str value = STR("");
    struct why why = {0};

    at->login_key = STR("");
    if (at->smtp->authentication == NULL)
        return true;
    if (account_of_sender(at, &value, &why) == RC_TEMP)
        return table_failed(at, "password_maps", &why);
    at->login_key =
        arena_printf(at->arena, STR_FMT "\n" STR_FMT, STR_ARG(hop->text), STR_ARG(value));
    return true;
}

bool auth_session(struct attempt *at, struct session *s)
{
    struct exchange e = {.at = at, .s = s};
    bool offered = s->features.bits & FEATURE_AUTH;
    struct str mechanisms;
    struct why why = {0};
    struct dsn dsn;
    enum rc rc;

    s->features.bits &= ~(unsigned)FEATURE_AUTH; /* until we have logged in */
    if (at->smtp->authentication == NULL || !offered)
        return true;
    rc = account_find(at, str_of(s->host), s->key, &e.who, &why);
    if (rc == RC_NONE)
        return true;
    if (rc != RC_OK)
        return table_failed(at, rc == RC_PERM ? "oauth2_token" : "password_maps", &why);
    if (filter(at, str_of(s->features.auth), &mechanisms, &why) != RC_OK)
        return table_failed(at, "mechanism_filter", &why);
    if (mechanisms.n == 0)
        return no_mechanism(at, s);
    if (auth_failure_find(at, s, &e.who, &dsn))
        return failed(at, &dsn);
    if (!login(&e, mechanisms))
        return false;
    s->features.bits |= FEATURE_AUTH;
    return true;
}
