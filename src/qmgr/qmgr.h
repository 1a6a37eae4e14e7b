/*
 * The queue manager's parts and how they hang together.
 *
 *   intake     notices of new mail, triggers, questions of postsuper      -> message
 *   scan       files found on disk: at start, at triggers, when due       -> load -> message
 *   message    one message in memory: envelope, file, what is still to do
 *   route      recipients to transport and destination                    -> entries
 *   transport  a delivery service: parameters, connections, its destinations
 *   destination  concurrency window, waiting entries, dead or alive
 *   entry      recipients of one message for one destination: one delivery request
 *   deliver    requests to agents and their results
 *   report     recipients that qmgr itself bounces or defers
 *   finish     the end: notifications, removal, or back to deferred/
 *
 * The main thread runs the event loop and owns everything here. Work that may block (reading
 * files, tables, bounce service) runs in workers; a job touches only what the message does not
 * change any more (envelope, descriptor) and its own memory, and comes back through the loop.
 *
 * A file stays where it is while its message is in memory, locked; only what remains undelivered is
 * renamed to deferred/. So a crash at any moment leaves every message where the next start looks.
 */
#pragma once

#include <stdatomic.h>

#include "deliver/deliver.h"
#include "qmgr/feedback.h"
#include "qmgr/list.h"
#include "queue/queue.h"
#include "rewrite/rewrite.h"
#include "service/service.h"
#include "util/map.h"

enum {
    REFILL_LIMIT = 100,       /* fewer left of a message: the next portion is read */
    SHORT_RETRY_SECONDS = 10, /* a file that is locked by somebody */
    PORTION = 1000,           /* recipients read at once from one file */
    DRAIN_SECONDS = 5,        /* at reload: wait for deliveries in flight */
    CONNECTION_IDLE_SECONDS = 30,
    CONNECTIONS_WAITING_MAX = 8, /* connected, but no session serves them yet */
    DESTINATIONS_IDLE_MAX = 5000,
    DESCRIPTORS_RESERVED = 256
};

struct feed;
struct worker;

struct qmgr {
    struct service_env *env;
    const struct config *config;
    const struct log *log;
    struct loop *loop;
    struct queue queue;
    const struct config *rewrite_config;
    struct rewriter *rewriter; /* used by the disk worker only */
    time_t rewriter_checked;   /* likewise */
    struct deliver_shared *shared;
    struct service_pool *bounce, *defer, *trace;
    struct worker *disk;       /* reads files and resolves addresses, in order */
    struct worker *indexer;    /* keeps the index */
    struct queue_index *index; /* NULL: none, deferred/ is scanned */
    bool index_is_complete;
    atomic_bool index_failed; /* set by any thread; the main thread lets go of the index */
    struct worker *reports;   /* talks to bounce, defer, trace; several threads */

    struct map messages; /* by queue id: struct message */
    struct link intakes; /* struct intake */
    struct map transports;
    struct feed *feed;
    size_t n_messages, n_recipients; /* in memory */
    size_t n_probes;                 /* address verification messages among them */
    size_t n_in_flight;              /* requests that agents work on */
    long n_held, max_held;           /* descriptors of queue files */
    struct buf scratch;              /* frames to be sent */
    struct arena *reply_arena;       /* of the result that is looked at */
    struct timespec last_clog_warning;
    struct map blocked;     /* nexthops that smtpctl holds back */
    unsigned long n_routes; /* destinations so far */
    unsigned flushes;       /* how often "flush" was asked for */
    bool draining;
};

/* ---- a message in memory ---- */
struct message {
    struct qmgr *q;
    struct arena *arena;
    struct log log;
    struct message_ready m; /* envelope; recipients: of the portion at hand */
    struct envelope_rest rest;
    struct str queue_name; /* where the file is */
    int fd;                /* -1: closed for want of descriptors */
    struct timespec active;
    struct link entries; /* struct entry: not finished */
    size_t n_pending;    /* entries and jobs that are not finished */
    size_t n_recipients; /* in memory and not finished */
    bool nobody_left;    /* all recipients were done before; a notification may still be due */
    bool is_ending;      /* a worker does what there is to do at the end */
    bool reading;        /* the next portion */
    bool remain;         /* some recipients are to be tried again */
    bool has_bounces, has_trace;
    bool ignore_times; /* taken by "flush": deferred transports and dead sites are tried */
    bool hurried;      /* before its time: a destination of it works again */
    bool force_expire;
    long next_attempt;   /* of what remains; 0: nothing does */
    bool file_is_gone;   /* postsuper removed it or put it on hold */
    unsigned flushes;    /* of qmgr, when the end of this message began */
    bool look_again;     /* and has put it back */
    bool hurry_again;    /* it is wanted before its time */
    size_t n_using_file; /* requests and jobs that need fd */
};

/*
 * Recipients that were read together, and the entries made of them: their memory goes when the last
 * of them is done. NULL: those that came with the message, which live as long as it does.
 */
struct portion {
    struct message *message;
    struct arena *arena;
    struct recipient *recipients;
    size_t n, left;
    bool read; /* from the file; else only resolved */
    enum rc rc;
    struct why why;
};

/* From a notice; takes fd. False: no room now, the file stays for a later scan. */
bool message_from_notice(struct qmgr *q, struct arena *a, const struct message_ready *notice,
                         int fd);
/* Into the books, with log line; then recipients are routed. */
void message_start(struct message *msg);
void message_add_recipients(struct message *msg, struct portion *p, struct recipient *r, size_t n);
/* One entry or job less, and n recipients of this portion. The last one ends the message. */
void message_unpend(struct message *msg, struct portion *p, size_t n_recipients);
/* postsuper takes the file away: what waits is dropped, deliveries that run go on. */
void message_forget(struct message *msg);
void message_fill_request(const struct message *msg, struct deliver_request *out);
bool message_open(struct message *msg, struct why *why) MUST_USE; /* fd again, when it was closed */
void message_close_file(struct message *msg);
void message_close_unused_file(struct message *msg); /* when too many are open */
void message_free(struct message *msg);

/* ---- routing ---- */
/* In the disk worker: transport, nexthop, resolved of recipients that have none. */
void route_resolve(struct qmgr *q, const struct message *msg, struct recipient *r, size_t n,
                   struct arena *a);
bool route_is_resolved(const struct message_ready *m);
/* Main thread: recipients to entries. */
void route_assign(struct message *msg, struct portion *p, struct recipient *r, size_t n);

/* ---- transports and destinations ---- */
struct transport {
    struct qmgr *q;
    struct str name;
    struct map destinations; /* by key */
    struct link ready;       /* destinations with something to do; round robin */
    struct link unused;      /* destinations without entries */
    size_t n_unused, n_entries;
    /* parameters */
    long recipient_limit, concurrency_limit, initial_concurrency, failed_cohort_limit;
    long destination_rate_delay, transport_rate_delay;
    long deferred_limit;
    long lifetime; /* of its mail in the queue; 0: that of the message */
    struct feedback positive, negative;
    /* connections */
    struct link idle, all; /* struct agent */
    size_t n_connections, n_waiting;
    /* state */
    bool dead, paused; /* process trouble; rate delay */
    unsigned kind;     /* enum paused: what stops it */
    struct loop_timer *timer, *connect_timer;
    struct dsn dead_reason;
    struct arena *dead_arena; /* of that; NULL: alive */
};

struct destination {
    struct transport *transport;
    struct str key, nexthop;
    struct arena *arena; /* of these texts */
    struct link ready, unused, touched;
    struct link waiting; /* entries */
    size_t n_waiting, n_busy;
    struct window window;
    unsigned long number; /* for smtpctl */
    bool dead, paused, blocked;
    struct loop_timer *timer;
    struct dsn dead_reason;
    struct arena *dead_arena;
    long last_done_ms;
    struct map deferred; /* queue ids (deferred.c) */
};

struct entry {
    struct link link;       /* in destination->waiting */
    struct link of_message; /* in message->entries */
    struct message *message;
    struct portion *portion;
    struct destination *destination;
    struct recipient *recipients;
    size_t n, cap;
};

struct transport *transport_get(struct qmgr *q, struct str name);
void transport_run(struct transport *t); /* hand out what may go */
void transport_die(struct transport *t, const struct dsn *reason);
void transport_revive(struct transport *t);
void transport_pause(struct transport *t); /* transport_rate_delay */

struct destination *destination_get(struct transport *t, struct str key, struct str nexthop);
void destination_add(struct destination *d, struct entry *e);
struct entry *destination_take(struct destination *d); /* becomes busy */
void destination_put_back(struct destination *d, struct entry *e);
void destination_update(struct destination *d); /* is it ready? is it unused? */
/* No longer waiting: its message is gone. */
void destination_drop(struct entry *e);
/* A delivery ended: feedback. site_failed may be NULL. */
void destination_done(struct destination *d, const struct dsn *site_failed);
void destination_revive(struct destination *d);
/* The message is deferred because the destination does not work. */
void destination_remember(struct destination *d, const struct message *msg);
/* It has served this one: what was remembered is tried. */
void destination_works(struct destination *d, const struct message *msg);
/* All that waits there is deferred. */
void destination_defer_waiting(struct destination *d, const struct dsn *reason);
void destination_fill_rules(const struct transport *t, struct window_rules *rules);
struct dsn dsn_copy(struct arena *a, const struct dsn *d);

struct entry *schedule_next(struct transport *t); /* NULL: nothing may go now */
void clog_check(struct qmgr *q);

/* ---- agents ---- */
void agent_connect(struct transport *t);
/* Send e on an idle connection. False: there is none. */
bool agent_deliver(struct transport *t, struct entry *e);
void agent_sweep(struct transport *t); /* close what was idle for long */
void entry_done(struct entry *e, const struct deliver_result *result);

/* ---- recipients that are decided here ---- */
/* Bounce or defer by the class of dsn->status (2: log as sent and mark done). Copies dsn. */
void report_recipients(struct message *msg, struct portion *p, struct recipient *r, size_t n,
                       const struct dsn *dsn);

/* ---- the end of a message ---- */
void finish_message(struct message *msg);

/* ---- files on disk ---- */
struct feed *feed_new(struct qmgr *q);
enum { SCAN_INCOMING = 1, SCAN_ACTIVE = 2, SCAN_DEFERRED = 4, SCAN_IGNORE_TIMES = 8 };
void feed_scan(struct feed *f, unsigned what);
/* One file, after seconds. */
void feed_later(struct feed *f, struct str queue_name, struct str id, long seconds);
void feed_one(struct feed *f, struct str id);   /* wherever it is */
void feed_hurry(struct feed *f, struct str id); /* the same, because a destination works again */
void feed_run(struct feed *f);                  /* load more, when there is room */
void feed_missed(struct feed *f);            /* a notice was not taken: scan when there is room */
void feed_due_at(struct feed *f, long when); /* something is due then */
bool feed_is_empty(const struct feed *f);

/* ---- the index ---- */
void index_start(struct qmgr *q);                          /* compare with the files, then use it */
void index_forget(struct qmgr *q, struct str id);          /* from the main thread */
void index_refresh(struct qmgr *q, struct str id);         /* the file has changed; the same */
void index_trouble(struct qmgr *q, const struct why *why); /* from any thread */
/* In workers: */
void index_defer(struct message *msg, long when);
void index_remove(struct qmgr *q, struct str id);

/* How many recipients of one message may be read now: qmgr_message_recipient_limit. */
size_t portion_size(const struct qmgr *q);
/* Read the next recipients of a message that has very many. */
void portion_read(struct message *msg);
/* Resolve the recipients of a notice that came without. */
void portion_resolve(struct message *msg);
void portion_done(struct portion *p, size_t n); /* NULL is fine */

void qmgr_end_if_drained(struct qmgr *q);

/* ---- smtpctl ---- */
void control_run_all(struct qmgr *q); /* what is paused has changed */
/* from: whose connections that is about, as shown in the report. */
void control_block(struct qmgr *q, struct str nexthop, struct str from, bool block);
void control_resume(struct qmgr *q, long number);
/* Lines: number|transport|nexthop|waiting|busy|window|flags|seconds since the last end|reason */
void control_report(struct qmgr *q, struct buf *out);
bool control_is_blocked(const struct qmgr *q, struct str nexthop);
void control_show_levels(const struct qmgr *q);
unsigned control_kind(const struct qmgr *q, struct str transport);

/* ---- triggers ---- */
void qmgr_trigger(struct qmgr *q, struct str requests);
void intake_accept(struct qmgr *q, int fd);
void intake_close_all(struct qmgr *q);
