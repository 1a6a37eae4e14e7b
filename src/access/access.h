/*
 * Access rules of the SMTP server: lists of restrictions compiled into programs at start, and one
 * evaluator.
 *
 * struct access is made once per process and read-only afterwards; threads share it. What is known
 * about a client and its message stands in a struct access_context, which its owner fills field by
 * field as the dialogue goes on; nothing in here needs a network session, so an explain command
 * can fill one as well.
 *
 * A verdict REJECT leaves the SMTP reply in context->reply; PERMIT ends the list it was found in.
 * What tables ask for beyond that (hold, filter, bcc ...) collects in context->actions.
 */
#pragma once

#include "dns/dns.h"
#include "rewrite/rewrite.h"
#include "table/table.h"

struct config;
struct access;
struct program;
struct filter_facts;
struct step;
struct tls_session;

enum access_list {
    ACCESS_CLIENT,
    ACCESS_HELO,
    ACCESS_SENDER,
    ACCESS_RELAY,
    ACCESS_RECIPIENT,
    ACCESS_DATA,
    ACCESS_END_OF_DATA,
    ACCESS_ETRN,
    ACCESS_SENDER_FIRST, /* before all others at MAIL, and at RCPT */
    ACCESS_RECIPIENT_FIRST,
    ACCESS_LISTS
};

enum verdict {
    DUNNO,  /* no opinion: the next rule decides */
    PERMIT, /* ends the list */
    REJECT, /* context->reply is the answer */
    HANGUP, /* no answer, end of the session */
};

static inline bool is_no(enum verdict v)
{
    return v == REJECT || v == HANGUP;
}

enum peer_status { PEER_OK, PEER_TEMP, PEER_PERM, PEER_FORGED };

struct access_client {
    struct addr address;
    struct str name, reverse_name; /* "unknown" when there is none */
    enum peer_status name_status, reverse_status;
    struct str address_text, port; /* "192.0.2.1", "25" */
    struct str server_address, server_port;
    struct str label; /* "NAME[ADDR]", as in log and replies */
};

/*
 * The name by PTR and back, for c->address; "unknown" when there is none, or nobody is to look.
 * False: there is one, but it does not lead back here (the words say how).
 */
bool access_client_name(struct access_client *c, struct resolver *resolver, bool look_up,
                        struct arena *a, struct why *why);

struct access_actions {
    bool hold, discard;
    struct str filter, redirect;
    VEC(struct str) bcc;
    VEC(struct str) headers; /* PREPEND: "Name: value" */
};

/* Where the rule stands that decided, as far as it has a place of its own. */
struct access_place {
    struct str file;
    long line;
};

/* The user of the client host (RFC 1413), asked for when a rule needs it. */
enum { ACCESS_USER_SIZE = 81 };
struct access_ident {
    bool asked;
    char user[ACCESS_USER_SIZE]; /* "" for none */
};

/* A soft failure that becomes the answer unless something else decides. */
struct access_pending {
    bool active;
    struct str reply;
};

struct access_context {
    /* from the owner */
    const struct access *access;
    const struct config *config; /* of this session; NULL: that of access */
    struct arena *arena;         /* of the message: look-ups, replies, actions */
    const struct log *log;       /* with the queue id, when there is one */
    const char *stage; /* "CONNECT", "EHLO", "RCPT", "END-OF-MESSAGE" ...: as in the log */
    struct access_client client;
    struct str helo;      /* p == NULL: none given yet */
    struct str protocol;  /* "SMTP", "ESMTP" */
    struct str sender;    /* internal form; p == NULL: no MAIL yet */
    struct str recipient; /* internal form; p == NULL: none, or several */
    struct str etrn_domain;
    struct str queue_id, instance;
    long recipient_count; /* accepted ones */
    long size;            /* declared with SIZE=, then counted */
    struct str sasl_method, sasl_username, sasl_sender;
    const struct tls_session *tls; /* NULL: not encrypted */
    bool stress;
    bool esmtp;
    bool (*has_input)(void *session); /* more commands than allowed were sent; NULL: no session */
    void (*wait)(void *session, long seconds); /* or until the client leaves; NULL: sleep */
    void *session;
    bool dry_run; /* explain: no sleeping, no probes, no log */
    /* explain: called after each step; may be NULL */
    void (*trace)(void *tracer, const struct program *program, const struct step *step,
                  enum verdict verdict);
    void *tracer;
    struct access_ident ident;

    /* results */
    struct str action;   /* after PERMIT by match rules: what they chose for this recipient */
    struct str reply;    /* after REJECT: "554 5.7.1 <a@b.example>: Relay access denied" */
    bool closes;         /* after REJECT: the session ends behind the reply */
    const char *setting; /* after REJECT: the parameter that wanted it, when no list did; or NULL */
    struct access_place decided;
    long delay_seconds; /* that rules made the client wait; dry_run: would have made */
    struct access_actions actions;

    /* state of the evaluator */
    struct str subject; /* the looked up thing, for "<subject>: class rejected: text" */
    const char *subject_class;
    enum access_list list;
    struct access_pending if_permit, if_reject;
    struct access_pending sender_if_permit; /* carried from MAIL to each RCPT */
    int warn_only;                          /* inside warn_if_reject */
    struct str instruction; /* "TABLE:KEY" of the rule that gave this session its settings */
    struct str log_note;    /* behind "reject:" lines */
    int depth;              /* of programs in programs */
    bool recipient_checked, sender_checked; /* the address was looked for in the recipient tables */
    struct str resolved_address, resolved_sender; /* what resolved belongs to */
    struct resolved resolved;
};

struct access_options {
    const struct config *config;
    const struct log *log;
    struct rewriter *rewriter;
    struct resolver *resolver;
    const struct access *base; /* of an overlay: tables and programs that are the same are shared;
                                  it must stay as long. Else NULL */
};

/*
 * Compile all lists and open what they need. RC_CONFIG names parameter, word and remedy; also when
 * neither relay nor recipient restrictions keep strangers from relaying.
 */
enum rc access_open(const struct access_options *o, struct access **out, struct why *why) MUST_USE;
void access_close(struct access *access);

/* No rules at all: every stage says DUNNO. For local users (sendmail -bs). */
struct access *access_unrestricted(const struct config *config, const struct log *log);

/* Was a table replaced? *name tells which, or which parameter has it. */
bool access_has_changed(const struct access *access, struct str *name);

/* What filters may know of it. */
struct filter_facts access_filter_facts(const struct access_context *c);

/* The configuration that counts for this session. */
const struct config *access_config(const struct access_context *c);

/* The evaluator. */
enum verdict access_run(const struct program *program, struct access_context *c);
const struct program *access_program(const struct access *access, enum access_list list);

/*
 * The stages of a session: which lists run when, with smtpd_delay_reject and the rules that need
 * no list (unlisted addresses, postmaster). The fields that belong to the stage are set before.
 */
enum verdict access_at_connect(struct access_context *c);
enum verdict access_at_helo(struct access_context *c);
enum verdict access_at_mail(struct access_context *c);
enum verdict access_at_rcpt(struct access_context *c); /* c->recipient */
enum verdict access_at_vrfy(struct access_context *c); /* the same, without sender */
enum verdict access_at_etrn(struct access_context *c); /* c->etrn_domain */
enum verdict access_at_data(struct access_context *c);
enum verdict access_at_end_of_data(struct access_context *c);

/* A message begins, or was ended: forget what rules said about the one before. */
void access_begin_message(struct access_context *c);

/*
 * Does a list of simple rules (local_header_rewrite_clients) permit this client? Compiled by
 * access_open().
 */
bool access_rewrites_locally(struct access_context *c);

/* ---- replies and log lines that smtpd and rules share ---- */

/*
 * Make a reply of code (400-599), enhanced code and text: soft_bounce, class digit, 510 bytes,
 * no control bytes. NULL format arguments are not allowed.
 */
struct str access_reply(struct access_context *c, long code, const char *dsn, struct str text);

/*
 * The path of MAIL, RCPT or VRFY: address in internal form, and what follows. RC_PERM: bad syntax,
 * or nothing could be sent to it, whatever the tables say ("user@-x.test").
 */
enum rc access_path_parse(struct access_context *c, struct str path, const char *verb,
                          struct str *address, struct str *rest, struct why *why) MUST_USE;

/* What a client has said in HELO, for log, headers and replies. */
struct str access_helo_name(struct arena *a, struct str said);

/* Answers to commands that no rule is asked about. */
#define REPLY_SEND_HELO     "503 5.5.1 Error: send HELO/EHLO first"
#define REPLY_BAD_SENDER    "501 5.1.7 Bad sender address syntax"
#define REPLY_BAD_RECIPIENT "501 5.1.3 Bad recipient address syntax"
#define REPLY_NEEDS_UTF8    "553 5.6.7 Must declare SMTPUTF8 to send unicode address"

/* The answer is no, with this reply, and a log line; or, inside warn_if_reject, only that and
 * DUNNO. */
enum verdict access_refuse(struct access_context *c, long code, const char *dsn, struct str text);

/* The same with a reply that is finished: "550 gone away". */
enum verdict access_refuse_as(struct access_context *c, struct str reply);

/* "reject: RCPT from NAME[ADDR]: REPLY; from=<..> to=<..> proto=ESMTP helo=<..>" */
void access_log(const struct access_context *c, const char *action, struct str text);
