/*
 * DANE for SMTP (RFC 6698, 7671, 7672): TLSA records of a server, and what they mean for its
 * policy.
 *
 * Only what DNSSEC has authenticated counts. Trouble is never "there are no records": mail waits.
 */
#pragma once

#include "dns/dns.h"
#include "tls/policy.h"

enum { TLSA_USAGE_TA = 2, TLSA_USAGE_EE = 3 };
enum { TLSA_CERTIFICATE = 0, TLSA_KEY = 1 };
enum { TLSA_FULL = 0, TLSA_SHA256 = 1, TLSA_SHA512 = 2 };

struct tlsa {
    int usage, selector, matching;
    struct str data; /* bytes */
};

struct tlsa_list {
    struct tlsa *v;
    size_t n;
    struct str base; /* name that the records belong to: SNI, and a name the certificate may have */
};

/* tls_dane_digests: matching types, the preferred one first. */
enum { TLSA_DIGESTS_MAX = 8 };
struct tlsa_digests {
    int matching[TLSA_DIGESTS_MAX];
    size_t n;
};
enum rc tlsa_digests_parse(struct str text, struct tlsa_digests *out, struct why *why) MUST_USE;

/* The bytes of one record. RC_PERM: shorter than a record can be. */
enum rc tlsa_parse(struct str raw, struct tlsa *out, struct why *why) MUST_USE;

/* Can it be used here: usage 2 or 3, known selector and digest, data of the right length? */
bool tlsa_is_usable(const struct tlsa *r, const struct tlsa_digests *digests, struct why *why);

/*
 * Leave out what cannot be used, and weaker digests of the same usage and selector when there are
 * stronger ones (RFC 7671 9). What remains stays in order. Each record that cannot be used is
 * logged as a warning; log may be NULL.
 */
size_t tlsa_choose(struct tlsa *v, size_t n, const struct tlsa_digests *digests,
                   const struct log *log, struct str name);

/* How the host was found. */
struct dane_host {
    struct str name;     /* as MX record or next hop have it */
    struct str address;  /* name that the address record had: an alias was followed; else as name */
    bool secure;         /* address record, and the alias, are authenticated */
    bool by_mx;          /* an MX record led here */
    bool mx_secure;      /* ... that is authenticated */
    struct str mx_name;  /* domain of the MX lookup */
    struct str mx_final; /* ... after following aliases, or as mx_name */
    unsigned port;
};

struct dane_options {
    struct tlsa_digests digests;
    bool dnssec;            /* smtp_dns_support_level, smtp_host_lookup allow it */
    const char *why_not;    /* when dnssec is false: what to tell */
    bool force_insecure;    /* smtp_tls_force_insecure_host_tlsa_lookup */
    struct str insecure_mx; /* smtp_tls_dane_insecure_mx_policy */
};

/*
 * Settle a policy of level dane or dane-only for this host: p->level becomes may, encrypt,
 * half-dane, dane or dane-only, p->tlsa the usable records, p->match the names for DANE-TA(2).
 * set: for the protocols of the new level. RC_TEMP: the lookup failed; RC_PERM: dane-only, and
 * there is nothing to use; RC_CONFIG: dane-only cannot work with this configuration.
 */
enum rc dane_settle(const struct dane_options *o, const struct tls_policy_settings *set,
                    struct resolver *r, const struct dane_host *host, struct arena *a,
                    struct tls_policy *p, struct why *why) MUST_USE;
