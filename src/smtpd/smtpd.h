/*
 * What the files of smtpd share: the state of the process, read-only after smtpd_start(), and that
 * of one session.
 *
 * A session owns two arenas: one for itself, one for the message at hand, which is reset after
 * each. Its struct access_context always tells the current facts; the message arena is that of the
 * context.
 */
#pragma once

#include <stdatomic.h>

#include "access/reply_style.h"
#include "config/config.h"
#include "deliver/notice.h"
#include "global/dns_filter.h"
#include "service/service.h"
#include "smtpd/commands.h"
#include "smtpd/instructions.h"
#include "smtpd/signatures.h"
#include "submit/submit.h"
#include "tls/tls.h"
#include "wire/server.h"

enum ehlo_keyword { /* bits of smtpd_discard_ehlo_keywords */
                    EHLO_8BITMIME = 1 << 0,
                    EHLO_PIPELINING = 1 << 1,
                    EHLO_SIZE = 1 << 2,
                    EHLO_VRFY = 1 << 3,
                    EHLO_ETRN = 1 << 4,
                    EHLO_AUTH = 1 << 5,
                    EHLO_VERP = 1 << 6,
                    EHLO_STARTTLS = 1 << 7,
                    EHLO_XCLIENT = 1 << 8,
                    EHLO_XFORWARD = 1 << 9,
                    EHLO_ENHANCEDSTATUSCODES = 1 << 10,
                    EHLO_DSN = 1 << 11,
                    EHLO_SMTPUTF8 = 1 << 12,
                    EHLO_CHUNKING = 1 << 13,
                    EHLO_REQUIRETLS = 1 << 14,
                    EHLO_SILENT = 1 << 15, /* silent-discard: do not log */
};

enum tls_level { LEVEL_NONE, LEVEL_MAY, LEVEL_ENCRYPT };

enum { TROUBLES = 64 };

struct smtpd_trouble { /* with instructions: which, and when it was logged */
    _Atomic unsigned long hash;
    _Atomic long second;
};

struct smtpd_shared {                       /* one for the process */
    _Atomic long space_second, space_bytes; /* free space of the queue, looked up once a second */
    _Atomic unsigned sequence;              /* of messages, for the instance attribute */
    struct smtpd_trouble trouble[TROUBLES]; /* by hash */
};

/* One for the process, and one for each overlay of its configuration, which has what is the same.
 */
struct smtpd {
    const struct smtpd *base; /* of an overlay, else NULL */
    struct smtpd_shared *shared;
    struct arena *arena;                 /* of an overlay */
    struct instructions *instructions;   /* of the process; NULL: none */
    struct overlays *overlays;           /* of the process; NULL: none */
    struct runner *runner;               /* NULL: no programs */
    const struct signatures *signatures; /* NULL: smtpd_content_signatures is empty */
    struct service_env *env;
    const struct config *config;
    struct resolver *resolver;
    struct dns_filter dns_filter;
    struct rewriter *rewriter;
    struct submit_library *submit; /* NULL on standard input; rewriter and resolver too */
    struct access *access;
    struct maps *command_filter, *ehlo_discards, *hostnames;
    struct match_list *debug_peers, *forbidden_commands, *bare_lf_exclusions, *limit_exceptions,
        *xclient_hosts, *xforward_hosts, *verp_clients, *sasl_exceptions, *sasl_filter;
    struct service_pool *anvil, *cleanup; /* cleanup: for notices to the postmaster */
    struct filter_set *filters;           /* NULL: none */
    unsigned notify;                      /* enum notify_class that are wanted */
    enum tls_level tls_level;
    struct tls_context *tls;        /* NULL: no TLS, or it cannot be had */
    struct tls_context *tls_failed; /* then: are its files better now? */
    unsigned tls_loglevel;
    struct maps *tls_loglevels; /* NULL: none */
    struct login_server *login; /* NULL: nobody can log in */
    unsigned sasl_security, sasl_tls_security;
    unsigned ehlo_discard;
    const char *spool_directory; /* below the working directory; NULL: mail goes into the queue */
    unsigned submit_flags;
    pid_t pid; /* for the instance attribute */
    enum bare_lf bare_lf;
    struct reply_style reply_style;
};

struct counter {
    long done, total;
};

struct xforward { /* what XFORWARD said about the client before us; p == NULL: nothing */
    struct str name, address, port, protocol, helo, ident;
};

struct transaction {
    struct submit_begin begin;
    struct submission *submission; /* NULL until the first recipient is accepted */
    struct standalone *standalone; /* the same for sendmail -bs */
    struct spooled *spooled;       /* the same for smtpd_spool_directory */
    struct timespec arrival;
    long recipients;            /* accepted */
    long overshoot;             /* refused beyond smtpd_recipient_limit */
    struct str only_recipient;  /* while there is one */
    struct recipient recipient; /* of the RCPT command at hand */
    bool smtputf8, requiretls;
    bool has_auth;               /* AUTH= of MAIL */
    bool chunking;               /* BDAT has begun */
    bool in_body;                /* the header is through; for smtpd_paranoid */
    struct signature_scan *scan; /* NULL: no signatures */
    struct {                     /* count_hops() */
        long n;
        bool in_body, continues;
    } hops;
    bool broken; /* a BDAT chunk was refused: discard the rest */
    struct wire_content content;
};

struct session {
    const struct service_env *env;
    struct smtpd *smtpd; /* of the overlay, when the client has settings of its own */
    const struct config *config;
    struct smtpd *process;               /* without overlay */
    const struct config *process_config; /* without overlay: base_config, or with own_name */
    const struct config *base_config;    /* lives as long as the process */
    struct str own_name;                 /* of smtpd_hostname_maps; empty: myhostname */
    struct session_rule rule;
    struct arena *arena;
    struct log log;         /* without queue id: of the connection */
    struct log message_log; /* with the queue id, once there is one */
    struct wire_server wire;
    struct tls_session *tls; /* NULL: in clear; the rules see it as access.tls */
    struct access_context access;
    struct transaction t;
    struct xforward xforward;
    const char *reason; /* why it ended: "lost connection", "timeout", ...; NULL: as it should */
    struct str denied;  /* reply that a client gets who was refused at connect */
    struct counter counters[COMMANDS];
    long errors, junk;
    unsigned noticed; /* enum notify_class that have happened */
    struct transcript transcript;
    unsigned ehlo_discard;
    bool over;
    bool greeting_refused; /* smtpd_reject_greeting, smtpd_defer_greeting */
    bool on_stdin;
    bool is_exempt; /* smtpd_client_event_limit_exceptions */
    bool noted_bare_lf;
    bool rewrite_known, rewrite_local;
    bool may_xclient, may_xforward, may_verp;
    bool sasl_is_exception;     /* smtpd_sasl_exceptions_networks */
    struct str sasl_mechanisms; /* offered; p == NULL: not asked yet */
    struct ipc anvil;           /* open while this connection is counted */
    struct str anvil_ident;
    struct filters *filters; /* NULL: none */
    struct why why;
};

/* start.c */
enum rc smtpd_start(struct service_env *env, void **state, struct why *why);
bool smtpd_has_changed(struct service_env *env, void *state);

/* session.c */
void smtpd_session(struct service_env *env, void *state, int fd);
void session_greet(struct session *s);
void session_end(struct session *s, const char *reason);
void session_broke(struct session *s, enum rc rc); /* a read failed: RC_EOF, RC_TIMEOUT ... */

/* peer.c: who is it? Fills s->access.client. RC_NONE: nobody to talk to. */
enum rc peer_find(struct session *s, int fd);
enum { OWN_NAME_SETTINGS = 2 };
/* What smtpd_hostname_maps changes in this session; how many. */
size_t peer_own_name(const struct session *s, struct config_setting settings[OWN_NAME_SETTINGS]);
enum rc ehlo_keywords_parse(struct str list, unsigned *bits, struct why *why) MUST_USE;
void peer_is_known(struct session *s); /* look up what depends on the client's name and address */

/* reply.c: one or more lines separated by "\n". 4xx and 5xx go through filter and footer. */
void session_reply(struct session *s, struct str reply);
void session_replyf(struct session *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* At the end: the transcript for the postmaster, when something happened that notify_classes names.
 */
void session_notify(struct session *s);

/* smtpd_forbid_bare_newline = reject: log it and answer. */
void session_refuse_bare_lf(struct session *s);

/* What a verdict of the access rules means here: true, go on; false, answered. */
bool session_obeys(struct session *s, enum verdict v);

/* transaction.c */
bool transaction_open(struct session *s); /* the queue file; answers itself when that fails */
void transaction_done(
    struct session *s); /* forget the message; its file goes unless it was finished */
void transaction_begin_content(struct session *s);
void transaction_header(struct session *s, struct str header); /* in front of the content */
/* True: queued. *reply: what the client gets; p == NULL: nothing more, it was answered or is cut
 * off. */
bool transaction_finish(struct session *s, struct str *reply);

/* standalone.c: hopcount_limit, for what does not pass the submit library: SUBMIT_HOPS or 0. */
unsigned count_hops(struct session *s, struct str line, bool more);

/* content.c */
bool has_space(struct session *s, long bytes);

/* limits.c: true when the client is within its limits; else it was answered */
bool limit_connection(struct session *s);
bool limit_messages(struct session *s);
bool limit_recipients(struct session *s);
bool limit_new_tls(struct session *s);     /* after a handshake */
bool limit_tls_allowed(struct session *s); /* before one; logs, does not answer */

/* session.c */
void count_tls(const struct session *s, long n); /* n: 1, and -1 at the end */

/* starttls.c */
enum rc smtpd_open_tls(struct smtpd *s, struct why *why) MUST_USE;
bool session_wrap(struct session *s); /* smtpd_tls_wrappermode; false: the session is over */
bool session_offers_tls(const struct session *s);
void received_tls(struct session *s, struct buf *b); /* what Received: tells about TLS */
bool limit_auth(struct session *s);
void limit_disconnect(struct session *s);

/* auth.c */
enum rc auth_open(struct smtpd *s, struct why *why);
bool auth_has_changed(const struct smtpd *s);
/* What to offer, separated by blanks; empty: no AUTH. */
struct str auth_mechanisms(struct session *s);
void auth_peer_known(struct session *s); /* name and address have changed */
void auth_forget(struct session *s);     /* TLS has begun: nobody is logged in (RFC 3207 4.2) */

/* greeting.c */
void greet_slowly(struct session *s);
bool greeting_refuses(struct session *s); /* true: the client was told not to go on */

/* queue_program.c */
bool queue_program_finish(struct session *s, struct str *reply); /* true: taken */
void program_environment(const struct session *s, struct arena *a, struct str **texts, size_t *n);

/* xforward.c */
void xforward_reset(struct session *s);
