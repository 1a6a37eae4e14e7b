/* Inside "postfix tls": its sub-commands and how they use openssl(1). */
#pragma once

#include "postfix/postfix.h"
#include "util/buf.h"

enum tls_algorithm { TLS_RSA, TLS_ECDSA };

struct tls_request {
    enum tls_algorithm algorithm;
    long bits;
    const char *random_source, *key_file, *host; /* NULL: not given */
    char **words;                                /* what is left: host names or files */
    int n_words;
};

/* A new key, and a certificate that it signs itself. Files of mode 0600 and 0644. */
enum rc make_key(const struct postfix *p, const struct tls_request *r, const char *path,
                 struct why *why) MUST_USE;
enum rc make_certificate(const struct postfix *p, const struct tls_request *r, const char *key,
                         const char *path, struct arena *a, struct why *why) MUST_USE;

/* A request that a certificate authority signs, to standard output. */
enum rc print_request(const struct postfix *p, const struct tls_request *r, const char *key,
                      struct arena *a, struct why *why) MUST_USE;

/* Upper-case SHA-256 of the public key, for TLSA records. */
enum rc key_digest(const struct postfix *p, const char *key, struct arena *a, struct str *hex,
                   struct why *why) MUST_USE;
enum rc certificate_algorithm(const struct postfix *p, const char *path,
                              enum tls_algorithm *algorithm, struct why *why) MUST_USE;
