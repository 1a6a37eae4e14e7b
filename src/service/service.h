/*
 * The runtime every daemon runs in: main(), options that master gives, configuration, log,
 * privilege drop, chroot, sandbox, threads, draining.
 *
 * Order: options; configuration (master.cf -o overrides included); log; start() with the rights
 * master gave (root in a system instance: open tables, keys, sockets); chroot, setgid/setuid,
 * no_new_privs, Landlock, seccomp; then sessions. A process drains when master closes its status
 * channel (reload), after max_use sessions for each that it carries at once, or after max_idle
 * seconds without one: it stops accepting, ends its sessions and exits.
 *
 * A process that is at work on one thing for daemon_timeout without progress ends, and master
 * starts another: a LOOP service that does not come back to its loop, a session or wakeup() that
 * does not call service_progress(), service_waits() or service_next().
 */
#pragma once

#include <sys/types.h>

#include "ipc/ipc.h"
#include "service/board.h"
#include "util/arena.h"
#include "util/log.h"
#include "util/loop.h"

struct config;

enum service_shape {
    SERVICE_SESSION, /* session() for each connection, blocking, on a thread of its own */
    SERVICE_LOOP, /* one event loop; accepted() for each connection; for a unix-dgram service once,
                     at start, with the socket itself */
};

enum service_privilege {
    RUN_AS_MAIL_OWNER,
    RUN_AS_ROOT
}; /* RUN_AS_ROOT: keeps root as saved id and one session per process */

/* What the process may do once it is confined; see sandbox.c and each manual page. */
enum service_may {
    MAY_CONNECT = 1 << 0,     /* network clients: smtp */
    MAY_EXEC = 1 << 1,        /* runs other people's programs: no sandbox at all */
    MAY_WRITE_QUEUE = 1 << 2, /* create and rename below queue_directory */
    MAY_WRITE_DATA = 1 << 3,  /* data_directory */
    MAY_DELIVER = 1 << 4,     /* writes mailboxes anywhere: no sandbox of files */
};

/*
 * Each session has a copy. The working directory is queue_directory, and config->queue_directory is
 * ".", so that paths below it work in and out of a chroot jail.
 */

struct service_env {
    const struct service *service;
    const struct config *config;
    struct log log;     /* copied by each session */
    struct board board; /* counters and switches shared with all services */
    const char *name;   /* service name of master.cf: "smtp", "10025", "relay" */
    const char *type;   /* "inet", "unix", "pass" ... */
    int argc;           /* arguments after the options, e.g. user= argv= of pipe */
    char **argv;
    bool stress;
    bool rootless;  /* instance of an ordinary user */
    uid_t mail_uid; /* of mail_owner; rootless: our own */
    gid_t mail_gid;
    bool checking;     /* "postfix check" asks whether start() is happy; nothing will run */
    bool on_stdin;     /* -S: one session on standard input (sendmail -bs) */
    struct loop *loop; /* SERVICE_LOOP only */

    struct runtime *runtime; /* private */
    struct slot *slot;       /* private: of this session */
    struct pulse *pulse;     /* private: of this session or wakeup() */
};

struct service {
    const char *name; /* of the program */
    enum service_shape shape;
    enum service_privilege privilege;
    unsigned may;
    long default_sessions; /* SESSION: 0: as many sessions per process as master.cf and
                              service_process_sessions say; 1: always one; more: this many, also
                              where maxproc is 1 and means one process (pickup) */

    size_t daemon_timeout;  /* offset in struct config, of a service that has another parameter than
                               daemon_timeout; 0: none */
    const char *last_words; /* to the client, when memory has run out; NULL: none */

    /* Before privileges are dropped. *state is passed to all other functions. */
    enum rc (*start)(struct service_env *env, void **state, struct why *why);
    /* After they were dropped, before the first session. May be NULL. */
    enum rc (*confined)(struct service_env *env, void *state, struct why *why);
    /* One connection. The runtime closes fd afterwards. Straight-line code; return ends the
     * session. */
    void (*session)(struct service_env *env, void *state, int fd);
    /* LOOP: fd (non-blocking) now belongs to the service. */
    void (*accepted)(struct service_env *env, void *state, int fd);
    /* Somebody poked the socket with trigger bytes (pickup, qmgr, flush), or the wake-up timer of
       master.cf ('W'). Runs on one thread at a time. For connections that start with a letter
       instead of a frame. */
    void (*wakeup)(struct service_env *env, void *state, struct str requests);
    /* SESSION: was a table replaced since start()? Asked before a connection is accepted and before
     * a request is read, by any thread, at most once a second; the process drains then, and its
     * successor opens the new one. May be NULL. */
    bool (*has_changed)(struct service_env *env, void *state);
    /* LOOP: drain was asked, nothing more is accepted; call service_exit() when done. NULL: exit at
     * once. */
    void (*drain)(struct service_env *env, void *state);
};

int service_main(const struct service *service, int argc, char **argv);

/* Is this process asked to end after the current work? Sessions look at it between messages. */
bool service_is_draining(const struct service_env *env);

/* For the watchdog: one more step is done, or a client may now take its time. No system calls. */
void service_progress(const struct service_env *env);
void service_waits(const struct service_env *env);

/* SESSION services with kept connections: let this process drain now, as has_changed() does before
 * a new connection. */
void service_retire(struct service_env *env);

/*
 * Sessions that serve kept connections of our own services: wait for the next request. As
 * ipc_next() without a time limit, but RC_EOF when the process drains or needs the thread for
 * somebody else; the client connects again. Between the messages of one request use ipc_read().
 */
enum rc service_next(struct service_env *env, struct ipc *c, enum ipc_type *type,
                     struct why *why) MUST_USE;

/*
 * The whole of session() for a service with one kind of request: answer() reads each one, with an
 * arena that is emptied afterwards, and sends the reply; RC_OK goes on, anything else ends the
 * connection, RC_PERM with a warning.
 */
typedef enum rc service_answer_fn(struct service_env *env, void *state, struct ipc *c,
                                  struct arena *a, struct why *why);
void service_answer(struct service_env *env, void *state, int fd, service_answer_fn *answer);

/*
 * The same for a LOOP service, the whole of accepted(). Who does not take its answer at once is not
 * served any more. gone (may be NULL): the connection ends; c->own is the service's.
 */
typedef void service_gone_fn(void *state, struct ipc *c);
void service_answer_in_loop(struct service_env *env, void *state, int fd, service_answer_fn *answer,
                            service_gone_fn *gone);

/*
 * The waiting alone. RC_OK: there is something to read; RC_NONE: not within timeout_ms (0: no
 * limit); RC_EOF: a table has changed. In that case nothing was read, and the client learns from
 * ECONNRESET that its request must go to another process.
 */
enum rc service_wait(struct service_env *env, struct ipc *c, long timeout_ms,
                     struct why *why) MUST_USE;

/*
 * The configuration of another service of master.cf with its -o overrides, for work of that service
 * that is done in this process (rewrite, cleanup). env->config when it has no entry. In start().
 */
enum rc service_config_of(const struct service_env *env, struct str service,
                          const struct config **out, struct why *why) MUST_USE;

/* The program behind a service of master.cf, whatever its type is ("unix" first). RC_NONE: there is
 * none. */
enum rc service_program_of(const struct service_env *env, struct str service, struct arena *a,
                           struct str *program, struct why *why) MUST_USE;

/* Of the service control: have master change what is paused and traced, or end. */
enum service_wish { WISH_TRACE, WISH_PAUSE, WISH_STOP };
void service_wish(struct service_env *env, enum service_wish wish, unsigned value);

/* LOOP services after drain(): end the process. */
_Noreturn void service_exit(struct service_env *env);

/* Listen on one more socket, in start(). fd: listening, now the runtime's. */
enum rc service_listen(struct service_env *env, int fd, struct why *why) MUST_USE;

/* A pool of kept connections to another service, shared by the session threads. */
struct service_pool;
struct service_pool *service_pool_new(const struct service_env *env,
                                      const char *socket_name /* "private/bounce" */);

/* Take a connection (kept or new) and give it back; broken: it is closed instead. */
enum rc service_pool_take(struct service_pool *p, struct ipc *c, struct why *why) MUST_USE;
void service_pool_give(struct service_pool *p, struct ipc *c, bool broken);

/*
 * One request and its reply over a connection of the pool; asks again over a new connection when a
 * kept one turns out to be closed. Texts of the reply live in the arena.
 */
enum rc service_pool_ask(struct service_pool *p, enum ipc_type request_type, const void *request,
                         enum ipc_type reply_type, struct arena *a, void *reply,
                         struct why *why) MUST_USE;
