#include "queue/seal.h"

#include <limits.h>
#include <string.h>

#ifdef HAVE_OPENSSL
#    include <openssl/core_names.h>
#    include <openssl/crypto.h>
#    include <openssl/evp.h>
#    include <openssl/kdf.h>
#    include <openssl/rand.h>

enum { NONCE_BYTES = 12 };

static const char purpose[] = "postern queue content 1";

static bool derive(const struct queue_key *key, const char salt[SEAL_SALT],
                   unsigned char out[QUEUE_KEY_BYTES + SEAL_CHECK])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key->bytes, key->n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, SEAL_SALT),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)purpose, sizeof purpose - 1),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *c = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool done = c && EVP_KDF_derive(c, out, QUEUE_KEY_BYTES + SEAL_CHECK, params) > 0;

    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
    return done;
}

static void nonce_of(unsigned long count, unsigned char nonce[NONCE_BYTES])
{
    memset(nonce, 0, NONCE_BYTES);
    for (int i = NONCE_BYTES; count; count >>= 8)
        nonce[--i] = (unsigned char)count;
}

enum rc seal_begin(struct seal *s, const struct queue_keys *keys, char head[SEAL_HEAD],
                   struct why *why)
{
    unsigned char made[QUEUE_KEY_BYTES + SEAL_CHECK];

    if (RAND_bytes((unsigned char *)head, SEAL_SALT) != 1 || !derive(&keys->keys[0], head, made))
        return FAIL(why, RC_TEMP, "OpenSSL makes no key for a queue file");
    memcpy(s->key, made, sizeof s->key);
    memcpy(head + SEAL_SALT, made + QUEUE_KEY_BYTES, SEAL_CHECK);
    OPENSSL_cleanse(made, sizeof made);
    s->count = 0;
    return RC_OK;
}

enum rc seal_resume(struct seal *s, const struct queue_keys *keys, const char head[SEAL_HEAD],
                    struct why *why)
{
    unsigned char made[QUEUE_KEY_BYTES + SEAL_CHECK];
    bool found = false;

    for (size_t i = 0; i < keys->n && !found; i++) {
        if (!derive(&keys->keys[i], head, made))
            return FAIL(why, RC_TEMP, "OpenSSL makes no key for a queue file");
        found = CRYPTO_memcmp(made + QUEUE_KEY_BYTES, head + SEAL_SALT, SEAL_CHECK) == 0;
    }
    if (found)
        memcpy(s->key, made, sizeof s->key);
    OPENSSL_cleanse(made, sizeof made);
    s->count = 0;
    return found ? RC_OK : RC_NONE;
}

enum rc seal_close(struct seal *s, char kind, struct str plain, char *out, struct why *why)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    unsigned char nonce[NONCE_BYTES], *to = (unsigned char *)out;
    int n = 0;
    bool done;

    nonce_of(s->count++, nonce);
    done = c && plain.n <= INT_MAX &&
           EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, s->key, nonce) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)&kind, 1) == 1 &&
           EVP_EncryptUpdate(c, to, &n, (const unsigned char *)plain.p, (int)plain.n) == 1 &&
           EVP_EncryptFinal_ex(c, to + n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, to + plain.n) == 1;
    EVP_CIPHER_CTX_free(c);
    return done ? RC_OK : FAIL(why, RC_TEMP, "OpenSSL does not encrypt a queue file");
}

enum rc seal_open(struct seal *s, char kind, struct str sealed, char *out, struct why *why)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    const unsigned char *from = (const unsigned char *)sealed.p;
    unsigned char nonce[NONCE_BYTES], *to = (unsigned char *)out;
    int size = (int)sealed.n - SEAL_TAG, n = 0;
    bool done;

    nonce_of(s->count++, nonce);
    done = c && size >= 0 && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, s->key, nonce) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)&kind, 1) == 1 &&
           EVP_DecryptUpdate(c, to, &n, from, size) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, (void *)(from + size)) == 1 &&
           EVP_DecryptFinal_ex(c, to + n, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    return done ? RC_OK : FAIL(why, RC_PERM, "encrypted content is damaged");
}

#else /* queue_keys_open() has refused, so that nobody gets here */

enum rc seal_begin(struct seal *s, const struct queue_keys *keys, char head[SEAL_HEAD],
                   struct why *why)
{
    (void)s, (void)keys, (void)head;
    return FAIL(why, RC_CONFIG, "this build has no OpenSSL");
}

enum rc seal_resume(struct seal *s, const struct queue_keys *keys, const char head[SEAL_HEAD],
                    struct why *why)
{
    (void)s, (void)keys, (void)head;
    return FAIL(why, RC_CONFIG, "this build has no OpenSSL");
}

enum rc seal_close(struct seal *s, char kind, struct str plain, char *out, struct why *why)
{
    (void)s, (void)kind, (void)plain, (void)out;
    return FAIL(why, RC_CONFIG, "this build has no OpenSSL");
}

enum rc seal_open(struct seal *s, char kind, struct str sealed, char *out, struct why *why)
{
    (void)s, (void)kind, (void)sealed, (void)out;
    return FAIL(why, RC_CONFIG, "this build has no OpenSSL");
}

#endif

enum rc seal_try(const struct queue_keys *keys, struct why *why)
{
    static const struct str text = STR_INIT("text");
    char head[SEAL_HEAD], sealed[16 + SEAL_TAG], again[16];
    struct seal s;

    TRY(seal_begin(&s, keys, head, why));
    TRY(seal_close(&s, 0, text, sealed, why));
    TRY(seal_resume(&s, keys, head, why));
    TRY(seal_open(&s, 0, (struct str){sealed, text.n + SEAL_TAG}, again, why));
    explicit_bzero(&s, sizeof s);
    return RC_OK;
}
