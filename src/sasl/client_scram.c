#include "sasl/client_builtin.h"
#include "sasl/prep.h"

#ifdef HAVE_OPENSSL
#    include <openssl/evp.h>
#    include <openssl/hmac.h>
#    include <openssl/rand.h>

enum { DIGEST = 32, NONCE_BYTES = 18, ROUNDS_MIN = 4096, ROUNDS_MAX = 1000000 };

struct scram_client {
    struct str gs2;            /* header: "n,,", or with channel binding */
    struct str bound;          /* header and the data of the channel */
    struct str first;          /* client-first-message-bare */
    struct str nonce;          /* ours */
    unsigned char key[DIGEST]; /* ServerKey */
    struct str transcript;     /* AuthMessage */
};

/* tls-unique says nothing under TLS 1.3, and tls-exporter is new: the one that fits is the one that
 * servers of that age know. */
static bool find_binding(const struct login_account *account, struct arena *a, const char **type,
                         struct str *data)
{
    static const char *const types[] = {"tls-unique", "tls-exporter"};

    for (size_t i = 0; account->channel && i < sizeof types / sizeof *types; i++)
        if (account->channel(account->channel_session, types[i], a, data) == RC_OK) {
            *type = types[i];
            return true;
        }
    return false;
}

bool scram_client_can_bind(const struct login_account *account, struct arena *a)
{
    const char *type;
    struct str data;

    return find_binding(account, a, &type, &data);
}

static void bind_to_channel(struct exchange *e, struct scram_client *c)
{
    const char *type;
    struct str data;

    c->gs2 = c->bound = STR("n,,");
    if (!e->mechanism->binds || !find_binding(&e->account, e->arena, &type, &data))
        return;
    c->gs2 = arena_printf(e->arena, "p=%s,,", type);
    c->bound = arena_join(e->arena, c->gs2, data);
}

/* Blanks are not in base64, and neither is a comma. */
enum login_status scram_client_begin(struct exchange *e, struct login_reply *reply)
{
    const struct login_account *who = &e->account;
    struct scram_client *c = e->scram = arena_new_of(e->arena, struct scram_client);
    unsigned char random[NONCE_BYTES];
    char *name = arena_alloc(e->arena, who->username.n * 3 + 1), *to = name;

    if (RAND_bytes(random, sizeof random) != 1) {
        reply->reason = STR("no random numbers");
        return LOGIN_TROUBLE;
    }
    for (size_t i = 0; i < who->username.n; i++) {
        char byte = who->username.p[i];
        if (byte == ',' || byte == '=') {
            memcpy(to, byte == ',' ? "=2C" : "=3D", 3);
            to += 3;
        } else {
            *to++ = byte;
        }
    }
    c->nonce = login_encode(e->arena, (struct str){(const char *)random, sizeof random});
    c->first = arena_printf(e->arena, "n=%s,r=" STR_FMT, name, STR_ARG(c->nonce));
    bind_to_channel(e, c);
    reply->text = login_encode(e->arena, arena_join(e->arena, c->gs2, c->first));
    return LOGIN_MORE;
}

static enum login_status malformed(struct login_reply *reply, struct str words)
{
    reply->reason = words;
    return LOGIN_MALFORMED;
}

static void sign(const unsigned char key[DIGEST], struct str text, unsigned char out[DIGEST])
{
    unsigned n = DIGEST;

    HMAC(EVP_sha256(), key, DIGEST, (const unsigned char *)text.p, text.n, out, &n);
}

/* "x=value" as the next attribute; false when it is another one. */
static bool attribute(struct str *rest, char name, struct str *value)
{
    struct str item = str_cut(rest, ',');

    if (item.n < 2 || item.p[0] != name || item.p[1] != '=')
        return false;
    *value = str_from(item, 2);
    return true;
}

/* server-first-message in, client-final-message out. */
static enum login_status prove(struct exchange *e, struct str challenge, struct login_reply *reply)
{
    struct scram_client *c = e->scram;
    struct str rest = challenge, nonce, salt_text, salt, rounds_text, final;
    struct str password = prep_password(e->account.password, e->arena);
    unsigned char salted[DIGEST], client[DIGEST], stored[DIGEST], signature[DIGEST];
    unsigned n = DIGEST;
    long rounds;

    if (!attribute(&rest, 'r', &nonce) || !attribute(&rest, 's', &salt_text) ||
        !attribute(&rest, 'i', &rounds_text) || nonce.n <= c->nonce.n ||
        !str_has_prefix(nonce, c->nonce) ||
        login_decode(e->arena, salt_text, 1024, &salt, NULL) != RC_OK)
        return malformed(reply, STR("malformed challenge of SCRAM-SHA-256"));
    if (!str_to_long(rounds_text, ROUNDS_MIN, ROUNDS_MAX, &rounds))
        return malformed(reply, STR("SCRAM-SHA-256 with too few or too many rounds"));
    if (!PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p, (int)salt.n,
                           (int)rounds, EVP_sha256(), DIGEST, salted)) {
        reply->reason = STR("PBKDF2 is not available on this machine");
        return LOGIN_TROUBLE;
    }
    sign(salted, STR("Client Key"), client);
    sign(salted, STR("Server Key"), c->key);
    EVP_Digest(client, DIGEST, stored, &n, EVP_sha256(), NULL);
    final = arena_printf(e->arena, "c=" STR_FMT ",r=" STR_FMT,
                         STR_ARG(login_encode(e->arena, c->bound)), STR_ARG(nonce));
    c->transcript = arena_printf(e->arena, STR_FMT "," STR_FMT "," STR_FMT, STR_ARG(c->first),
                                 STR_ARG(challenge), STR_ARG(final));
    sign(stored, c->transcript, signature);
    for (int i = 0; i < DIGEST; i++)
        client[i] ^= signature[i];
    final =
        arena_printf(e->arena, STR_FMT ",p=" STR_FMT, STR_ARG(final),
                     STR_ARG(login_encode(e->arena, (struct str){(const char *)client, DIGEST})));
    reply->text = login_encode(e->arena, final);
    login_forget(salted, sizeof salted);
    if (password.p != e->account.password.p)
        login_forget((char *)password.p, password.n);
    return LOGIN_MORE;
}

/* server-final-message: does the server know the password? */
static enum login_status check(struct exchange *e, struct str challenge, struct login_reply *reply)
{
    struct str rest = challenge, text, got;
    unsigned char want[DIGEST];

    if (str_has_prefix(challenge, STR("e="))) {
        reply->text = STR("");
        return LOGIN_MORE; /* the refusal follows */
    }
    if (!attribute(&rest, 'v', &text) || login_decode(e->arena, text, DIGEST, &got, NULL) != RC_OK)
        return malformed(reply, STR("malformed last challenge of SCRAM-SHA-256"));
    sign(e->scram->key, e->scram->transcript, want);
    if (!login_same_secret(got, (struct str){(const char *)want, DIGEST})) {
        reply->reason = STR("the server does not know the password");
        return LOGIN_FAILED;
    }
    reply->text = STR("");
    return LOGIN_OK;
}

enum login_status scram_client_step(struct exchange *e, struct str challenge,
                                    struct login_reply *reply)
{
    switch (e->step) {
    case 0: return prove(e, challenge, reply);
    case 1: return check(e, challenge, reply);
    default: return malformed(reply, STR("a challenge too many for mechanism SCRAM-SHA-256"));
    }
}
#else
bool scram_client_can_bind(const struct login_account *account, struct arena *a)
{
    (void)account, (void)a;
    return false;
}
#endif
