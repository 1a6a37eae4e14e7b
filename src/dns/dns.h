/*
 * Resolver client (RFC 1035, 5321 section 5, 7505) with a cache shared by the threads of a process;
 * answers live for their TTL.
 */
#pragma once

#include "util/arena.h"
#include "util/net.h"

struct resolver;

enum {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_TLSA = 52
};

enum dns_status {
    DNS_FOUND,
    DNS_NXDOMAIN, /* no such name */
    DNS_NODATA,   /* the name exists, not this type */
    DNS_NULL_MX,  /* "MX 0 .": accepts no mail (RFC 7505) */
    DNS_RETRY,    /* server failure, timeout, bytes that are no answer */
    DNS_INVALID,  /* an answer whose records make no sense */
    DNS_BOGUS,    /* DNSSEC validation failed */
};

struct dns_record {
    int type;
    long ttl;
    struct str name;     /* owner, lower case, no dot at the end */
    struct str data;     /* host name, text, or presentation form of others */
    int preference;      /* MX, SRV priority */
    int weight, port;    /* SRV */
    struct addr address; /* A, AAAA */
    struct str raw;      /* TLSA and others: bytes as received */
    bool authenticated;  /* AD bit from a trusted resolver */
};

struct dns_answer {
    enum dns_status status;
    struct dns_record *records;
    size_t n;
    struct str cname; /* final name when an alias was followed, else empty */
    bool authenticated;
};

/* How to ask. Zeros are the defaults. */
struct resolver_options {
    const char *resolv_conf; /* NULL: /etc/resolv.conf; "nameserver [ADDR]:PORT" is understood */
    size_t cache_entries;    /* 0: 1000 */
    bool dnssec;             /* ask for validation, trust the AD bit of the name servers */
    bool default_domain;     /* names without dot: add the local domain (res_defnames) */
    bool search;             /* try the search list (res_dnsrch) */
};
struct resolver *resolver_open(const struct resolver_options *options);
struct resolver *resolver_new(size_t cache_entries); /* with the defaults */

/*
 * Who validates, by dnssec_validation: "resolver", "own", or "auto", which believes name servers of
 * this machine only. RC_NONE: it should be done here and cannot be (words say why), so others are
 * believed. RC_CONFIG: it must be done here and cannot be.
 */
enum rc resolver_choose(struct resolver *r, struct str who, const char *anchors,
                        struct why *why) MUST_USE;
void resolver_free(struct resolver *r);

/*
 * Each record that is found is shown to drop(), as dns_record_text() writes it. RC_OK: leave it
 * out. RC_NONE: keep it. Else the answer is DNS_RETRY. An answer that has nothing left is
 * DNS_BOGUS. Before the first lookup.
 */
typedef enum rc dns_drop(void *context, struct str record, struct arena *a, struct why *why);
void resolver_filter(struct resolver *r, dns_drop *drop, void *context);

/* Never fails otherwise than by answer->status; why holds words like Postfix's "Host or domain name
   not found. Name service error for name=H type=MX: Host not found". */
enum dns_status dns_lookup(struct resolver *r, struct str name, int type, struct arena *a,
                           struct dns_answer *answer, struct why *why);

/*
 * Name of an address, in the order of the system (getnameinfo(3), hosts file included), and whether
 * the name leads back to the address. DNS_FOUND: it does. DNS_INVALID: *name does not lead back, or
 * is no host name (*name empty). DNS_NXDOMAIN: no name. DNS_RETRY: trouble; *name empty when the
 * address could not be looked up, else the name that could not be. why: "hostname NAME does not
 * resolve to address ADDR[: REASON]" and the like. Kept for a minute.
 */
enum dns_status dns_reverse(struct resolver *r, const struct addr *address, struct arena *a,
                            struct str *name, struct why *why);

/* Addresses of a host by getaddrinfo(3) (hosts file included). family AF_UNSPEC, AF_INET, AF_INET6.
 */
enum dns_status dns_native(struct str host, int family, struct arena *a, struct addr **addresses,
                           size_t *n, struct why *why);

bool dns_name_is_valid(struct str name); /* host name syntax, RFC 1123; underscores allowed */
bool dns_name_is_numeric(struct str name);

/* "name. ttl IN TYPE data" as dns_reply_filter tables see it. */
struct str dns_record_text(const struct dns_record *record, struct arena *a);
const char *dns_type_name(int type);
int dns_type_number(struct str name); /* 0 unknown */
