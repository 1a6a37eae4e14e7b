/*
 * Programs of other people, run with their own rights: commands of local(8) and pipe(8), services
 * of spawn(8). The child gets standard input, output and error as told, no other descriptor, a
 * session of its own, and exactly the environment that is listed.
 */
#pragma once

#include <sys/types.h>

#include "service/service.h"

struct environment { /* "NAME=value" texts, in an arena */
    struct arena *arena;
    VEC(char *) list;
};

/* PATH and what export_environment names, from main.cf or from our own environment. */
void environment_init(struct environment *e, struct arena *a, const struct config *config);
void environment_set(struct environment *e, const char *name, struct str value);
/* NULL-terminated, for execve(). */
char *const *environment_vector(struct environment *e);

/*
 * The attribute user= of master.cf: "user" or "user:group". RC_CONFIG: there is no such account, or
 * it is root or mail_owner, whose rights are not for strangers' commands.
 */
enum rc process_account(const struct service_env *env, struct str value, uid_t *uid, gid_t *gid,
                        struct why *why) MUST_USE;

struct process {
    char *const *argv; /* NULL-terminated; looked up in PATH when it has no slash */
    char *const *environment;
    uid_t uid; /* rootless instances do not change identity */
    gid_t gid;
    const char *chroot, *directory; /* NULL: none */
    int input, output;              /* become 0, and 1 and 2 */
    int error;                      /* becomes 2; 0: output does */
};

/* RC_TEMP: it could not be started; the words say why (also: no such program). */
enum rc process_start(const struct service_env *env, const struct process *p, pid_t *pid,
                      struct why *why) MUST_USE;

/* Wait for its end. RC_TIMEOUT after deadline_ms (0: none); it still runs then. */
enum rc process_wait(pid_t pid, long deadline_ms, int *status, struct why *why) MUST_USE;

/* End it and all that it started in its session, and wait for it. */
void process_kill(const struct service_env *env, pid_t pid);

/* Words of a text, parted by blanks, as argv. */
char **process_words(struct arena *a, struct str text);
