/*
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the server's side. Passwords come
 * prepared (prep.h). Whether a binding is right for the mechanism is the caller's business.
 *
 * A verifier does not tell the password: "SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY", the
 * last three in base64. Without OpenSSL everything is RC_CONFIG.
 */
#pragma once

#include "sasl/login.h"

enum { SCRAM_KEY = 32, SCRAM_SALT_MAX = 64, SCRAM_NONCE_MAX = 256 };

#define SCRAM_NAME      "SCRAM-SHA-256"
#define SCRAM_PLUS_NAME "SCRAM-SHA-256-PLUS"

struct scram_verifier {
    long iterations;
    size_t salt_n;
    unsigned char salt[SCRAM_SALT_MAX], stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};

/* RC_PERM: malformed. */
enum rc scram_verifier_parse(struct str text, struct scram_verifier *out, struct why *why) MUST_USE;
struct str scram_verifier_text(const struct scram_verifier *v, struct arena *a);
enum rc scram_verifier_make(struct str password, struct str salt, long iterations,
                            struct scram_verifier *out, struct why *why) MUST_USE;

/* For users that do not exist: the same salt each time for a name, and keys nobody has. */
enum rc scram_verifier_fake(struct str username, struct str secret, long iterations,
                            struct scram_verifier *out, struct why *why) MUST_USE;

/* One exchange; texts live in the arena. */
struct scram {
    struct arena *arena;
    struct str gs2;          /* header of the client's first message */
    struct str first;        /* its rest */
    struct str server_first; /* our answer */
    struct str username, authzid, client_nonce, nonce;
    struct str binding; /* "tls-exporter" ...: the client binds to that; p == NULL: to nothing */
    bool thinks_unsupported; /* ... because it thinks that we cannot */
    struct str channel;      /* the caller sets it: the bytes for binding */
};

/* "n,,n=user,r=nonce"; "y" or "p=tls-exporter" instead of "n". RC_PERM: malformed. */
enum rc scram_first(struct scram *s, struct str message, struct why *why) MUST_USE;

/* Our answer: "r=..,s=..,i=..". server_nonce: printable, without comma. */
struct str scram_challenge(struct scram *s, const struct scram_verifier *v,
                           struct str server_nonce);

/* "c=..,r=..,p=..". RC_OK: he knows the password, *answer is "v=..". RC_NONE: he does not.
 * RC_PERM: malformed. */
enum rc scram_final(struct scram *s, const struct scram_verifier *v, struct str message,
                    struct str *answer, struct why *why) MUST_USE;
