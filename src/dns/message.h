/*
 * DNS messages (RFC 1035 section 4, RFC 6891): making a question, taking an answer apart. Knows
 * nothing of sockets; whatever bytes come in, it neither reads nor writes outside of them.
 */
#pragma once

#include "dns/dns.h"

enum {
    DNS_QUERY_MAX = 300,
    DNS_REPLY_MAX = 65535,
    DNS_RECORDS_MAX = 100, /* of one answer; more are dropped */
    DNS_UDP_SIZE = 1232,   /* what we offer by EDNS: fits every path without fragments */
};

enum { RCODE_OK = 0, RCODE_FORMERR = 1, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_NOTIMP = 4 };

struct dns_message {
    unsigned id, rcode;
    bool response, truncated, authenticated;
    struct str question; /* lower case, no dot at the end */
    int question_type;
    struct dns_record *records; /* answer section; malformed ones are left out */
    size_t n;
    size_t n_malformed; /* records of the answer section that were left out */
    long negative_ttl;  /* of the SOA in the authority section (RFC 2308); 0: none */
};

/* Bytes of the question in out[]; 0 when the name does not fit a message. edns: with an OPT record,
   and with dnssec the DO bit; dnssec alone sets AD (RFC 6840 5.7). */
size_t dns_query_make(unsigned char out[DNS_QUERY_MAX], unsigned id, struct str name, int type,
                      bool edns, bool dnssec);

/* RC_PERM: not a DNS message. Texts live in the arena. */
enum rc dns_message_parse(struct str bytes, struct arena *a, struct dns_message *out,
                          struct why *why) MUST_USE;

/*
 * What a message says about name and type, aliases followed within the message. *next: the alias
 * chain leads to this name, about which the message says nothing: ask for it (else empty). *ttl:
 * how long this may be kept. DNS_RETRY when the server failed.
 */
enum dns_status dns_message_answer(const struct dns_message *m, struct str name, int type,
                                   struct arena *a, struct dns_answer *answer, struct str *next,
                                   long *ttl);
