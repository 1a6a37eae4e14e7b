/*
 * TLS for both ends, on OpenSSL 3.
 *
 * A tls_context is made once per role and configuration, before privileges are dropped: keys,
 * certificates, CA files, SNI tables, ciphers. It is read-only afterwards; threads share it. A
 * tls_session is one protected connection. It replaces the operations of a struct stream: lines,
 * deadlines and buffers work as before, and the output of a handshake leaves together with the next
 * reply. It lives until tls_end() or stream_done().
 *
 * Failures: RC_CONFIG names parameter or file and a remedy. A handshake that fails is RC_TIMEOUT,
 * RC_EOF or RC_PERM with words for "SSL_accept error from NAME[ADDR]: words"; the session is gone
 * then and the stream good for nothing but closing. Without OpenSSL (none.c) tls_context_new() is
 * RC_CONFIG, and there are no sessions.
 */
#pragma once

#include "util/arena.h"
#include "util/buf.h"
#include "util/log.h"
#include "util/stream.h"

struct config;
struct ssl_st;  /* SSL of OpenSSL, for tls_verifier */
struct x509_st; /* X509 */
struct tls_context;
struct tls_session;

enum tls_role { TLS_SERVER, TLS_CLIENT };

/* What the certificate of the other end is worth; the first word of the log line. */
enum tls_trust {
    TLS_ANONYMOUS, /* there is none */
    TLS_UNTRUSTED,
    TLS_TRUSTED,  /* the chain is good */
    TLS_VERIFIED, /* and it is the one we want: by name, fingerprint or TLSA record */
};

/* ---- contexts ---- */

struct tls_options {
    enum tls_role role;
    const char *prefix; /* of parameters: "smtpd_tls_", "smtp_tls_", "lmtp_tls_", "postscreen_tls_",
                           "tlsproxy_tls_", "tlsproxy_client_" */
    bool mandatory;     /* server: the mandatory_ ciphers and protocols */
    bool keep_failed; /* after RC_CONFIG *out is no NULL, but good for tls_context_has_changed() and
                         tls_context_free() alone: somebody may repair the files */
    bool strict;      /* "postfix check": an expired certificate is an error, not a warning */
    const char *cache; /* name of the cache and of the tickets in tlsmgr: "smtpd", "smtp", "lmtp" */
    const char *tlsmgr; /* its socket as seen from the working directory, "private/tlsmgr";
                           NULL: no sharing with other processes */
};

/* config and log live as long as the context. Reads files: in start(). */
enum rc tls_context_new(const struct tls_options *options, const struct config *config,
                        const struct log *log, struct tls_context **out, struct why *why) MUST_USE;
void tls_context_free(struct tls_context *t); /* NULL is fine; sessions must be gone */

/* Was a certificate, key, CA file or SNI table replaced since? For has_changed(). *name: which. */
bool tls_context_has_changed(struct tls_context *t, struct str *name);

/* A server without a certificate can serve nobody: does this one have any? */
bool tls_context_has_certificate(const struct tls_context *t);

/* ---- log levels ---- */

enum {
    TLS_LOG_SUMMARY = 1 << 0,   /* 1: one line for each session */
    TLS_LOG_HANDSHAKE = 1 << 1, /* 2: what goes on, and why a certificate is not trusted */
    TLS_LOG_DUMP = 1 << 2,      /* 3: bytes of the handshake */
    TLS_LOG_DUMP_ALL = 1 << 3,  /* 4: bytes of the whole session */
    TLS_LOG_TRACE = 1 << 4,     /* "trace": decoded messages to a file */
};

/* "0" .. "4", and the word "trace". */
enum rc tls_loglevel_parse(struct str text, unsigned *bits, struct why *why) MUST_USE;

/* ---- handshakes ---- */

struct tls_server_request {
    const char *label; /* "NAME[ADDR]" for log lines */
    long timeout_ms;   /* for all of the handshake */
    unsigned loglevel;
    bool ask_certificate;  /* smtpd_tls_ask_ccert */
    bool need_certificate; /* smtpd_tls_req_ccert: asked for as well; the caller looks at trust, an
                              untrusted one is logged */
};

/*
 * How a client looks at its server. Both may be NULL: then the chain is compared with the CA files,
 * which gives TLS_TRUSTED at best. prepare: before the handshake (SSL_dane_enable(),
 * SSL_add1_host(), trust anchors ...); judge: after it, may change t->trust and t->matched.
 */
struct tls_verifier {
    enum rc (*prepare)(struct ssl_st *ssl, struct tls_session *t, void *state, struct why *why);
    void (*judge)(struct ssl_st *ssl, struct tls_session *t, void *state);
    void *state;
};

struct tls_protocols { /* of TLS1_VERSION and so on; 0: no limit */
    int min, max;
    unsigned long off; /* SSL_OP_NO_... */
};

struct tls_client_request {
    const char *label; /* "NAME[ADDR]:PORT" */
    long timeout_ms;
    unsigned loglevel;
    const char *sni;                       /* server name to send; NULL: none */
    const struct tls_protocols *protocols; /* NULL: those of PREFIXprotocols */
    const char *ciphers; /* from tls_cipher_list(); NULL: PREFIXciphers, PREFIXexclude_ciphers */
    bool enable_rpk;     /* accept a raw public key */
    bool no_certificate; /* do not send ours */
    struct tls_verifier verifier;
    struct str cache_id; /* sessions with the same id may be resumed: host, address, policy ...;
                            empty: a full handshake */
};

/*
 * Let TLS begin on a stream. What is buffered there a server takes for the beginning of TLS (behind
 * a proxy's header), a client drops; after STARTTLS a server must have looked that nothing is
 * there. Texts of the session live in the arena, which must outlive it.
 */
enum rc tls_accept(struct tls_context *t, struct stream *s,
                   const struct tls_server_request *request, struct arena *a,
                   struct tls_session **out, struct why *why) MUST_USE;
enum rc tls_connect(struct tls_context *t, struct stream *s,
                    const struct tls_client_request *request, struct arena *a,
                    struct tls_session **out, struct why *why) MUST_USE;

/* What is written from here on leaves together with the goodbye of tls_end(). */
void tls_last_words(struct tls_session *t);

/* Say goodbye as tls_fast_shutdown_enable tells. The stream keeps its descriptor and is plain. */
void tls_end(struct tls_session *t);

/* ---- what is known of a session ---- */

struct tls_session {
    enum tls_role role;
    enum tls_trust trust;
    struct str protocol;         /* "TLSv1.3" */
    struct str cipher;           /* "TLS_AES_256_GCM_SHA384" */
    int bits, key_bits;          /* used, of the algorithm */
    struct str key_exchange;     /* "X25519", "ECDHE (prime256v1)", "DHE (2048 bits)"; or empty */
    struct str server_signature; /* "RSA-PSS (2048 bits)", "ECDSA (prime256v1)"; or empty */
    struct str server_digest;    /* "SHA256"; or empty */
    struct str client_signature, client_digest; /* of a client that has proved its key */
    struct str server_name;                     /* SNI that was sent or asked for; empty: none */
    bool name_served;                           /* server: and tls_server_sni_maps had it */
    struct str subject, issuer; /* common names of the other end's certificate; or empty */
    struct str fingerprint;     /* of its certificate by PREFIXfingerprint_digest, "AA:BB:..." */
    struct str key_fingerprint; /* of its public key */
    struct str matched;         /* what made it TLS_VERIFIED, for the log */
    long verify_error;          /* X509_V_ERR_... of the chain; 0: good */
    struct str verify_text;     /* words for it */
    bool has_certificate;       /* the other end sent one, or a raw public key */
    bool has_raw_key;
    bool was_asked; /* server: we asked for one */
    bool resumed;   /* without a full handshake */
    struct tls_context *context;
    const struct log *log;
    const char *label;
    unsigned loglevel;
    struct ssl_st *ssl;
    struct tls_wire *wire;       /* private: of wire.c */
    struct str cache_id;         /* private: of resume.c */
    struct bio_st *trace;        /* private: of trace.c */
    struct str untrusted_issuer; /* private: of the certificate whose issuer is missing */
    struct arena *arena;
};

/* "certificate verification failed for LABEL: words" */
void tls_log_untrusted(const struct tls_session *t);

/* "Trusted TLS connection established from LABEL: TLSv1.3 with cipher ... (256/256 bits) ..." as
   Postfix writes it; connection_reused: "reused" instead, for a kept connection (smtp). The library
   writes it after a handshake when loglevel says so. */
void tls_log_summary(const struct tls_session *t, bool connection_reused);

/* "TLSv1.3 with cipher X (256/256 bits)"; with details: what follows it, joined by separator. */
struct str tls_describe(const struct tls_session *t, struct arena *a);
struct str tls_describe_details(const struct tls_session *t, struct arena *a,
                                const char *separator);

const char *tls_trust_word(enum tls_trust trust); /* "Anonymous" ... */

/* Channel binding for SASL: "tls-unique" (not TLS 1.3), "tls-server-end-point", "tls-exporter".
 * RC_NONE: not with this session. */
enum rc tls_channel_data(const struct tls_session *t, const char *type, struct arena *a,
                         struct str *data) MUST_USE;

/* ---- for policies ---- */

/* "!SSLv2, !SSLv3", ">=TLSv1.2", "<=TLSv1.3", "TLSv1.2", "TLSv1.2:TLSv1.3". Empty: all. */
enum rc tls_protocols_parse(struct str text, struct tls_protocols *out, struct why *why) MUST_USE;

/* The OpenSSL cipher list of a grade (high, medium, low, export, null) less what excluded names.
 * RC_CONFIG: no such grade, or a malformed name. Whether OpenSSL knows any of it shows when it is
 * used: for a context at start, for a session when it begins (RC_CONFIG). */
enum rc tls_cipher_list(const struct config *config, struct str grade, struct str excluded,
                        struct arena *a, const char **out, struct why *why) MUST_USE;

/* Each DNS name that the first certificate of a PEM file is for; none when it cannot be read. */
void tls_file_names(const char *path, void (*each)(void *, struct str), void *context);

/* "AA:BB:..." of the certificate, of its public key, of any bytes. digest: "sha256" ...; RC_CONFIG:
 * this OpenSSL has no such digest. */
enum rc tls_digest_check(struct str digest, struct why *why) MUST_USE;
struct str tls_fingerprint(const struct x509_st *certificate, const char *digest, struct arena *a);
struct str tls_key_fingerprint(const struct x509_st *certificate, const char *digest,
                               struct arena *a);
struct str tls_digest(struct str bytes, const char *digest, struct arena *a);

/* The oldest error OpenSSL knows of in this thread, as words; forgets all. */
struct str tls_library_error(struct arena *a);

/* "warning: TLS library problem: ..." for each; forgets them. */
void tls_log_library_errors(const struct log *log);
