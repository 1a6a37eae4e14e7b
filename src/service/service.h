/*
 * The runtime every daemon runs in: main(), options that master gives, configuration, log,
 * privilege drop, chroot, sandbox, threads, draining.
 *
 * Order: options; configuration (master.cf -o overrides included); log; start() with the rights
 * master gave (root in a system instance: open tables, keys, sockets); chroot, setgid/setuid,
 * no_new_privs, Landlock, seccomp; then sessions. A process drains when master closes its status
 * channel (reload), after max_use sessions, or after max_idle seconds without one: it stops
 * accepting, ends its sessions and exits.
 */
#pragma once

#include <sys/types.h>

#include "ipc/ipc.h"
#include "util/arena.h"
#include "util/log.h"
#include "util/loop.h"

struct config;

enum service_shape {
    SERVICE_SESSION, /* session() for each connection, blocking, on a thread of its own */
    SERVICE_LOOP,    /* one event loop; accepted() for each connection */
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

struct service_env {
    const struct service *service;
    const struct config *config;
    struct log log;   /* copied by each session */
    const char *name; /* service name of master.cf: "smtp", "10025", "relay" */
    const char *type; /* "inet", "unix", "pass" ... */
    int argc;         /* arguments after the options, e.g. user= argv= of pipe */
    char **argv;
    bool stress;
    bool rootless;  /* instance of an ordinary user */
    uid_t mail_uid; /* of mail_owner; rootless: our own */
    gid_t mail_gid;
    bool on_stdin;     /* -S: one session on standard input (sendmail -bs) */
    struct loop *loop; /* SERVICE_LOOP only */
};

struct service {
    const char *name; /* of the program */
    enum service_shape shape;
    enum service_privilege privilege;
    unsigned may;
    long default_sessions; /* SESSION: threads per process when no parameter says so; 0:
                              service_process_sessions; 1: always one */

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
    /* LOOP: drain was asked; call service_exit() when done. NULL: exit at once. */
    void (*drain)(struct service_env *env, void *state);
};

int service_main(const struct service *service, int argc, char **argv);

/* Is this process asked to end after the current work? Sessions look at it between messages. */
bool service_is_draining(const struct service_env *env);

/* LOOP services after drain(): end the process. */
_Noreturn void service_exit(struct service_env *env);

/* Listen on one more UNIX socket, in start() (pickup's submission socket arrives this way when
 * master does not pass it). */
enum rc service_listen(struct service_env *env, int fd, struct why *why) MUST_USE;

/* A pool of kept connections to another service, shared by the session threads. */
struct service_pool;
struct service_pool *service_pool_new(const struct service_env *env,
                                      const char *socket_name /* "private/bounce" */);
/* Take a connection (kept or new) and give it back; broken: it is closed instead. */
enum rc service_pool_take(struct service_pool *p, struct ipc *c, struct why *why) MUST_USE;
void service_pool_give(struct service_pool *p, struct ipc *c, bool broken);
