/* From the command line to the first turn of the event loop. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/master.h"

/* on_terminal: also to standard error, until somebody who waits for the start has heard of it. */
void master_open_log(struct master *m, bool on_terminal)
{
    const struct config *c = m->current->config;
    AUTO_ARENA a = arena_new(512);
    struct log_options o = {
        .tag = arena_printf(a, STR_FMT "/master", STR_ARG(c->syslog_name)).p,
        .progname = "master",
        .facility = c->syslog_facility.p,
        .file = c->maillog_file.p,
        .file_mode = c->maillog_file_permissions.p,
        .postlog = arena_printf(a, "public/" STR_FMT, STR_ARG(c->postlog_service_name)).p,
        .to_stderr = on_terminal,
        .direct = true,
    };

    log_close(&m->log);
    log_open(&m->log, &o);
    m->log.verbose = m->options.verbose;
    log_watch(&m->log, &m->board.switches->trace, board_trace_of_program("master"));
}

static void become_leader_of_group(const struct master *m)
{
    if (m->options.foreground || m->options.debug_stdio) {
        if (getpgrp() != getpid())
            setpgid(0, 0);
    } else if (setsid() < 0 && getsid(0) != getpid()) {
        log_fatal(&m->log, 1, "unable to set session and process group ID: %m");
    }
}

static void raise_descriptor_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static void find_owner(struct master *m)
{
    const char *name = m->current->config->mail_owner.p;
    const struct passwd *p;

    m->rootless = geteuid() != 0;
    m->owner_uid = geteuid();
    m->owner_gid = getegid();
    if (m->rootless)
        return;
    p = getpwnam(name);
    if (p == NULL)
        log_fatal(&m->log, 1, "mail_owner = %s: no such user; create it, or name another one",
                  name);
    m->owner_uid = p->pw_uid;
    m->owner_gid = p->pw_gid;
}

static void warn_about_chroot(const struct master *m)
{
    int n = 0;

    for (size_t i = 0; i < m->current->services.n; i++)
        n += m->current->services.entries[i].is_chrooted;
    if (m->rootless && n)
        log_warning(&m->log,
                    "chroot of %d services in master.cf is ignored: this instance runs "
                    "without root",
                    n);
}

static void detach_stdio(const struct master *m)
{
    int null = open("/dev/null", O_RDWR);

    if (m->options.foreground || m->options.debug_stdio || null < 0) {
        if (null > 2)
            close(null);
        return;
    }
    for (int fd = 0; fd < 3; fd++)
        if (fd != null)
            dup2(null, fd);
    if (null > 2)
        close(null);
}

/* -w: the parent waits until the child listens, or has failed. Returns in the child. */
static int fork_and_wait(struct master *m)
{
    int fds[2];
    char ready;
    pid_t pid;

    if (!m->options.wait)
        return -1;
    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0)
        log_fatal(&m->log, 1, "fork: %m");
    if (pid == 0) {
        close(fds[0]);
        return fds[1];
    }
    close(fds[1]);
    while (read(fds[0], &ready, 1) < 0)
        if (errno != EINTR)
            _exit(1);
    _exit(ready == 'R' ? 0 : 1);
}

static void set_up(struct master *m)
{
    const struct config *c = m->current->config;
    struct why why;

    become_leader_of_group(m);
    master_adopt_orphans();
    umask(077);
    raise_descriptor_limit();
    find_owner(m);
    if (chdir(c->queue_directory.p) < 0)
        log_fatal(&m->log, 1, "chdir %s: %m; does queue_directory name it?", c->queue_directory.p);
    if (master_lock_take(c, &m->pid_lock, &m->data_lock, &why) != RC_OK)
        log_fatal(&m->log, 1, "%s", why.text);
    if (pipe2(m->flow, O_CLOEXEC | O_NONBLOCK) < 0)
        log_fatal(&m->log, 1, "pipe: %m");
    m->environment = environment_new(c, m->options.config_directory);
    m->loop = loop_new();
    master_watch_signals(m);
    if (services_apply(m, true, &why) != RC_OK)
        log_fatal(&m->log, 1, "%s", why.text);
}

/* The directory of main.cf as an absolute path, for the children. */
static const char *absolute(const struct master *m, const char *dir)
{
    char *path = realpath(dir, NULL);

    if (path == NULL)
        log_fatal(&m->log, 1, "configuration directory %s: %m", dir);
    return path;
}

/* -D: debugger_command looks at this process. */
static void run_debugger(const struct master *m)
{
    const struct config *c = m->current->config;
    AUTO_ARENA a = arena_new(512);
    struct str command;

    if (!m->options.debugger || c->debugger_command.n == 0 ||
        config_expand(c, a, c->debugger_command, &command, NULL) != RC_OK)
        return;
    if (system(arena_printf(a, "(" STR_FMT ")&", STR_ARG(command)).p) != 0)
        log_warning(&m->log, "debugger_command failed: " STR_FMT, STR_ARG(command));
}

/* -t: status 0 when no master holds the lock. */
static _Noreturn void test_lock(const struct master *m)
{
    struct why why;
    pid_t pid;

    if (master_lock_test(m->current->config, &pid, &why) != RC_OK)
        log_fatal(&m->log, 1, "%s", why.text);
    exit(pid ? 1 : 0);
}

_Noreturn void master_main(struct master *m, int argc, char **argv)
{
    const struct log_options first = {.progname = "master", .only_stderr = true};
    struct master_options *o = &m->options;
    struct why why;
    int ready_fd;

    log_open(&m->log, &first);
    if (master_options_parse(argc, argv, o, &why) != RC_OK)
        log_fatal(&m->log, 64, "%s", why.text);
    systemd_adopt(m);
    o->config_directory =
        absolute(m, o->config_directory ? o->config_directory : config_default_dir());
    if (generation_new(m, &m->current, &why) != RC_OK)
        log_fatal(&m->log, 1, "%s", why.text);
    if (o->test)
        test_lock(m);
    if (board_create(&m->board, &why) != RC_OK)
        log_fatal(&m->log, 1, "%s", why.text);
    if ((m->kept_fd = kept_create()) < 0)
        log_fatal(&m->log, 1, "memory that services keep: %m");
    control_begin(m);
    ready_fd = fork_and_wait(m);
    master_open_log(m, !o->foreground);
    set_up(m);
    warn_about_chroot(m);
    master_open_log(m, false);
    log_info(&m->log, "daemon started -- version " STR_FMT ", configuration %s",
             STR_ARG(m->current->config->mail_version), o->config_directory);
    detach_stdio(m);
    if (ready_fd >= 0) {
        (void)!write(ready_fd, "R", 1);
        close(ready_fd);
    }
    systemd_notify("READY=1");
    run_debugger(m);
    master_run(m);
}
