/* Other programs: start, wait, collect what they say. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postfix/postfix.h"

const char *program_path(struct arena *a, struct str directory, const char *name)
{
    return arena_printf(a, STR_FMT "/%s", STR_ARG(directory), name).p;
}

pid_t program_start(const char *path, char *const *argv, int stderr_fd, struct why *why)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    int error;

    posix_spawn_file_actions_init(&actions);
    if (stderr_fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, stderr_fd, STDERR_FILENO);
    error = posix_spawn(&pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0)
        return pid;
    errno = error;
    why_set(why, RC_CONFIG, "%s: %m", path);
    return -1;
}

int program_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

int program_run(const struct postfix *p, const char *path, char *const *argv)
{
    struct why why;
    pid_t pid = program_start(path, argv, -1, &why);
    int status;

    if (pid < 0) {
        log_error(&p->log, "start %s", why.text);
        return 1;
    }
    status = program_wait(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
