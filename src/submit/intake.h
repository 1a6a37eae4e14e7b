/*
 * Inside of the submit library: what its files share.
 *
 * struct submit_library is read-only after submit_open(), except for what stands beside its lock
 * in struct handover and struct space. struct submission belongs to one thread.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "dispatch/dispatch.h"
#include "global/header.h"
#include "global/mime.h"
#include "submit/submit.h"
#include "table/table.h"
#include "util/map.h"

enum address_class { /* bits; values of *_classes parameters */
                     ENVELOPE_SENDER = 1,
                     ENVELOPE_RECIPIENT = 2,
                     HEADER_SENDERS = 4,
                     HEADER_RECIPIENTS = 8
};
enum { EXTENSION_CANONICAL = 1, EXTENSION_VIRTUAL = 2 }; /* propagate_unmatched_extensions */

enum { HANDED_OVER_RECIPIENTS = 200 }; /* as messages.def has it */

/* Which sendopts bits of the size record are ours (queue file format). */
enum {
    SENDOPT_SMTPUTF8 = 1,
    SENDOPT_UTF8_HEADER = 2,
    SENDOPT_UTF8_SENDER = 4,
    SENDOPT_UTF8_RECIPIENT = 8,
    SENDOPT_TLS_NOT_REQUIRED = 16,
    SENDOPT_REQUIRETLS = 32
};

struct mapping { /* one *_maps parameter of address rewriting */
    const char *parameter;
    struct maps *maps; /* NULL: empty, never consulted */
    unsigned classes;
};

struct masquerade {
    struct str *domains; /* a leading '!' stays on */
    size_t n;
    struct match_list *exceptions; /* NULL: none */
    unsigned classes;
};

/* The way to qmgr (handover.c). */
enum { HANDOVER_LANES = 4 };

struct handover_lane {
    pthread_mutex_t lock;
    struct ipc qmgr; /* fd -1: not connected */
};

struct handover {
    struct handover_lane lanes[HANDOVER_LANES]; /* a thread takes the first that is free */
    _Atomic long not_before;                    /* clock_ms() of the next attempt after trouble */
    long patience_ms;                           /* in_flow_delay */
    pthread_mutex_t lock;                       /* guards below; taken before that of a lane */
    bool missed; /* some file was not announced: tell qmgr to look for itself */
    bool is_reminding, is_closing;
    pthread_t reminder; /* while is_reminding */
    pthread_cond_t closing;
};

struct space { /* free bytes in the queue, looked up at most once a second */
    _Atomic long second, free_bytes;
};

struct submit_library {
    const struct config *config;
    struct rewriter *rewriter;
    struct log log;
    struct arena *arena;
    struct queue queue;

    struct mapping sender_canonical, recipient_canonical, canonical, virtual_alias;
    struct maps *sender_bcc, *recipient_bcc;                   /* NULL: empty */
    struct maps *checks[MIME_HEADER_NESTED + 1], *body_checks; /* by header class; NULL: empty */
    struct masquerade masquerade;
    unsigned extensions;
    struct str *drop; /* message_drop_headers */
    size_t n_drop;
    struct mime_options mime;
    unsigned mime_errors;        /* those that make a message unacceptable */
    struct str strip, forbidden; /* message_strip_characters, message_reject_characters */
    struct handover handover;
    struct space space;
    struct srs *srs;           /* NULL: srs_secrets is empty */
    struct dispatch *dispatch; /* non_smtpd_match_rules; NULL: none */
};

struct attribute {
    const char *name;
    struct str value;
};

struct submission {
    struct submit_library *lib;
    struct arena *arena;
    struct log log;
    const struct submit_begin *begin; /* valid until the envelope is written */
    struct queue_file *file;
    unsigned flags, status;
    long size_limit;   /* bytes; 0: none */
    struct str reason; /* "X.Y.Z text" of the first trouble, or empty */
    bool is_over;      /* committed, or removed and logged */
    bool is_queued;    /* somebody is going to read the trace log */

    /* envelope */
    struct origin origin; /* as it was when the envelope was written */
    struct str from;      /* who sent it, for log lines: "name[address]" or "local" */
    VEC(struct attribute) attributes;
    bool envelope_written;
    struct timespec arrival;
    struct str sender; /* rewritten */
    struct str full_name;
    struct str encoding;
    struct str envid, verp;
    long dsn_ret, trace_flags, sendopts;
    bool traced;      /* an expanded alias stands in the trace log */
    long notify_seen; /* all dsn_notify bits that were asked for */
    long warn_time, warn_offset;
    struct str last_recipient;
    VEC(struct recipient) recipients; /* HANDED_OVER_RECIPIENTS; all with SUBMIT_BOUNCE */
    VEC(struct recipient) late;       /* named after the content began */
    long n_recipients;
    struct map duplicates;
    bool has_duplicates_map;

    /* what access tables and content checks decided */
    struct str filter, redirect;
    bool filter_changed; /* since the envelope was written */
    VEC(struct str) bcc;
    size_t bcc_done; /* of them stand in the file */

    /* content */
    bool content_begun, client_text_begun, prepended;
    long data_offset, data_size; /* where it stands in the file */
    long size;                   /* of the message; data_size, unless that is packed */
    struct mime_state *mime;
    struct buf text;            /* a line with bytes taken out or replaced */
    bool checks_over;           /* PASS */
    bool quiet_encoding_set;    /* the encoding came from a header */
    unsigned long headers_seen; /* bits of enum header_type */
    bool resent;
    long hops;
    struct str message_id;
    bool rewrites_headers, rewrite_remote;
};

/* ---- status.c ---- */
/* Remember trouble; the first reason stays. */
void submission_fail(struct submission *s, unsigned bit, struct str reason);

/* Whatever trouble there was: the sender can be told by a bounce, for which the content is kept. */
bool submission_may_bounce(const struct submission *s);

/* ---- envelope.c ---- */
void envelope_write(struct submission *s); /* once */
/* Directly before the first recipient, or before the content when there is none yet. */
void envelope_put_warn_time(struct submission *s);
void envelope_recipient(struct submission *s, const struct recipient *r, bool is_bcc);
/* Recipients of s->bcc that are not in the file yet; their delivery is nobody's news. */
void envelope_put_bcc(struct submission *s);

/* ---- mapping.c: each records trouble in the submission and then returns its input ---- */
struct str mapping_rewrite(struct submission *s, bool remote, struct str address);
struct str mapping_sender(struct submission *s, struct str address, unsigned class);
struct str mapping_recipient(struct submission *s, struct str address, unsigned class);
/* bcc maps: addresses for one sender or recipient are added to s->bcc. */
void mapping_bcc(struct submission *s, struct maps *maps, const char *parameter,
                 struct str address);

/* ---- alias.c ---- */
/* Virtual aliases of one address; without any: the address itself. */
struct str_list {
    struct str *v;
    size_t n, cap;
};
struct str_list alias_expand(struct submission *s, struct str address);
/* The addresses of a table's answer for address; extension ("+ext") is put on each. */
struct str_list mapping_result(struct submission *s, struct str value, struct str address,
                               struct str extension);
enum rc mapping_get(struct submission *s, struct maps *maps, struct str address, struct str *value,
                    struct str *extension, struct why *why) MUST_USE;
/* Log it and remember SUBMIT_WRITE. */
void mapping_trouble(struct submission *s, const char *parameter, struct str address,
                     const struct why *why);

/* ---- content.c ---- */
void content_end(struct submission *s);

/* ---- fields.c: header fields of the message ---- */
void fields_take(struct submission *s, enum mime_header_class class, struct str header);
void fields_complete(struct submission *s);               /* what is missing is added */
void fields_put(struct submission *s, struct str header); /* as it is, line by line */

/* ---- checks.c ---- */
/* True: the text is kept, *text may be replaced. maps NULL: kept. */
bool checks_apply(struct submission *s, struct maps *maps, const char *parameter,
                  const char *what /* "header", "body" */, struct str *text);
void checks_log(struct submission *s, const char *action, const char *what, struct str text,
                struct str optional);
void checks_log_mime(struct submission *s, const char *reason, struct str text);

/* ---- handover.c ---- */
void handover_open(struct submit_library *lib);
void handover_close(struct submit_library *lib);
/* Tell qmgr about the file; fd stays the caller's. */
void handover_send(struct submit_library *lib, const struct message_ready *m, int fd);

/* ---- refuse.c ---- */
/* What bounce or trace know about a message that is not going to be in the queue. */
void submission_drop_log(struct submission *s, struct str log_class);

/* SUBMIT_BOUNCE: return the message to its sender. True: done, there is nothing left to report. */
bool refuse_bounce(struct submission *s);
void trace_expanded(struct submission *s, const struct recipient *r);
