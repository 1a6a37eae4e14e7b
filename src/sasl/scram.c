#include "sasl/scram.h"

#include <limits.h>
#ifdef HAVE_OPENSSL
#    include <openssl/evp.h>
#    include <openssl/hmac.h>
#    include <openssl/sha.h>
#endif

#include "util/buf.h"

enum { ITERATIONS_MIN = 4096, ITERATIONS_MAX = 10000000, MESSAGE_MAX = 4096 };

/* ---- arithmetic ---- */

#ifdef HAVE_OPENSSL
static void hmac(const unsigned char *key, size_t n, struct str text, unsigned char out[SCRAM_KEY])
{
    unsigned got = SCRAM_KEY;

    HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)text.p, text.n, out, &got);
}

static void sha256(const unsigned char in[SCRAM_KEY], unsigned char out[SCRAM_KEY])
{
    SHA256(in, SCRAM_KEY, out);
}

static bool pbkdf2(struct str password, struct str salt, long iterations,
                   unsigned char out[SCRAM_KEY])
{
    return PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p,
                             (int)salt.n, (int)iterations, EVP_sha256(), SCRAM_KEY, out) == 1;
}
#else
static void hmac(const unsigned char *key, size_t n, struct str text, unsigned char out[SCRAM_KEY])
{
    (void)key, (void)n, (void)text;
    memset(out, 0, SCRAM_KEY);
}

static void sha256(const unsigned char in[SCRAM_KEY], unsigned char out[SCRAM_KEY])
{
    (void)in;
    memset(out, 0, SCRAM_KEY);
}

static bool pbkdf2(struct str password, struct str salt, long iterations,
                   unsigned char out[SCRAM_KEY])
{
    (void)password, (void)salt, (void)iterations;
    memset(out, 0, SCRAM_KEY);
    return false;
}
#endif

static struct str bytes_of(const unsigned char key[SCRAM_KEY])
{
    return (struct str){(const char *)key, SCRAM_KEY};
}

/* ---- verifiers ---- */

static enum rc decode_into(struct arena *a, struct str text, unsigned char *out, size_t max,
                           size_t *n)
{
    struct str bytes;

    TRY(login_decode(a, text, max, &bytes, NULL));
    memcpy(out, bytes.p, bytes.n);
    *n = bytes.n;
    return RC_OK;
}

enum rc scram_verifier_parse(struct str text, struct scram_verifier *out, struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    struct scram_verifier v = {0};
    struct str rest = text, name = str_cut(&rest, '$'), iterations, salt, stored;
    size_t stored_n = 0, server_n = 0;

    iterations = str_cut(&rest, ':');
    salt = str_cut(&rest, '$');
    stored = str_cut(&rest, ':');
    if (!str_eq_nocase(name, STR(SCRAM_NAME)) || rest.p == NULL ||
        !str_to_long(iterations, 1, ITERATIONS_MAX, &v.iterations) ||
        decode_into(a, salt, v.salt, sizeof v.salt, &v.salt_n) != RC_OK || v.salt_n == 0 ||
        decode_into(a, stored, v.stored_key, SCRAM_KEY, &stored_n) != RC_OK ||
        decode_into(a, rest, v.server_key, SCRAM_KEY, &server_n) != RC_OK ||
        stored_n != SCRAM_KEY || server_n != SCRAM_KEY)
        return FAIL(why, RC_PERM, "malformed " SCRAM_NAME " verifier");
    *out = v;
    return RC_OK;
}

struct str scram_verifier_text(const struct scram_verifier *v, struct arena *a)
{
    struct str salt = login_encode(a, (struct str){(const char *)v->salt, v->salt_n});
    struct str stored = login_encode(a, bytes_of(v->stored_key));
    struct str server = login_encode(a, bytes_of(v->server_key));

    return arena_printf(a, SCRAM_NAME "$%ld:" STR_FMT "$" STR_FMT ":" STR_FMT, v->iterations,
                        STR_ARG(salt), STR_ARG(stored), STR_ARG(server));
}

enum rc scram_verifier_make(struct str password, struct str salt, long iterations,
                            struct scram_verifier *out, struct why *why)
{
    struct scram_verifier v = {.iterations = iterations, .salt_n = salt.n};
    unsigned char salted[SCRAM_KEY], client[SCRAM_KEY];

    if (salt.n == 0 || salt.n > SCRAM_SALT_MAX || iterations < ITERATIONS_MIN ||
        iterations > ITERATIONS_MAX)
        return FAIL(why, RC_PERM, SCRAM_NAME ": salt or iteration count out of range");
    if (!pbkdf2(password, salt, iterations, salted))
        return FAIL(why, RC_CONFIG, SCRAM_NAME ": this build has no OpenSSL");
    memcpy(v.salt, salt.p, salt.n);
    hmac(salted, SCRAM_KEY, STR("Client Key"), client);
    sha256(client, v.stored_key);
    hmac(salted, SCRAM_KEY, STR("Server Key"), v.server_key);
    login_forget(salted, sizeof salted);
    login_forget(client, sizeof client);
    *out = v;
    return RC_OK;
}

enum rc scram_verifier_fake(struct str username, struct str secret, long iterations,
                            struct scram_verifier *out, struct why *why)
{
    unsigned char salt[SCRAM_KEY];
    struct scram_verifier v;

#ifndef HAVE_OPENSSL
    return FAIL(why, RC_CONFIG, SCRAM_NAME ": this build has no OpenSSL");
#endif
    (void)why;
    hmac((const unsigned char *)secret.p, secret.n, username, salt);
    v = (struct scram_verifier){.iterations = iterations, .salt_n = 16};
    memcpy(v.salt, salt, v.salt_n);
    hmac((const unsigned char *)secret.p, secret.n, STR("stored"), v.stored_key);
    hmac((const unsigned char *)secret.p, secret.n, STR("server"), v.server_key);
    *out = v;
    return RC_OK;
}

/* ---- messages ---- */

/* "x=value" next in the message. */
static bool attribute(struct str *rest, char name, struct str *value)
{
    struct str field = str_cut(rest, ',');

    if (field.n < 2 || field.p[0] != name || field.p[1] != '=')
        return false;
    *value = str_from(field, 2);
    return true;
}

/* A name: "=2C" is a comma, "=3D" an equals sign, no other "=" may be there. */
static bool decode_name(struct arena *a, struct str text, struct str *name)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        struct str here = str_from(text, i);
        if (text.p[i] != '=') {
            out[n++] = text.p[i];
            continue;
        }
        if (str_has_prefix_nocase(here, STR("=2C")))
            out[n++] = ',';
        else if (str_has_prefix_nocase(here, STR("=3D")))
            out[n++] = '=';
        else
            return false;
        i += 2;
    }
    *name = (struct str){out, n};
    return n > 0 && memchr(out, '\0', n) == NULL;
}

static bool is_nonce(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '!' || text.p[i] > '~' || text.p[i] == ',')
            return false;
    return text.n > 0 && text.n <= SCRAM_NONCE_MAX;
}

enum rc scram_first(struct scram *s, struct str message, struct why *why)
{
    struct str rest = arena_copy(s->arena, message), start = rest, binding, authzid, name, nonce;

    if (message.n > MESSAGE_MAX)
        return FAIL(why, RC_PERM, "message too long");
    binding = str_cut(&rest, ',');
    if (str_has_prefix(binding, STR("p=")) && binding.n > 2)
        s->binding = str_from(binding, 2);
    else if (str_eq(binding, STR("y")))
        s->thinks_unsupported = true;
    else if (!str_eq(binding, STR("n")))
        return FAIL(why, RC_PERM, "malformed channel binding");
    authzid = str_cut(&rest, ',');
    if (authzid.n && (!str_has_prefix(authzid, STR("a=")) ||
                      !decode_name(s->arena, str_from(authzid, 2), &s->authzid)))
        return FAIL(why, RC_PERM, "malformed authorization name");
    if (rest.p == NULL)
        return FAIL(why, RC_PERM, "incomplete message");
    s->gs2 = str_head(start, (size_t)(rest.p - start.p));
    s->first = rest;
    if (!attribute(&rest, 'n', &name) || !decode_name(s->arena, name, &s->username))
        return FAIL(why, RC_PERM, "malformed user name");
    if (!attribute(&rest, 'r', &nonce) || !is_nonce(nonce))
        return FAIL(why, RC_PERM, "malformed nonce");
    s->client_nonce = nonce;
    return RC_OK;
}

struct str scram_challenge(struct scram *s, const struct scram_verifier *v, struct str server_nonce)
{
    struct str salt = login_encode(s->arena, (struct str){(const char *)v->salt, v->salt_n});

    s->nonce = arena_join(s->arena, s->client_nonce, server_nonce);
    s->server_first = arena_printf(s->arena, "r=" STR_FMT ",s=" STR_FMT ",i=%ld", STR_ARG(s->nonce),
                                   STR_ARG(salt), v->iterations);
    return s->server_first;
}

/* The client's key, if it knows the password, is its proof less its signature. */
static bool proof_is_right(const struct scram_verifier *v, struct str text, struct str proof)
{
    unsigned char key[SCRAM_KEY], hash[SCRAM_KEY];

    hmac(v->stored_key, SCRAM_KEY, text, key);
    for (size_t i = 0; i < SCRAM_KEY; i++)
        key[i] ^= (unsigned char)proof.p[i];
    sha256(key, hash);
    return login_same_secret(bytes_of(hash), bytes_of(v->stored_key));
}

enum rc scram_final(struct scram *s, const struct scram_verifier *v, struct str message,
                    struct str *answer, struct why *why)
{
    struct str rest = message, binding, nonce, gs2, proof, text, signature;
    ssize_t at = -1;
    unsigned char key[SCRAM_KEY];

    for (size_t i = 0; i + 3 <= message.n; i++) /* the proof is the last */
        if (str_has_prefix(str_from(message, i), STR(",p=")))
            at = (ssize_t)i;
    if (message.n > MESSAGE_MAX || at < 0 || !attribute(&rest, 'c', &binding) ||
        !attribute(&rest, 'r', &nonce) ||
        login_decode(s->arena, binding, MESSAGE_MAX, &gs2, NULL) != RC_OK ||
        login_decode(s->arena, str_from(message, (size_t)at + 3), SCRAM_KEY, &proof, NULL) !=
            RC_OK ||
        proof.n != SCRAM_KEY)
        return FAIL(why, RC_PERM, "malformed final message");
    if (!login_same_secret(gs2, arena_join(s->arena, s->gs2, s->channel)) ||
        !str_eq(nonce, s->nonce))
        return RC_NONE;
    text = arena_printf(s->arena, STR_FMT "," STR_FMT "," STR_FMT, STR_ARG(s->first),
                        STR_ARG(s->server_first), (int)at, message.p);
    if (!proof_is_right(v, text, proof))
        return RC_NONE;
    hmac(v->server_key, SCRAM_KEY, text, key);
    signature = login_encode(s->arena, bytes_of(key));
    *answer = arena_printf(s->arena, "v=" STR_FMT, STR_ARG(signature));
    return RC_OK;
}
