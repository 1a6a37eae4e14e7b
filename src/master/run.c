/* master at work: signals, reload, the end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/master.h"
#include "util/file.h"

enum { STOP_PATIENCE_MS = 4000, KILL_ROUNDS = 10, KILL_ROUND_US = 20 * 1000 };

/*
 * Orphans of services (commands of users, each in a session of its own) become children of master,
 * so that they end with it.
 */
void master_adopt_orphans(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static void signal_orphans(int signal_number)
{
    char text[16 * 1024];
    AUTO_CLOSE int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    struct str rest = {text, n > 0 ? (size_t)n : 0}, word;
    long pid;

    while (str_token(&rest, " ", &word)) {
        if (!str_to_long(word, 2, INT_MAX, &pid))
            continue;
        kill((pid_t)pid, signal_number);
        if (getpgid((pid_t)pid) == pid) /* and what it has started */
            kill((pid_t)-pid, signal_number);
    }
}

/* postlogd writes what the others say at their end, so it goes last. */
static bool is_last(const struct master_service *s)
{
    return s->entry && s->entry->type == MASTER_UNIX_DGRAM;
}

static void signal_services(const struct master *m, int signal_number, bool last_as_well)
{
    for (const struct master_service *s = m->services; s; s = s->next)
        for (const struct child *c = s->children; c && (last_as_well || !is_last(s)); c = c->next)
            kill(c->pid, signal_number);
}

static bool has_services(const struct master *m, bool last)
{
    for (const struct master_service *s = m->services; s; s = s->next)
        if (s->children && is_last(s) == last)
            return true;
    return false;
}

static _Noreturn void leave(struct master *m)
{
    log_close(&m->log);
    exit(0);
}

/* Killing one may leave its children to us: a few rounds. */
static void patience_is_over(void *context)
{
    struct master *m = context;

    log_warning(&m->log, "some processes ignored the signal to end; killing them");
    for (int round = 0; round < KILL_ROUNDS && !children_are_gone(m); round++) {
        signal_services(m, SIGKILL, true);
        signal_orphans(SIGKILL);
        usleep(KILL_ROUND_US);
    }
    leave(m);
}

/* After each end of a child: services first, then what they have left behind. */
static void stop_goes_on(struct master *m)
{
    if (has_services(m, false))
        return;
    if (has_services(m, true)) {
        for (struct master_service *s = m->services; s; s = s->next)
            children_dismiss(s, 0);
        return;
    }
    if (children_are_gone(m))
        leave(m);
    signal_orphans(SIGTERM);
}

void master_stop(struct master *m, const char *reason)
{
    if (m->stopping)
        return;
    m->stopping = true;
    log_info(&m->log, "terminating%s", reason);
    systemd_notify("STOPPING=1");
    for (struct master_service *s = m->services; s; s = s->next)
        service_review(s);
    signal_services(m, SIGTERM, false);
    loop_after(m->loop, STOP_PATIENCE_MS, patience_is_over, m);
    if (has_services(m, true) && !has_services(m, false))
        stop_goes_on(m);
}

static void stop_by_signal(struct master *m, int number)
{
    char reason[32];

    snprintf(reason, sizeof reason, " on signal %d", number);
    master_stop(m, reason);
}

static enum rc check_unchangeable(const struct master *m, const struct generation *g,
                                  struct why *why)
{
    const struct config *old = m->current->config, *new = g->config;

    if (!str_eq(old->queue_directory, new->queue_directory))
        return FAIL(why, RC_CONFIG, "to change queue_directory, stop and start the mail system");
    if (!str_eq(old->data_directory, new->data_directory))
        return FAIL(why, RC_CONFIG, "to change data_directory, stop and start the mail system");
    if (!str_eq(old->mail_owner, new->mail_owner))
        return FAIL(why, RC_CONFIG, "to change mail_owner, stop and start the mail system");
    return RC_OK;
}

void master_reload(struct master *m)
{
    struct generation *old = m->current, *g = NULL;
    struct why why;

    systemd_notify("RELOADING=1");
    if (generation_new(m, &g, &why) != RC_OK || check_unchangeable(m, g, &why) != RC_OK) {
        log_error(&m->log, "reload refused, the running configuration stays: %s", why.text);
        generation_free(g);
        futimens(m->pid_lock, NULL);
        systemd_notify("READY=1");
        return;
    }
    environment_free(m->environment);
    m->environment = environment_new(g->config, m->options.config_directory);
    m->current = g;
    master_open_log(m, false);
    log_info(&m->log, "reload -- version " STR_FMT ", configuration %s",
             STR_ARG(g->config->mail_version), m->options.config_directory);
    if (services_apply(m, false, &why) != RC_OK)
        log_error(&m->log, "%s", why.text);
    master_open_remote(m);
    generation_free(old);
    futimens(m->pid_lock, NULL); /* "postfix reload" waits for it */
    systemd_notify("READY=1");
}

static void signals_came(void *context, int events)
{
    struct master *m = context;
    struct signalfd_siginfo info;

    (void)events;
    while (read(m->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            master_reload(m);
        else if (info.ssi_signo == SIGCHLD)
            (void)children_are_gone(m);
        else
            stop_by_signal(m, (int)info.ssi_signo);
    }
    if (m->stopping)
        stop_goes_on(m);
}

static void exit_time_is_over(void *context)
{
    master_stop(context, ": exit time of option -e is over");
}

void master_watch_signals(struct master *m)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    m->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (m->signals < 0)
        log_fatal(&m->log, 1, "signalfd: %m");
    loop_watch(m->loop, m->signals, LOOP_READ, signals_came, m);
}

_Noreturn void master_run(struct master *m)
{
    master_rotate_logs(m);
    master_open_remote(m);
    if (m->options.exit_seconds)
        loop_after(m->loop, m->options.exit_seconds * 1000, exit_time_is_over, m);
    loop_run(m->loop);
    leave(m);
}
