/*
 * Inside the library: what its files share.
 *
 * A context is made by context.c from the parameters that share a prefix (settings.c); certificates
 * come from certificate.c, SNI tables from sni.c and chains.c, resumption from tickets.c and
 * cache.c, which ask tlsmgr through manager.c. handshake.c makes sessions, wire.c moves their
 * bytes, describe.c looks at what came out.
 */
#pragma once

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "config/config.h"
#include "tls/tls.h"

struct maps;
struct tls_chain_cache;
struct tls_manager;
struct tls_tickets;

struct tls_settings { /* parameters PREFIXname; empty where there is none */
#define SETTING(name) struct str name;
#include "tls/settings.def"
#undef SETTING
};

/*
 * A file whose change means new processes. After start its path may be out of reach (chroot, a
 * directory of root's): descriptors without rights stay open on the file and, when the name is a
 * link, on the link.
 */
struct watched_file {
    struct str path;
    struct watched_inode {
        int fd; /* O_PATH; -1: was not there */
        struct timespec changed;
        nlink_t links; /* a file that was replaced has lost its name */
        off_t size;
    } file, link;
};

enum { CHAINS_MAX = 8 }; /* one for each kind of key that there is, and some more */

struct tls_chains { /* read-only once it is shared */
    atomic_uint users;
    char *text; /* they were made of it */
    size_t text_n;
    size_t n;
    struct tls_chain {
        EVP_PKEY *key;
        X509 *leaf;
        STACK_OF(X509) * others;
    } v[CHAINS_MAX];
};

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bio;
    struct arena *arena;
    enum tls_role role;
    const char *prefix;
    struct str cache; /* name in tlsmgr */
    const struct config *config;
    const struct log *log;
    struct tls_settings set;
    const char *digest; /* PREFIXfingerprint_digest */
    struct tls_protocols protocols;
    const char *ciphers;
    unsigned certificates;
    bool strict;
    VEC(struct watched_file) files;
    struct maps *sni;
    struct tls_chain_cache *chains;
    struct tls_manager *manager; /* NULL: alone */
    struct tls_tickets *tickets;
    long lifetime; /* of a session that may be resumed, in seconds */
    pthread_mutex_t trace_lock;
    long trace_begun, traces; /* trace_lock */
    struct cache *local;      /* client: sessions of this process; NULL: nothing is kept */
};

struct tls_wire {
    struct stream *stream;
    const struct stream_ops *inner; /* operations of the stream before TLS */
    void *inner_context;
    struct tls_session *session;
    long deadline_ms; /* of the read or write at hand */
    char *early;      /* bytes of TLS that were read together with what came before it */
    size_t early_start, early_n;
    char *held; /* output that leaves before the next read, or after the next write */
    size_t held_n, held_size;
    int error;   /* errno of the inner stream; 0: none */
    bool ended;  /* the peer has closed the connection, or TLS */
    bool broken; /* TLS failed: no goodbye */
    bool ending; /* output waits for the goodbye */
};

/* settings.c */
void tls_settings_read(const struct config *config, const char *prefix, struct arena *a,
                       struct tls_settings *out);

/* certificate.c */
enum rc tls_load_certificates(struct tls_context *t, struct why *why) MUST_USE;
/* A key and its chain, several times, from PEM text; origin: for messages. */
enum rc tls_read_chains(struct tls_context *t, struct str pem, const char *origin, struct arena *a,
                        struct tls_chains *out, struct why *why) MUST_USE;

/* chains.c: the same for sessions, from a cache. */
struct tls_chain_cache *tls_chain_cache_new(void);
void tls_chain_cache_free(struct tls_chain_cache *cache); /* NULL is fine */
enum rc tls_chains_get(struct tls_context *t, struct str pem, const char *origin, struct arena *a,
                       struct tls_chains **out, struct why *why) MUST_USE;
bool tls_chains_use(const struct tls_chains *c, SSL *ssl); /* instead of those of the context */
void tls_chains_release(struct tls_chains *c);             /* NULL is fine */

/* watch.c */
void tls_watch_file(struct tls_context *t, struct str path);
void tls_unwatch_files(struct tls_context *t);
bool tls_file_has_changed(const struct watched_file *f);

/* parameters.c: what a context takes from configuration besides certificates */
enum rc tls_apply_parameters(struct tls_context *t, bool mandatory, struct why *why) MUST_USE;
void tls_apply_protocols(SSL *ssl, const struct tls_protocols *p);

/* sni.c */
enum rc tls_sni_open(struct tls_context *t, struct why *why) MUST_USE;

/* resume.c */
enum rc tls_resume_open(struct tls_context *t, const char *tlsmgr, struct why *why) MUST_USE;
void tls_resume_close(struct tls_context *t);
/* A client's session before its handshake: offer what the caches have under this id. */
void tls_resume_prepare(struct tls_context *t, struct tls_session *s, struct str cache_id,
                        struct arena *a);
void tls_resume_forget(struct tls_context *t, struct tls_session *s); /* it was no good */

/* wire.c */
enum rc tls_wire_open(struct tls_session *t, struct stream *s, struct why *why) MUST_USE;
enum rc tls_wire_flush(struct tls_wire *w);
void tls_wire_close(struct tls_wire *w);
BIO_METHOD *tls_wire_method(void);

/* trace.c */
void tls_trace_begin(struct tls_session *t); /* before a handshake */
void tls_trace_end(struct tls_session *t);
void tls_trace_certificate(const struct tls_session *t, X509_STORE_CTX *store, int ok);
void tls_trace_bytes(const struct tls_session *t, const char *verb, const char *bytes, size_t n);

/* describe.c */
void tls_find_facts(struct tls_session *t, struct arena *a);

/* verify.c of this library: remembers what is wrong with a chain, refuses nothing */
struct tls_session *tls_session_of(const SSL *ssl);
