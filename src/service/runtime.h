/*
 * Inside the runtime: what the parts of src/service share.
 *
 * Threads of a SESSION process: the main thread is the control thread (status channel, idle time,
 * draining); one of the others, the leader, waits for a connection, appoints the next leader and
 * then runs the session itself; the rest run sessions or wait to become leader.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "service/options.h"
#include "service/service.h"
#include "service/status.h"

enum { LISTENERS_MAX = 256 };

/* What the watchdog looks at; see watchdog.c. */
struct pulse {
    atomic_ulong steps; /* odd: at work */
    unsigned long seen; /* of the control thread */
    long seen_ms;
};

/* One session that may be running. */
struct slot {
    struct pulse pulse;
    bool is_used;              /* lock */
    int fd;                    /* lock; -1: none yet */
    atomic_long idle_since_ms; /* in service_next() since then; 0: at work */
};

struct listener {
    int fd;
    bool is_fifo, is_dgram;
};

struct runtime {
    const struct service *service;
    struct service_options options;
    const char *process_name;
    struct arena *arena;
    struct config *config;                         /* as started */
    struct config *stress_config, *calm_config;    /* made when master changes its mind */
    _Atomic(const struct config *) session_config; /* one of the three: for new sessions */
    struct service_env env;                        /* what sessions get a copy of */
    void *state;
    bool is_smtp;  /* serves mail clients: "pause smtp" concerns it */
    int status_fd; /* -1: nobody to talk to */
    struct listener listeners[LISTENERS_MAX];
    int n_listeners;

    atomic_bool draining;
    _Atomic long looked_ms;      /* of the leader: when it asked has_changed() */
    pthread_mutex_t wakeup_lock; /* one wakeup() at a time */
    struct pulse wakeup_pulse;
    timer_t watchdog;
    long look_again_ms; /* of the control thread */

    /* sessions */
    long capacity;        /* sessions at once */
    int accept_epoll;     /* the leader waits here */
    int accept_wake;      /* eventfd: tells the leader that the process drains */
    int control_wake;     /* eventfd: tells the control thread that something below changed */
    pthread_mutex_t lock; /* guards below */
    pthread_cond_t appointed;
    struct slot *slots; /* capacity of them */
    long running;       /* sessions */
    long waiting;       /* threads that could become leader */
    long served;        /* sessions since start */
    long drained_told;  /* what master was last told */
    bool has_leader, full, used_told;
    long last_end_ms; /* of a session */
};

/* Who mail_owner is: env.mail_uid, env.mail_gid. */
enum rc find_mail_owner(struct runtime *r, struct why *why) MUST_USE;

/* service_memory_limit, before the first session. What is too low to work with is raised, with a
 * warning; at a check nothing else happens. */
enum rc limit_memory(struct runtime *r, struct why *why) MUST_USE;

/* Chroot, identity, sandbox: what stands between start() and the first session. */
enum rc confine(struct runtime *r, struct why *why) MUST_USE;

/*
 * no_new_privs, Landlock, seccomp; nothing when turned off or unknown to the kernel. Prepare while
 * paths outside a jail can still be opened; enter as the last step.
 */
struct sandbox {
    int ruleset; /* -1: no Landlock */
    bool is_off;
};
enum rc sandbox_prepare(struct runtime *r, struct sandbox *s, struct why *why) MUST_USE;
enum rc sandbox_enter(struct runtime *r, const struct sandbox *s, struct why *why) MUST_USE;

void status_tell(struct runtime *r, enum status_word word, long value);
bool status_read(struct runtime *r);   /* what master says; false: the process shall drain */
void sessions_shed(struct runtime *r); /* end kept connections that are idle, when full */
void sessions_look(struct runtime *r); /* see whether somebody waits to be accepted */

void pulse_waits(struct pulse *p);
void watchdog_start(struct runtime *r);
void watchdog_wind(struct runtime *r); /* the process got ahead */
void watchdog_look(struct runtime *r); /* ends the process when a session is stuck */
long watchdog_interval_ms(const struct runtime *r);

/* Accept a connection; -1: there is none (any more). */
int listener_accept(struct runtime *r, int listener, bool blocking);

/* Connections of services that have wakeup(): do trigger bytes come instead of a frame? */
bool wait_for_input(int fd, long timeout_ms);
bool starts_with_trigger(int fd);
void run_trigger(struct runtime *r, struct service_env *env, int fd); /* the caller keeps fd */

/* Give env the configuration for a new session. */
void use_current_config(struct runtime *r, struct service_env *env);

_Noreturn void session_shape_run(struct runtime *r);
_Noreturn void loop_shape_run(struct runtime *r);
_Noreturn void stdin_run(struct runtime *r);
