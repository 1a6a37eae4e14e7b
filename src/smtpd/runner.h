/*
 * Programs for sessions: smtpd is confined and runs none itself. A child that was made before
 * starts them, as mail_owner, each in a process of its own; it ends with its smtpd.
 */
#pragma once

#include "util/arena.h"

struct runner;
struct service_env;
struct session;

struct runner_job {
    const char *shell;             /* commands for /bin/sh -c, or NULL */
    const char *program;           /* path, or NULL */
    int in, out;                   /* descriptors 0 and 1 of the program */
    const struct str *environment; /* NAME=VALUE */
    size_t n_environment;
    long timeout_ms;
};

enum rc runner_start(struct service_env *env, struct runner **out, struct why *why) MUST_USE;

/* Run it and wait. *status: exit status, or -1 when it was killed or could not start. RC_TIMEOUT.
 */
enum rc runner_run(struct runner *r, const struct runner_job *job, int *status,
                   struct why *why) MUST_USE;

/* Instead of a session: commands of a shell that talk with the client. */
void runner_session(struct session *s, struct str commands);
