/*
 * Inside master: what its parts share.
 *
 * One thread, one event loop. A generation is what one start or reload has read and checked;
 * services point into the current one. A service keeps its sockets and its children over a reload.
 */
#pragma once

#include <signal.h>

#include "config/config.h"
#include "config/master_cf.h"
#include "master/account.h"
#include "master/throttle.h"
#include "service/board.h"
#include "service/kept.h"
#include "service/lock.h"
#include "service/status.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/net.h"

enum {
    STRESS_SECONDS = 1000, /* stress mode lasts that long after the latest overload */
    LISTENERS_PER_SERVICE = 64,
};

struct generation {
    unsigned number;
    struct arena *arena;
    struct config *config;
    struct master_cf services;
    int main_fd, master_fd; /* sealed texts for the children */
    int files_fd;           /* and those of carried_files() */
};

struct endpoint { /* where a service listens */
    struct addr addr;
    struct str path; /* of UNIX sockets and FIFOs, below queue_directory; STR_NONE for inet */
    int fd;          /* -1: not open yet */
    int backlog;     /* of its accept queue */
};

struct master_service;

struct child {
    struct child *next; /* of the same service */
    struct master *master;
    struct master_service *service;
    pid_t pid;
    int status; /* our end of the status channel; -1 when the child has closed its end */
    char *command;
    unsigned generation;
    bool served;          /* had a session */
    bool dismissed;       /* told to end: its exit status tells nothing */
    bool accepts_no_more; /* it has said so; until then it may be woken for a connection */
    struct account_child account;
};

struct master_service {
    struct master_service *next;
    struct master *master;
    struct str key;                   /* "smtp/inet"; owned */
    const struct master_entry *entry; /* of the current generation; NULL: gone */
    struct endpoint endpoints[LISTENERS_PER_SERVICE];
    size_t n_endpoints;
    struct child *children;
    struct account account;
    struct throttle throttle;
    struct loop_timer *throttle_timer, *wakeup_timer, *stress_timer;
    bool throttled, at_limit, stressed, used;
    long warned_limit_ms;
    bool has_stress; /* its children get -o stress= */
};

struct master_options {
    const char *config_directory;
    bool debug_stdio;  /* -d */
    bool debugger;     /* -D */
    bool init;         /* -i: as process 1 */
    bool foreground;   /* -s */
    bool test;         /* -t */
    bool wait;         /* -w */
    long exit_seconds; /* -e */
    int verbose;       /* -v */
};

struct master {
    struct master_options options;
    int remote_fd; /* of postfix_control_group; -1: none */
    char *remote_path;
    struct log log;
    struct loop *loop;
    struct generation *current;
    struct master_service *services;
    char **environment; /* for children, without what differs between them; NULL-terminated */
    int flow[2];        /* the pipe of in_flow_delay */
    struct board_owner board;
    int kept_fd; /* memory for tlsmgr */
    int signals; /* signalfd */
    int pid_lock, data_lock;
    int given[LISTENERS_PER_SERVICE]; /* sockets that systemd has opened for us; -1: taken */
    size_t n_given;
    bool rootless, stopping;
    uid_t owner_uid;
    gid_t owner_gid;
};

/* options.c */
enum rc master_options_parse(int argc, char **argv, struct master_options *o,
                             struct why *why) MUST_USE;

/* generation.c: read and check main.cf and master.cf. Nothing changes on failure. */
/* carried.c: files that children may need later as they are now. RC_CONFIG: one is wrong. */
enum rc carried_files(const struct generation *g, struct buf *text, struct why *why) MUST_USE;

enum rc generation_new(const struct master *m, struct generation **out, struct why *why) MUST_USE;
void generation_free(struct generation *g);

/* environment.c */
char **environment_new(const struct config *config, const char *config_directory);
void environment_free(char **environment);

/* endpoint.c */
enum rc endpoints_of(struct master *m, const struct master_entry *e, struct endpoint *list,
                     size_t *n, struct arena *a, struct why *why) MUST_USE;
bool endpoint_equal(const struct endpoint *x, const struct endpoint *y);
enum rc endpoint_open(struct master *m, struct endpoint *p, enum master_type type,
                      struct why *why) MUST_USE;
void endpoint_close(struct endpoint *p);

/* services.c: make the services what the current generation says */
enum rc services_apply(struct master *m, bool starting, struct why *why) MUST_USE;
/* Start a process, listen for a reason to start one, or do neither: after whatever has changed. */
void service_review(struct master_service *s);

/* children.c */
void child_start(struct master_service *s);
bool children_are_gone(struct master *m); /* take leave of those that have ended; none left? */
void children_dismiss(struct master_service *s, int signal_number); /* 0: let them drain */
void children_ask(struct master_service *s, char request);

/* control.c: what smtpctl asks for */
bool service_is_paused(const struct master_service *s);
void control_begin(struct master *m); /* what main.cf says is paused and traced */
void control_take(struct child *c, const struct status_report *r);

/* wakeup.c */
void service_poke(const struct master_service *s, struct str letters);
void wakeup_begin(struct master_service *s);
void wakeup_after_crash(struct master_service *s);

/* systemd.c */
void systemd_adopt(struct master *m);
int systemd_socket(struct master *m, const struct endpoint *p, enum master_type type); /* or -1 */
void systemd_notify(const char *text);

/* start.c */
_Noreturn void master_main(struct master *m, int argc, char **argv);
void master_open_log(struct master *m, bool on_terminal);

/* run.c */
/* remote.c: postfix_control_group, at start and after reload. */
void master_open_remote(struct master *m);
void master_reload(struct master *m);
/* rotate.c: maillog_file_rotate_size and the like. */
void master_rotate_logs(struct master *m);
void master_watch_signals(struct master *m);
void master_adopt_orphans(void);
_Noreturn void master_run(struct master *m);
void master_stop(struct master *m, const char *reason);
