/*
 * Is this the server that the policy means? The verifier of a client's handshake: trust anchors and
 * TLSA records go in before it, the verdict comes out after it.
 *
 * The handshake itself never fails because of a certificate: the caller looks at accepted.
 */
#pragma once

#include "tls/policy.h"
#include "tls/tls.h"

struct tls_check {
    const struct tls_policy *policy;
    const struct log *log;
    const char *digest;    /* for fingerprints: smtp_tls_fingerprint_digest */
    bool multi_label;      /* tls_wildcard_matches_multiple_labels */
    bool say_match;        /* log what matched also at a low log level */
    struct str_list names; /* what the certificate must be for when the policy has no names of its
                              own (REQUIRETLS); may be empty */
    bool accepted;         /* out: the policy is content */
    bool name_matched;     /* out: chain and name are good, whatever the policy asks for */
    struct arena *arena;
};

/* The verifier of a handshake under this policy. check lives until the handshake is over. */
struct tls_verifier tls_check_verifier(struct tls_check *check);
