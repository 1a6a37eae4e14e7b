/* start, stop and their kin. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postfix/postfix.h"
#include "service/lock.h"
#include "util/clock.h"
#include "util/file.h"

enum {
    STOP_PATIENCE_MS = 5000,
    STOP_NOTICE_MS = 1000,
    GONE_PATIENCE_MS = 2000,
    RELOAD_PATIENCE_MS = 3000,
    POLL_US = 2000,
};

#define QUICK_START "quick-start" /* file in queue_directory: the next start skips all checks */

/* Pid of the running master; 0: none; -1: running, pid unknown. */
static pid_t running(const struct postfix *p)
{
    struct why why;
    pid_t pid;

    if (master_lock_test(p->config, &pid, &why) != RC_OK)
        log_fatal(&p->log, 1, "%s", why.text);
    return pid;
}

static pid_t must_run(const struct postfix *p)
{
    pid_t pid = running(p);

    if (pid == 0)
        log_fatal(&p->log, 1, "the Postfix mail system is not running");
    if (pid < 0)
        log_fatal(&p->log, 1,
                  "the lock of the Postfix mail system is held, but its pid file is "
                  "empty");
    return pid;
}

static void send_signal(const struct postfix *p, pid_t pid, int signal_number)
{
    if (kill(pid, signal_number) < 0 && errno != ESRCH)
        log_fatal(&p->log, 1, "signal master pid %d: %m", (int)pid);
}

/* ---- check ---- */

static bool run_integrity_check(struct postfix *p, bool thorough)
{
    struct why why;

    if (accounts_find(p, &why) != RC_OK || verify_installation(p, &why) != RC_OK ||
        layout_make(p, &why) != RC_OK) {
        log_error(&p->log, "%s", why.text);
        return false;
    }
    return verify_configuration(p, thorough);
}

static _Noreturn void integrity_failed(const struct postfix *p)
{
    log_fatal(&p->log, 1, "Postfix integrity check failed!");
}

int run_check_fatal(struct postfix *p)
{
    if (!run_integrity_check(p, true))
        integrity_failed(p);
    return 0;
}

int run_check_warn(struct postfix *p)
{
    struct why why;

    if (accounts_find(p, &why) != RC_OK)
        log_fatal(&p->log, 1, "%s", why.text);
    layout_warn(p);
    ownership_warn(p);
    compatibility_warn(p);
    return 0;
}

/* The queue's structure is postsuper's business. */
int run_check(struct postfix *p)
{
    char *argv[] = {(char *)"postsuper", NULL};
    AUTO_ARENA a = arena_new(512);
    const char *path = program_path(a, p->config->command_directory, argv[0]);

    run_check_fatal(p);
    run_check_warn(p);
    if (access(path, X_OK) == 0)
        return program_run(p, path, argv);
    return 0;
}

/* ---- start ---- */

static char *const *master_arguments(const struct postfix *p, const char *mode, struct arena *a)
{
    VEC(char *) argv = {0};

    vec_add(a, &argv, (char *)"master");
    if (mode)
        vec_add(a, &argv, (char *)mode);
    if (p->debugger)
        vec_add(a, &argv, (char *)"-D");
    for (int i = 0; i < p->verbose; i++)
        vec_add(a, &argv, (char *)"-v");
    vec_add(a, &argv, NULL);
    return argv.v;
}

static int start_master(struct postfix *p)
{
    AUTO_ARENA a = arena_new(512);

    log_info(&p->log, "starting the Postfix mail system");
    if (program_run(p, program_path(a, p->config->daemon_directory, "master"),
                    master_arguments(p, "-w", a)) == 0)
        return 0;
    log_fatal(&p->log, 1, "the mail system did not start; the lines above tell why");
}

static void must_not_run(const struct postfix *p)
{
    if (running(p))
        log_fatal(&p->log, 1, "the Postfix mail system is already running");
}

/* Left by quick-stop. */
static bool takes_quick_start(const struct postfix *p)
{
    AUTO_ARENA a = arena_new(256);

    return unlink(program_path(a, p->config->queue_directory, QUICK_START)) == 0;
}

int run_start(struct postfix *p)
{
    must_not_run(p);
    if (!takes_quick_start(p)) {
        if (!run_integrity_check(p, false))
            integrity_failed(p);
        compatibility_warn(p);
    }
    return start_master(p);
}

int run_quick_start(struct postfix *p)
{
    must_not_run(p);
    return start_master(p);
}

int run_start_fg(struct postfix *p)
{
    AUTO_ARENA a = arena_new(512);
    const char *path = program_path(a, p->config->daemon_directory, "master");

    if (p->config->multi_instance_directories.n)
        log_fatal(&p->log, 1,
                  "start-fg does not support multi_instance_directories; start each instance in a "
                  "container of its own");
    must_not_run(p);
    if (!takes_quick_start(p) && !run_integrity_check(p, false))
        integrity_failed(p);
    log_info(&p->log, "starting the Postfix mail system");
    execv(path, master_arguments(p, getpid() == 1 ? "-i" : "-s", a));
    log_fatal(&p->log, 1, "%s: %m", path);
}

/* ---- stop ---- */

/* Is there such a process, other than a zombie that waits for whoever reaps orphans? */
static bool is_alive(pid_t pid)
{
    AUTO_ARENA a = arena_new(1024);
    char path[64];
    struct str stat;
    ssize_t name_end;

    if (kill(pid, 0) < 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_read(path, 4096, a, &stat, NULL) != RC_OK)
        return true; /* no /proc: kill() has said all there is to know */
    name_end = str_rindex(stat, ')');
    return !str_has_prefix(str_from(stat, (size_t)(name_end + 2)), STR("Z"));
}

/* A process that ends lets go of its locks a moment before it is gone. */
static bool stopped_within(const struct postfix *p, pid_t pid, long patience_ms)
{
    long end = clock_ms() + patience_ms;

    while (running(p)) {
        if (clock_ms() > end)
            return false;
        usleep(POLL_US);
    }
    for (end = clock_ms() + GONE_PATIENCE_MS; is_alive(pid) && clock_ms() < end;)
        usleep(POLL_US);
    return true;
}

int run_stop(struct postfix *p)
{
    pid_t pid = must_run(p);

    log_info(&p->log, "stopping the Postfix mail system");
    send_signal(p, pid, SIGTERM);
    if (stopped_within(p, pid, STOP_NOTICE_MS))
        return 0;
    log_info(&p->log, "waiting for the Postfix mail system to terminate");
    if (stopped_within(p, pid, STOP_PATIENCE_MS - STOP_NOTICE_MS))
        return 0;
    log_warning(&p->log, "stopping the Postfix mail system with force");
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    return stopped_within(p, pid, STOP_NOTICE_MS) ? 0 : 1;
}

int run_quick_stop(struct postfix *p)
{
    AUTO_ARENA a = arena_new(256);
    const char *path = program_path(a, p->config->queue_directory, QUICK_START);
    int status = run_stop(p);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        log_fatal(&p->log, 1, "create %s: %m", path);
    close(fd);
    return status;
}

int run_abort(struct postfix *p)
{
    pid_t pid = must_run(p);

    log_info(&p->log, "aborting the Postfix mail system");
    send_signal(p, pid, SIGTERM);
    return 0;
}

/* Services see that master is gone, finish what they do, and end. */
int run_drain(struct postfix *p)
{
    pid_t pid = must_run(p);

    log_info(&p->log, "stopping the Postfix mail system");
    send_signal(p, pid, SIGKILL);
    return stopped_within(p, pid, STOP_PATIENCE_MS) ? 0 : 1;
}

/* ---- while it runs ---- */

/*
 * configuration_generator: the files are made anew, then this program starts over to read them. The
 * environment says that it was done.
 */
static void regenerate(struct postfix *p)
{
    static const char done[] = "POSTERN_GENERATED";
    struct str rest = p->config->configuration_generator, word;
    AUTO_ARENA a = arena_new(512);
    VEC(char *) argv = {0};
    char *again[] = {(char *)"postfix", (char *)"-c", (char *)p->config_directory, (char *)"reload",
                     NULL};

    if (rest.n == 0 || getenv(done))
        return;
    while (str_token_braced(&rest, LIST_SEPARATORS, &word)) {
        if (word.n > 1 && word.p[0] == '{')
            word = (struct str){word.p + 1, word.n - 2};
        vec_add(a, &argv, arena_text(a, word));
    }
    vec_add(a, &argv, NULL);
    if (program_run(p, program_path(a, p->config->command_directory, argv.v[0]), argv.v) != 0)
        log_fatal(&p->log, 1, "%s failed! The running configuration stays.", argv.v[0]);
    setenv(done, "yes", 1);
    execv(program_path(a, p->config->command_directory, "postfix"), again);
    log_fatal(&p->log, 1, "run postfix: %m");
}

int run_reload(struct postfix *p)
{
    pid_t pid = must_run(p);
    long stamp = master_lock_stamp(p->config), end = clock_ms() + RELOAD_PATIENCE_MS;

    regenerate(p);
    if (!run_integrity_check(p, true))
        log_fatal(&p->log, 1, "Postfix integrity check failed! The running configuration stays.");
    log_info(&p->log, "refreshing the Postfix mail system");
    send_signal(p, pid, SIGHUP);
    while (master_lock_stamp(p->config) == stamp && clock_ms() < end)
        usleep(POLL_US);
    return 0;
}

int run_status(struct postfix *p)
{
    pid_t pid = running(p);

    if (pid == 0) {
        log_info(&p->log, "the Postfix mail system is not running");
        return 1;
    }
    log_info(&p->log, "the Postfix mail system is running: PID: %d", (int)pid);
    return 0;
}

int run_flush(struct postfix *p)
{
    char *argv[] = {(char *)"postqueue", (char *)"-f", NULL};
    AUTO_ARENA a = arena_new(256);

    return program_run(p, program_path(a, p->config->command_directory, argv[0]), argv);
}
