/*
 * Private to filterd/. One thread, one event loop, one program.
 *
 * Nobody can block anybody: what the program does not read yet waits in memory, and while too much
 * waits there sessions are not read; what it says is always read, and waits for its session.
 */
#pragma once

#include "filter/filter.h"
#include "service/service.h"
#include "util/map.h"

struct filterd {
    struct service_env *env;
    /* as configured */
    uid_t uid;
    gid_t gid;
    const char *chroot;
    char **argv;
    /* the program */
    pid_t pid;
    int in, out, error;     /* our ends */
    struct buf to_program;  /* not written yet */
    size_t written;         /* of that */
    struct buf said, noise; /* incomplete lines of its output and errors */
    struct buf registered;  /* its register lines */
    bool is_ready;
    /* sessions */
    struct map clients; /* by session id */
    size_t n_clients;
    bool draining, is_full;
};

/* start.c */
enum rc filterd_start(struct service_env *env, void **state, struct why *why);
void filterd_drain(struct service_env *env, void *state);

/* program.c */
enum rc program_begin(struct service_env *env, void *state, struct why *why);
void program_say(struct filterd *f, struct str text); /* whole lines */

/* client.c */
void client_accepted(struct service_env *env, void *state, int fd);
void clients_are_served(struct filterd *f); /* the program is ready */
void client_hears(struct filterd *f, struct str session, struct str line);
void clients_flush(struct filterd *f); /* what they heard goes out */
void clients_watch(struct filterd *f); /* is_full has changed */
