/*
 * One request while it is worked on: which recipients are still open, and what to say about them.
 *
 * A recipient is settled, that is reported, once: when a server took it, or refused it for good.
 * Other trouble is only remembered, because another host may take the recipient; what was
 * remembered last is reported at the end. The words go to the log at once only when another host is
 * really tried, as separate lines (attempt_next_host()).
 */
#pragma once

#include "smtp/hosts.h"
#include "smtp/requiretls.h"
#include "smtp/smtp.h"
#include "tls/policy.h"
#include "wire/client.h"

struct session;

/* TLS of the host that is being tried (protect.c). */
struct attempt_tls {
    struct tls_policy policy;
    struct str hop_key,
        key;    /* sessions with the same key can be shared; "" where TLS is no issue */
    bool asked; /* the sender wants REQUIRETLS (RFC 8689) */
    enum requiretls requiretls; /* ... and this is what it means here */
    bool not_required;          /* "TLS-Required: no" */
    bool wrapped;               /* TLS from the first byte */
    bool retry;                 /* TLS failed: try again without */
    const char *missing;        /* of REQUIRETLS, for the log: "nocertmatch" ...; NULL: nothing */
};

struct attempt {
    struct smtp *smtp;
    struct delivery *d;
    struct arena *arena; /* of the request */
    struct str hop;      /* next hop that is being tried */
    struct str label;    /* ... whose password is that of this name; empty: none is told */
    struct str sender;   /* as the envelope shall have it: smtp_generic_maps applied */
    struct str *to;      /* the same, by recipient */
    bool *open;          /* by recipient */
    size_t left;         /* how many are open */
    struct dsn *last;    /* by recipient: the latest trouble */
    bool site;           /* ... concerns the whole destination: qmgr shall slow down */
    VEC(struct str) notes;
    VEC(struct addr) tried; /* servers that have had their chance through a kept connection */
    struct attempt_tls tls;
    struct str login_key; /* sessions with the same key can be shared; "" where nobody logs in */
    bool busy;            /* other mail for the same destination is about */
};

/* False: a table failed; that was recorded for all. */
bool attempt_begin(struct attempt *at, struct smtp *s, struct delivery *d);

/* What was remembered was not the last word: log it. */
void attempt_next_host(struct attempt *at);

/* Report what is still open. */
void attempt_end(struct attempt *at);

/* Words and status. */
struct dsn dsn_local(struct attempt *at, const char *status, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* ... with what a server has said: status and diagnosis come from the reply. format: as the words
   shall be, "%s" stands for the text of the reply. */
struct dsn dsn_remote(struct attempt *at, const struct session *s,
                      const struct wire_client_reply *reply, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* The text of a reply in one line, not too long for a report. In the arena of the request. */
const char *reply_words(struct attempt *at, const struct wire_client_reply *reply);

void attempt_settle(struct attempt *at, size_t recipient, const struct dsn *dsn);
/* 5.x.x settles, 4.x.x is remembered. */
void attempt_recipient(struct attempt *at, size_t recipient, const struct dsn *dsn);
/* The same for all that are open; only: NULL, or a mark for each recipient that it is about. */
void attempt_message(struct attempt *at, const struct dsn *dsn, const bool *only);
void attempt_site(struct attempt *at, const struct dsn *dsn);
/* Remember even 5.x.x: the host could not be found or reached, a fallback may be. */
void attempt_postpone(struct attempt *at, const struct dsn *dsn);
/* The connection broke while doing something. */
void attempt_lost(struct attempt *at, struct session *s, enum rc rc, const char *doing);
