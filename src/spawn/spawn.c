/*
 * spawn - runs an external server for each connection, with the connection as its standard input,
 * output and error.
 *
 * The master.cf line says which: user=NAME[:GROUP] argv=COMMAND... The command is ended after
 * NAME_time_limit.
 */
#include <sys/wait.h>

#include "config/config.h"
#include "deliver/process.h"
#include "util/clock.h"
#include "util/memory.h"

struct spawn_state { /* read-only after start */
    uid_t uid;
    gid_t gid;
    char **argv;
    long time_limit; /* seconds */
};

static enum rc start(struct service_env *env, void **out, struct why *why)
{
    struct spawn_state *s = NEW(struct spawn_state);
    bool has_user = false;

    for (int i = 0; i < env->argc; i++) {
        struct str text = str_of(env->argv[i]);
        if (str_has_prefix(text, STR("argv=")) && text.n > 5) {
            s->argv = env->argv + i;
            s->argv[0] += 5;
            break;
        }
        if (!str_has_prefix(text, STR("user=")))
            return FAIL(why, RC_CONFIG,
                        "service %s: unknown attribute \"%s\"; known are user and argv", env->name,
                        env->argv[i]);
        TRY(process_account(env, str_from(text, 5), &s->uid, &s->gid, why));
        has_user = true;
    }
    if (!has_user || s->argv == NULL)
        return FAIL(why, RC_CONFIG, "service %s: the attribute %s is missing in master.cf",
                    env->name, has_user ? "argv=" : "user=");
    TRY(config_transport_time(env->config, str_of(env->name), "time_limit", &s->time_limit, why));
    *out = s;
    return RC_OK;
}

static void session(struct service_env *env, void *state, int fd)
{
    const struct spawn_state *s = state;
    AUTO_ARENA a = arena_new(1024);
    struct process p = {.argv = s->argv, .uid = s->uid, .gid = s->gid, .input = fd, .output = fd};
    struct environment e;
    struct why why;
    enum rc rc;
    pid_t pid;
    int status = 0;

    environment_init(&e, a, env->config);
    p.environment = environment_vector(&e);
    rc = process_start(env, &p, &pid, &why);
    if (rc != RC_OK) {
        log_warning(&env->log, "command %s: %s", s->argv[0], why.text);
        return;
    }
    rc = process_wait(pid, clock_ms() + s->time_limit * 1000, &status, &why);
    if (rc == RC_TIMEOUT) {
        log_warning(&env->log, "command %s: time limit of %ld s exceeded; see %s_time_limit",
                    s->argv[0], s->time_limit, env->name);
        process_kill(env, pid);
    } else if (rc != RC_OK) {
        log_warning(&env->log, "command %s: %s", s->argv[0], why.text);
    } else if (WIFSIGNALED(status)) {
        log_warning(&env->log, "command %s killed by signal %d", s->argv[0], WTERMSIG(status));
    } else if (WEXITSTATUS(status)) {
        log_warning(&env->log, "command %s exit status %d", s->argv[0], WEXITSTATUS(status));
    }
}

static const struct service spawn = {
    .name = "spawn",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_ROOT,
    .may = MAY_EXEC,
    .default_sessions = 1,
    .start = start,
    .session = session,
};

int main(int argc, char **argv)
{
    return service_main(&spawn, argc, argv);
}
