/*
 * TLS of a delivery: what a server must show (protect_choose), the handshake (protect_session), and
 * what the log line says of it.
 */
#pragma once

#include <stdatomic.h>

#include "smtp/nexthop.h"
#include "smtp/session.h"
#include "tls/policy.h"

struct tls_context;
struct host;

/* What all deliveries share (protect_open.c). */
struct protection {
    struct tls_context *context; /* NULL: no policy can ask for TLS */
    struct tls_policy_settings policy;
    struct dane_options *dane;
    struct maps *loglevel_maps;
    unsigned loglevel;
    atomic_bool probed; /* dnssec_probe was asked */
};

enum rc protect_open(struct smtp *s, struct why *why) MUST_USE;
/* Was a table, key or certificate replaced? *name: which. */
bool protect_has_changed(struct smtp *s, struct str *name);

/* What the next hop is asked to do about REQUIRETLS and "TLS-Required: no": at->tls. */
void protect_begin(struct attempt *at, const struct nexthop *hop);

/*
 * The policy for a server: at->tls.policy, at->tls.key. host: NULL for a UNIX-domain socket. False:
 * it cannot be used; that was recorded.
 */
bool protect_choose(struct attempt *at, const struct nexthop *hop, const struct host *host);

/*
 * STARTTLS, or with smtp_tls_wrappermode TLS from the first byte, as the policy wants it. False:
 * trouble was recorded, or at->tls.retry says to connect again without TLS.
 */
bool protect_session(struct attempt *at, struct session *s);

/* After a handshake or a session over TLS that failed: is the same server worth a try in clear? */
bool protect_may_go_in_clear(struct attempt *at, const struct session *s);
void protect_without(struct attempt *at);

/* A kept session is used again. */
void protect_reused(struct attempt *at, struct session *s);

/* tls= of the log line. s: NULL before there is a connection. */
void protect_describe(struct attempt *at, const struct session *s);

/* May this message go over this session? False: no, that was recorded. */
bool protect_allows(struct attempt *at, const struct session *s);
