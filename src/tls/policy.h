/*
 * What a TLS client demands of one server: level, protocols, ciphers, names or fingerprints.
 *
 * The configuration gives the default; smtp_tls_policy_maps, or the old smtp_tls_per_site, gives
 * exceptions by next hop. The levels "dane" and "dane-only" are settled later, when the server and
 * its TLSA records are known (dane.h): they become what the records allow.
 */
#pragma once

#include "table/table.h"
#include "util/log.h"

struct tlsa_list;

enum tls_level { /* what is more is stronger, except that dane stands beside the last two */
                 TLS_LEVEL_NONE,
                 TLS_LEVEL_MAY,
                 TLS_LEVEL_ENCRYPT,
                 TLS_LEVEL_FINGERPRINT,
                 TLS_LEVEL_HALF_DANE, /* TLSA records are secure, the MX record that led here is not
                                       */
                 TLS_LEVEL_DANE,
                 TLS_LEVEL_DANE_ONLY,
                 TLS_LEVEL_VERIFY,
                 TLS_LEVEL_SECURE,
};

/* "may", "dane-only"; half-dane is "halfdane". */
const char *tls_level_name(enum tls_level level);
/* A level that can be configured. False: no such level; *out untouched. */
bool tls_level_parse(struct str word, enum tls_level *out);

struct str_list {
    struct str *v;
    size_t n;
};

/* From smtp_tls_*, lmtp_tls_*, or the options of posttls-finger. */
struct tls_policy_settings {
    const char *prefix; /* "smtp": of parameter names in messages */
    const struct log *log;
    enum tls_level level;
    struct maps *policy_maps, *per_site; /* may be NULL */
    struct str protocols, mandatory_protocols;
    struct str ciphers, mandatory_ciphers;
    struct str exclude, mandatory_exclude;
    struct str verify_match, secure_match, fingerprint_match;
    struct str servername, trust_anchors;
    bool connection_reuse, enable_rpk;
    bool enforce_sts; /* mx_host_pattern= of MTA-STS plug-ins counts */
};

/* Whom it is about. Names in ASCII form, without dot at the end. */
struct tls_peer {
    struct str nexthop; /* as written: "example.com", "[mx.example.com]:587", "unix:/path" */
    struct str domain;  /* of the next hop, without brackets and port */
    struct str host;    /* the server that is connected */
};

struct tls_policy {
    enum tls_level wanted; /* what was configured */
    enum tls_level level;  /* what applies to this server */
    struct str protocols;  /* as in smtp_tls_protocols */
    struct str grade;      /* cipher grade */
    struct str exclude;    /* cipher names to leave out */
    struct str_list match; /* names; ".name" stands for all below it. Fingerprints: hex digits */
    struct str_list trust_anchors; /* files that replace the CA files */
    struct str servername;         /* SNI; empty: none is sent */
    bool connection_reuse, enable_rpk;
    const struct tlsa_list *tlsa; /* usable records; at the levels dane, dane-only, half-dane */
};

/*
 * The policy for a server, in the arena. RC_CONFIG: the setting or the table entry makes no sense
 * (logged as a warning). RC_TEMP: a table failed (logged). RC_PERM: MTA-STS does not allow this
 * server.
 */
enum rc tls_policy_find(const struct tls_policy_settings *set, const struct tls_peer *peer,
                        struct arena *a, struct tls_policy *out, struct why *why) MUST_USE;

/* Attributes of a table entry; what was not written is empty (yes_no: 0 not written, 1 yes, -1 no).
 */
struct tls_policy_entry {
    enum tls_level level;
    struct str protocols, ciphers, exclude, servername;
    bool has_exclude, has_servername;
    struct str_list match, trust_anchors, mx_patterns;
    int connection_reuse, enable_rpk;
    bool sts;
};

/* One value of smtp_tls_policy_maps: "secure match=.example.com protocols=>=TLSv1.2". */
enum rc tls_policy_parse(struct str text, struct arena *a, struct tls_policy_entry *out,
                         struct why *why) MUST_USE;

/* Same text, same demands: connections may be shared. In the arena. */
struct str tls_policy_key(const struct tls_policy *p, struct arena *a);

/* A host name against a pattern of MTA-STS: "mx.example.com", "*.example.com" (one label). */
bool tls_mx_pattern_matches(struct str pattern, struct str host);
