/*
 * Chains that servers show by name (sni.c). They are made from PEM once, and shared by all threads
 * for as long as the table gives the same text; a text that has changed is another one.
 */
#include <stdlib.h>
#include <string.h>

#include "tls/private.h"
#include "util/memory.h"

enum { PLACES = 1024 }; /* by hash of the text; a newcomer takes the place */

struct tls_chain_cache {
    pthread_mutex_t lock;
    struct tls_chains *places[PLACES]; /* lock; each place is a user */
};

void tls_chains_release(struct tls_chains *c)
{
    if (c == NULL || atomic_fetch_sub(&c->users, 1) > 1)
        return;
    for (size_t i = 0; i < c->n; i++) {
        EVP_PKEY_free(c->v[i].key);
        X509_free(c->v[i].leaf);
        sk_X509_pop_free(c->v[i].others, X509_free);
    }
    OPENSSL_cleanse(c->text, c->text_n);
    free(c->text);
    free(c);
}

struct tls_chain_cache *tls_chain_cache_new(void)
{
    struct tls_chain_cache *cache = NEW(struct tls_chain_cache);

    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void tls_chain_cache_free(struct tls_chain_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < PLACES; i++)
        tls_chains_release(cache->places[i]);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static struct tls_chains *find(struct tls_chain_cache *cache, struct tls_chains **place,
                               struct str pem)
{
    struct tls_chains *c;

    pthread_mutex_lock(&cache->lock);
    c = *place;
    if (c && str_eq((struct str){c->text, c->text_n}, pem))
        atomic_fetch_add(&c->users, 1);
    else
        c = NULL;
    pthread_mutex_unlock(&cache->lock);
    return c;
}

static void keep(struct tls_chain_cache *cache, struct tls_chains **place, struct tls_chains *c)
{
    struct tls_chains *old;

    atomic_fetch_add(&c->users, 1);
    pthread_mutex_lock(&cache->lock);
    old = *place;
    *place = c;
    pthread_mutex_unlock(&cache->lock);
    tls_chains_release(old);
}

/* Malformed text is not kept: each client that asks for it is a reason for a warning. */
enum rc tls_chains_get(struct tls_context *t, struct str pem, const char *origin, struct arena *a,
                       struct tls_chains **out, struct why *why)
{
    struct tls_chain_cache *cache = t->chains;
    struct tls_chains **place = &cache->places[str_hash(pem) % PLACES], *c;
    enum rc rc;

    *out = find(cache, place, pem);
    if (*out)
        return RC_OK;
    c = NEW(struct tls_chains);
    c->users = 1;
    c->text = memory_new(pem.n + 1);
    c->text_n = pem.n;
    memcpy(c->text, pem.p, pem.n);
    rc = tls_read_chains(t, pem, origin, a, c, why);
    if (rc != RC_OK) {
        tls_chains_release(c);
        return rc;
    }
    keep(cache, place, c);
    *out = c;
    return RC_OK;
}

bool tls_chains_use(const struct tls_chains *c, SSL *ssl)
{
    SSL_certs_clear(ssl);
    for (size_t i = 0; i < c->n; i++)
        if (!SSL_use_cert_and_key(ssl, c->v[i].leaf, c->v[i].key, c->v[i].others, 1))
            return false;
    return true;
}
