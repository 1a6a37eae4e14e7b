/*
 * A next hop as qmgr, relayhost, or smtp_fallback_relay names it:
 *   SMTP  domain  [host]  domain:port  [host]:port
 *   LMTP  the same, "inet:" in front allowed, never an MX lookup; unix:pathname
 *   SMTP  smtp://[label@]host[:port]  smtp+tls://...  smtp+notls://...  smtps://...
 *         as smtpd.conf(5) has relay hosts: the host itself, no MX lookup
 */
#pragma once

#include "util/arena.h"

enum nexthop_tls {
    NEXTHOP_TLS_AS_SET,
    NEXTHOP_TLS_NONE,
    NEXTHOP_TLS_REQUIRED,
    NEXTHOP_TLS_WRAPPED, /* required, from the first byte */
};

struct nexthop {
    struct str text; /* as written */
    struct str host; /* without brackets */
    struct str port; /* name or number; the default when none was written */
    bool bracketed;  /* no MX or SRV lookup */
    bool default_port;
    struct str path; /* of a UNIX-domain socket; else empty */
    enum nexthop_tls tls;
    struct str label; /* what the passwords are looked up with; empty: host and next hop */
};

/* RC_PERM: malformed; words for the log. Views of text. */
enum rc nexthop_parse(struct str text, bool lmtp, struct str default_port, struct nexthop *out,
                      struct why *why) MUST_USE;
