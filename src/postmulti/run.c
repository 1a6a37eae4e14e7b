#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postmulti/postmulti.h"

static void be_quiet(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
}

static int wait_for(struct postmulti *m, pid_t pid, const char *what)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            log_fatal(m->log, 1, "wait for %s: %m", what);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static pid_t start(struct postmulti *m)
{
    pid_t pid = fork();

    if (pid < 0)
        log_fatal(m->log, 1, "fork: %m");
    return pid;
}

static size_t count(char *const *args)
{
    size_t n = 0;

    while (args[n])
        n++;
    return n;
}

int call_postfix(struct postmulti *m, const struct instance *i, char *const *command, bool is_quiet)
{
    size_t n = count(command);
    char **argv = arena_array(m->arena, char *, n + 4);
    struct str path =
        arena_printf(m->arena, STR_FMT "/postfix", STR_ARG(i->config->command_directory));
    pid_t pid;

    argv[0] = arena_text(m->arena, STR("postfix"));
    argv[1] = arena_text(m->arena, STR("-c"));
    argv[2] = arena_text(m->arena, i->dir);
    memcpy(argv + 3, command, n * sizeof *command);
    pid = start(m);
    if (pid == 0) {
        if (is_quiet)
            be_quiet();
        execv(path.p, argv);
        log_error(m->log, "exec %s: %m", path.p);
        _exit(127);
    }
    return wait_for(m, pid, path.p);
}

bool is_running(struct postmulti *m, const struct instance *i)
{
    char word[] = "status";
    char *command[] = {word, NULL};

    return call_postfix(m, i, command, true) == 0;
}

/* An instance that is not enabled is checked where others start, and is not controlled. */
static int run_one(struct postmulti *m, const struct instance *i)
{
    const struct config *primary = m->instances[0].config;
    struct str command = str_of(*m->o->args);
    char word[] = "check";
    char *check[] = {word, NULL};

    if (!i->is_enabled && str_list_has(primary->postmulti_start_commands, command))
        return call_postfix(m, i, check, false);
    if (!i->is_enabled && str_list_has(primary->postmulti_control_commands, command))
        return 0;
    return call_postfix(m, i, m->o->args, false);
}

static struct instance **select_some(struct postmulti *m, bool reverse, size_t *n)
{
    struct instance **found = instances_select(m, reverse, n);

    if (*n == 0)
        log_fatal(m->log, 1, "no instance is selected; those that there are: postmulti -l");
    return found;
}

/* Stop in the reverse order of start. */
int run_postfix(struct postmulti *m)
{
    bool stops = str_list_has(m->instances[0].config->postmulti_stop_commands, str_of(*m->o->args));
    int status = 0;
    size_t n;
    struct instance **found = select_some(m, stops != m->o->reverse, &n);

    for (size_t i = 0; i < n; i++) {
        int one = run_one(m, found[i]);
        status = one ? 1 : status;
    }
    return status;
}

static void set_environment(const struct instance *i)
{
    const struct {
        const char *name;
        struct str value;
    } variables[] = {
        {"MAIL_CONFIG", i->dir},
        {"command_directory", i->config->command_directory},
        {"daemon_directory", i->config->daemon_directory},
        {"config_directory", i->dir},
        {"queue_directory", i->config->queue_directory},
        {"data_directory", i->config->data_directory},
        {"multi_instance_name", i->name},
        {"multi_instance_group", i->group},
        {"multi_instance_enable", i->is_enabled ? STR("yes") : STR("no")},
    };

    for (size_t k = 0; k < sizeof variables / sizeof *variables; k++)
        setenv(variables[k].name, variables[k].value.p, 1);
}

int run_command(struct postmulti *m)
{
    int status = 0;
    size_t n;
    struct instance **found = select_some(m, m->o->reverse, &n);

    for (size_t i = 0; i < n; i++) {
        pid_t pid = start(m);
        int one;
        if (pid == 0) {
            set_environment(found[i]);
            execvp(*m->o->args, m->o->args);
            log_error(m->log, "exec %s: %m", *m->o->args);
            _exit(127);
        }
        one = wait_for(m, pid, *m->o->args);
        status = one ? 1 : status;
    }
    return status;
}
