/*
 * One delivery request, seen by a delivery agent: recipients, outcomes, bounce/defer/trace, log.
 *
 * deliver_serve() is the session function of every agent: it reads requests from qmgr on a kept
 * connection and calls deliver() for each; the agent reports each recipient once, with
 * deliver_report(), which logs the line, marks the recipient done in the queue file, and tells
 * bounce, defer or trace. What an agent forgets is deferred.
 */
#pragma once

#include "queue/queue.h"
#include "service/service.h"
#include "util/log.h"

enum deliver_flags { /* of a request; Postfix's bits */
                     DELIVER_SUCCESS = 1,
                     DELIVER_BOUNCE = 2,
                     DELIVER_MTA_VERIFY = 256,
                     DELIVER_USER_VERIFY = 512,
                     DELIVER_RECORD = 1024,
                     DELIVER_CACHE_LOAD = 2048,
                     DELIVER_CACHE_STORE = 4096,
                     DELIVER_RECORD_SENT = 8192,
};
enum bounce_flags { BOUNCE_CLEAN = 1, BOUNCE_DELETE_RECIPIENT = 2 };
enum bounce_kind { BOUNCE_KIND_BOUNCE, BOUNCE_KIND_DELAY, BOUNCE_KIND_VERP, BOUNCE_KIND_TRACE };

struct delivery_time {
    struct timespec agent, connected;
}; /* hand-off; connection ready (zero: no network) */

struct delivery {
    struct deliver_request request; /* texts live in arena */
    struct service_env *env;
    struct arena *arena; /* of this request */
    struct log log;      /* with the queue id */
    int fd;              /* the queue file */
    struct delivery_time time;
    struct deliver_result result;
    bool *reported;   /* by recipient */
    struct str relay; /* "host[addr]:port", "local", "none": set by the agent before it reports */
    struct str tls;   /* tls= feature text, or empty */
    struct str bounce_to; /* when set, failures are told to this address at once, not the sender */
    long conn_use;        /* > 0: conn_use=N is logged */
    struct deliver_shared *shared;
};

struct deliver_shared; /* pools to bounce, defer, trace, verify; per process */
enum rc deliver_start(struct service_env *env, struct deliver_shared **out,
                      struct why *why) MUST_USE;

/* For has_changed() of an agent: was TRANSPORT_delivery_status_filter replaced? */
bool deliver_tables_have_changed(const struct deliver_shared *shared);

/* start() and has_changed() of an agent that keeps nothing else: its state is the deliver_shared.
 */
enum rc deliver_agent_start(struct service_env *env, void **state, struct why *why) MUST_USE;
bool deliver_agent_has_changed(struct service_env *env, void *state);

/* Serve one connection from qmgr until it closes; agent_ready is sent first. idle (may be NULL):
   called when no request came for a second, and at the end, e.g. to close cached SMTP connections.
 */
void deliver_serve(struct service_env *env, struct deliver_shared *shared, int fd,
                   void (*deliver)(void *context, struct delivery *d),
                   void (*idle)(void *context, bool end), void *context);

/* The outcome by the class of dsn->status: 2 sent, 4 deferred, 5 bounced. index: of the recipient
 * in the request. dsn->status and dsn->reason must be set. */
void deliver_report(struct delivery *d, size_t index, const struct dsn *dsn);
void deliver_report_all(struct delivery *d, const struct dsn *dsn); /* those not reported yet */

/*
 * A recipient that stands for several (aliases): report each outcome as the recipient it is about,
 * then say once whether all of them are through. deliver_report_as() is false when the outcome
 * means to try again.
 */
bool deliver_report_as(struct delivery *d, const struct recipient *as, const struct dsn *dsn);
void deliver_done(struct delivery *d, size_t index, bool done);
/* Only into the report that the sender asked for (DSN "expanded", "relayed"). */
void deliver_trace(struct delivery *d, const struct recipient *r, const struct dsn *dsn);

/* A probe, or "sendmail -bv": find out what would happen and report that. */
bool deliver_is_trial(const struct delivery *d);

struct dsn dsn_simple(const char *status, struct str reason);

/* The destination could not be reached: qmgr's concurrency feedback and dead-site logic. */
void deliver_site_failed(struct delivery *d, const struct dsn *dsn);

/* Hand a request for the same message to another agent ("private/TRANSPORT"). Its result is on a.
 */
enum rc deliver_pass(struct delivery *d, struct arena *a, struct str transport,
                     const struct deliver_request *request, struct deliver_result *result,
                     struct why *why) MUST_USE;

/* ---- content ---- */
/* Walk the content records: line(context, text, more) for each. RC from line stops. */
enum rc deliver_content(struct delivery *d,
                        enum rc (*line)(void *context, struct str text, bool more, struct why *why),
                        void *context, struct why *why) MUST_USE;

enum copy_flags {
    COPY_FROM_LINE = 1,
    COPY_QUOTE_FROM = 2,
    COPY_ORIGINAL_TO = 4,
    COPY_RETURN_PATH = 8,
    COPY_DELIVERED_TO = 16,
    COPY_BLANK_AT_END = 32,
    COPY_DOT_STUFF = 64
};
/* Write the message as a mailbox wants it: prefix headers as flagged, eol "\n" or "\r\n". One write
 * per 64 KiB. */
typedef enum rc deliver_writer(void *context, struct str bytes, struct why *why);
enum rc deliver_copy_to(struct delivery *d, size_t index, deliver_writer *write, void *context,
                        unsigned flags, struct str delivered_to, struct str eol,
                        struct why *why) MUST_USE;
enum rc deliver_copy(struct delivery *d, size_t index, int to, unsigned flags,
                     struct str delivered_to, struct str eol, struct why *why) MUST_USE;
/* Delivered-To: already holds this address? (mail loop) */
bool deliver_is_loop(struct delivery *d, struct str delivered_to);
