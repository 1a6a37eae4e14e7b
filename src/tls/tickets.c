/*
 * Session tickets of a server (RFC 5077, RFC 8446 4.6.1): the session travels sealed with the
 * client. The keys come from tlsmgr, so a ticket is good for every process; each process keeps the
 * latest. Without tlsmgr it makes its own.
 */
#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/memory.h"

enum { KEYS = 4, NAME_BYTES = 16, SECRET_BYTES = 32, OWN_SECONDS = 60 };

struct ticket_key {
    unsigned char name[NAME_BYTES], cipher[SECRET_BYTES], mac[SECRET_BYTES];
    long until; /* wall clock: seals new tickets; it opens old ones for as long again */
};

struct tls_tickets {
    EVP_CIPHER *cipher;
    struct tls_manager *manager; /* NULL: alone */
    long lifetime;
    pthread_mutex_t lock;
    struct ticket_key keys[KEYS]; /* lock; the latest first; name of zeros: none */
};

enum rc tls_tickets_new(struct str cipher, long lifetime, struct tls_manager *manager,
                        struct tls_tickets **out, struct why *why)
{
    EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, cipher.p, NULL);
    struct tls_tickets *t;

    if (c == NULL || EVP_CIPHER_get_mode(c) != EVP_CIPH_CBC_MODE ||
        EVP_CIPHER_get_key_length(c) > SECRET_BYTES) {
        EVP_CIPHER_free(c);
        return FAIL(why, RC_CONFIG,
                    "tls_session_ticket_cipher: \"" STR_FMT
                    "\" is no CBC cipher that OpenSSL knows; use aes-256-cbc or aes-128-cbc",
                    STR_ARG(cipher));
    }
    t = NEW(struct tls_tickets);
    t->cipher = c;
    t->manager = manager;
    t->lifetime = lifetime;
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return RC_OK;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (t == NULL)
        return;
    EVP_CIPHER_free(t->cipher);
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t->keys, sizeof t->keys);
    free(t);
}

static bool is_current(const struct ticket_key *k, long now)
{
    return k->until > now;
}

/* With the lock. True: *k is filled. name NULL: the one that seals. */
static bool find(struct tls_tickets *t, const unsigned char *name, struct ticket_key *k)
{
    long now = clock_seconds();

    for (size_t i = 0; i < KEYS; i++) {
        const struct ticket_key *have = &t->keys[i];
        if (have->until == 0 || have->until + t->lifetime <= now)
            continue;
        if (name ? memcmp(have->name, name, NAME_BYTES) == 0 : is_current(have, now)) {
            *k = *have;
            return true;
        }
    }
    return false;
}

static void keep(struct tls_tickets *t, const struct ticket_key *k)
{
    struct ticket_key other;

    pthread_mutex_lock(&t->lock);
    if (!find(t, k->name, &other)) {
        memmove(t->keys + 1, t->keys, sizeof t->keys - sizeof *t->keys);
        t->keys[0] = *k;
    }
    pthread_mutex_unlock(&t->lock);
}

/* For a short time when there should be a tlsmgr: it may be back soon. */
static bool make_own(struct tls_tickets *t, struct ticket_key *k)
{
    long life = t->manager && t->lifetime > OWN_SECONDS ? OWN_SECONDS : t->lifetime;

    *k = (struct ticket_key){.until = clock_seconds() + life};
    return RAND_bytes(k->name, sizeof k->name) == 1 &&
           RAND_bytes(k->cipher, sizeof k->cipher) == 1 && RAND_bytes(k->mac, sizeof k->mac) == 1;
}

/* A key that this process has not seen yet. */
static bool fetch(struct tls_tickets *t, const unsigned char *name, struct ticket_key *k)
{
    AUTO_ARENA a = arena_new(256);
    struct tlsmgr_reply reply = {0};
    struct str wanted = {(const char *)name, name ? NAME_BYTES : 0};
    enum rc rc = t->manager ? tls_manager_key(t->manager, wanted, a, &reply) : RC_TEMP;

    if (rc == RC_NONE || (rc != RC_OK && name))
        return false;
    if (rc == RC_OK) {
        *k = (struct ticket_key){.until = reply.until};
        memcpy(k->name, reply.name.p, NAME_BYTES);
        memcpy(k->cipher, reply.key.p, SECRET_BYTES);
        memcpy(k->mac, reply.key.p + SECRET_BYTES, SECRET_BYTES);
    } else if (!make_own(t, k)) {
        return false;
    }
    keep(t, k);
    return true;
}

static bool get_key(struct tls_tickets *t, const unsigned char *name, struct ticket_key *k)
{
    bool found;

    pthread_mutex_lock(&t->lock);
    found = find(t, name, k);
    pthread_mutex_unlock(&t->lock);
    return found || fetch(t, name, k);
}

static bool use_key(const struct tls_tickets *t, struct ticket_key *k, const unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    char digest[] = "sha256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex2(cipher, t->cipher, k->cipher, iv, seal, NULL) &&
           EVP_MAC_CTX_set_params(mac, parameters);
}

/* For OpenSSL: 0: no ticket, or not one of ours: a full handshake; 2: good, give a new one. */
int tls_tickets_key(struct tls_tickets *t, unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    struct ticket_key k;
    int result = 0;

    if (!get_key(t, seal ? NULL : name, &k))
        return 0;
    if (seal) {
        memcpy(name, k.name, NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->cipher)) != 1)
            return -1;
    }
    if (use_key(t, &k, iv, cipher, mac, seal))
        result = seal || is_current(&k, clock_seconds()) ? 1 : 2;
    else
        result = -1;
    OPENSSL_cleanse(&k, sizeof k);
    return result;
}
