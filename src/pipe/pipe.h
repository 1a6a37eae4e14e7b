/* Private to pipe(8). */
#pragma once

#include "deliver/command.h"

struct pipe_state { /* read-only after start */
    struct deliver_shared *shared;
    struct str flags, null_sender, eol;
    struct str *argv; /* templates with $macros */
    size_t n_argv;
    uid_t uid;
    gid_t gid;
    const char *chroot, *directory; /* NULL: none */
    long size_limit;                /* bytes; 0 none */
    long time_limit;                /* seconds */
    unsigned copy_flags;
};

enum rc pipe_start(struct service_env *env, void **state, struct why *why);
void pipe_session(struct service_env *env, void *state, int fd);
bool pipe_has_changed(struct service_env *env, void *state);

/* The attributes of the master.cf line. RC_CONFIG: words name the line's service and the remedy. */
enum rc pipe_attributes(struct service_env *env, struct pipe_state *s, struct arena *a,
                        struct why *why) MUST_USE;
bool pipe_has_flag(const struct pipe_state *s, char flag);

/* The command line for a request: templates that name a recipient macro are repeated for each
 * recipient. */
enum rc pipe_arguments(const struct pipe_state *s, struct delivery *d, char ***argv,
                       struct str *text, struct why *why) MUST_USE;
