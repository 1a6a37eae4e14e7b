/*
 * A conversation with a server: connection, greeting, what it offers. Ready for a message from
 * session_open() until session_close(); may rest in the pool in between.
 */
#pragma once

#include "smtp/attempt.h"
#include "tls/tls.h"
#include "util/buf.h"
#include "wire/client.h"

struct session {
    struct wire_client wire;
    struct wire_features features;
    struct smtp *smtp;
    struct addr address;
    char host[256];               /* name of the server */
    char where[330];              /* "host[addr]" */
    char relay[350];              /* "host[addr]:port" */
    struct str key;               /* next hop, for the pool; owned */
    struct arena *arena;          /* of what lives as long as the session */
    struct str login_key;         /* as in struct attempt */
    struct str tls_hop, tls_key;  /* as in struct attempt_tls, when it was opened */
    struct tls_session *tls;      /* NULL: in clear */
    enum tls_level wanted, level; /* of its policy */
    bool reuse_tls;               /* it may rest between messages although it has TLS */
    bool name_matched;            /* the certificate is good, and for this server */
    bool esmtp;                   /* EHLO or LHLO was understood */
    unsigned pix;                 /* enum pix_workaround that are in force */
    long messages;                /* deliveries so far */
    long refused;                 /* recipients, since the last one that was taken */
    long opened_ms, rested_ms;
    bool dirty;     /* a transaction may be open: RSET before the next */
    bool broken;    /* the connection is gone or out of step: no QUIT, no reuse */
    bool closing;   /* the server has said 421: no reuse */
    bool warned;    /* about lines that are no replies */
    struct log log; /* without queue id; verbose for debug_peer_list */
    struct transcript transcript;
    struct filters *filters; /* that hear about it; NULL: none */
    unsigned noticed;        /* enum notify_class that have happened */
    struct buf words;        /* for reply_filter */
    struct session *next;    /* in the pool */
};

/*
 * Connect and greet. NULL: trouble was recorded in the attempt. *connected: a TCP connection came
 * about, which is what smtp_mx_session_limit counts. best: the host is one of the best MX hosts.
 */
struct session *session_open(struct attempt *at, const struct nexthop *hop, const struct host *host,
                             bool best, bool *connected);
struct session *session_open_unix(struct attempt *at, const struct nexthop *hop);

/* QUIT if that makes sense, close, free. wait: for the reply, unless smtp_skip_quit_response. */
void session_close(struct session *s, bool wait);

/* Time limit for the next replies; with smtp_per_request_deadline for all of them together, and
 * bytes that are sent meanwhile lengthen it. */
void session_limit(struct session *s, long seconds, size_t bytes);

/* Read a reply; notes 421, warns of lines that are none. */
enum rc session_read(struct session *s, struct wire_client_reply *reply) MUST_USE;
