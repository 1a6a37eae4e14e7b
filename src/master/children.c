/* Processes of a service: start, what they report, how they end. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master/master.h"
#include "service/status.h"
#include "util/clock.h"
#include "util/memory.h"

/* ---- throttling ---- */

static void throttle_is_over(void *context)
{
    struct master_service *s = context;

    s->throttle_timer = NULL;
    s->throttled = false;
    service_review(s);
}

static void throttle_service(struct master_service *s)
{
    struct master *m = s->master;

    if (s->throttled || s->entry == NULL)
        return;
    s->throttled = true;
    s->throttle_timer =
        loop_after(m->loop, m->current->config->service_throttle_time * 1000, throttle_is_over, s);
}

static void failed(struct master_service *s, const char *path, bool served)
{
    struct master *m = s->master;

    if (s->entry == NULL || !throttle_failure(&s->throttle, served, clock_ms(),
                                              m->current->config->service_throttle_time * 1000))
        return;
    log_warning(&m->log,
                served ? "%s: fails again and again -- throttling"
                       : "%s: bad command startup -- throttling",
                path);
    throttle_service(s);
}

/* ---- what children report ---- */

static void end_of_report(struct child *c)
{
    loop_unwatch(c->master->loop, c->status);
    close(c->status);
    c->status = -1;
}

static void first_session(struct child *c)
{
    struct master_service *s = c->service;

    c->served = true;
    if (s->used)
        return;
    s->used = true;
    if (s->entry && s->entry->wakeup_only_if_used)
        wakeup_begin(s);
}

static void handle(struct child *c, const struct status_report *r)
{
    struct master_service *s = c->service;
    long sessions = c->account.sessions;
    bool is_draining = c->account.state == CHILD_DRAINING;

    if (r->word == STATUS_USED) {
        first_session(c);
        return;
    }
    if (r->word >= STATUS_SET_TRACE) {
        control_take(c, r);
        return;
    }
    if (r->value < 0)
        return;
    if (r->word == STATUS_DRAINING)
        account_change(&s->account, &c->account, CHILD_DRAINING, r->value);
    else if (r->word == STATUS_STARTED && !is_draining)
        account_change(&s->account, &c->account, CHILD_ROOM, r->value);
    else if (r->word == STATUS_FULL && !is_draining)
        account_change(&s->account, &c->account, CHILD_FULL, sessions);
    else if (r->word == STATUS_ROOM && !is_draining)
        account_change(&s->account, &c->account, CHILD_ROOM, sessions);
    s->at_limit = false;
    if (r->word == STATUS_DRAINING && !c->accepts_no_more) {
        c->accepts_no_more = true;
        children_ask(s, STATUS_LOOK);
    }
    /* a busy process that retires: its successor need not wait for somebody to ask */
    if (r->word == STATUS_DRAINING && !is_draining && r->value > 0 && s->entry && !s->throttled &&
        !service_is_paused(s) && s->account.with_room == 0 && account_next(&s->account) > 0)
        child_start(s);
    service_review(s);
}

static void child_speaks(void *context, int events)
{
    struct child *c = context;
    struct status_report report;

    (void)events;
    for (;;) {
        ssize_t n = recv(c->status, &report, sizeof report, MSG_DONTWAIT);
        if (n == sizeof report) {
            handle(c, &report);
            continue;
        }
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            end_of_report(c);
        return;
    }
}

void children_ask(struct master_service *s, char request)
{
    for (struct child *c = s->children; c; c = c->next)
        if (c->status >= 0 && !c->dismissed)
            (void)!send(c->status, &request, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void children_dismiss(struct master_service *s, int signal_number)
{
    for (struct child *c = s->children; c; c = c->next) {
        c->dismissed = true;
        if (signal_number)
            kill(c->pid, signal_number);
        else if (c->status >= 0)
            shutdown(c->status, SHUT_WR); /* the end of the channel means: drain */
        if (c->account.state != CHILD_DRAINING)
            account_change(&s->account, &c->account, CHILD_DRAINING, c->account.sessions);
    }
}

/* ---- the end ---- */

static const char *path_of(const struct child *c, char path[PATH_MAX])
{
    const struct str dir = c->master->current->config->daemon_directory;

    snprintf(path, PATH_MAX, STR_FMT "/%s", STR_ARG(dir), c->command);
    return path;
}

static void ended(struct child *c, int status)
{
    struct master_service *s = c->service;
    const struct log *log = &c->master->log;
    struct child **link = &s->children;
    char path[PATH_MAX];
    bool told = c->dismissed && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;

    if (c->status >= 0)
        child_speaks(c, LOOP_READ); /* what it said last */
    if (c->status >= 0)
        end_of_report(c);
    account_end(&s->account, &c->account);
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    path_of(c, path);
    log_trace(log, LOG_TRACE_MPROC, "mproc: ended %s pid %d status %d", path, (int)c->pid, status);
    if (!c->master->stopping && !told && status != 0) {
        if (WIFSIGNALED(status))
            log_warning(log, "process %s pid %d killed by signal %d", path, (int)c->pid,
                        WTERMSIG(status));
        else
            log_warning(log, "process %s pid %d exit status %d", path, (int)c->pid,
                        WEXITSTATUS(status));
        if (!c->dismissed) {
            failed(s, path, c->served);
            wakeup_after_crash(s);
        }
    }
    if (!c->accepts_no_more)
        children_ask(s, STATUS_LOOK);
    free(c->command);
    free(c);
    s->at_limit = false;
    service_review(s);
}

static struct child *find(struct master *m, pid_t pid)
{
    for (struct master_service *s = m->services; s; s = s->next)
        for (struct child *c = s->children; c; c = c->next)
            /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
            if (c->pid == pid)
                return c;
    return NULL;
}

bool children_are_gone(struct master *m)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c = find(m, pid);
        if (c) /* else an orphan of one */
            ended(c, status);
    }
    return pid < 0 && errno == ECHILD;
}

/* ---- start ---- */

static char **arguments(const struct master_service *s, struct arena *a)
{
    const struct master_entry *e = s->entry;
    const struct master_options *o = &s->master->options;
    VEC(const char *) list = {0};

    vec_add(a, &list, arena_text(a, e->command));
    if (e->maxproc == 1)
        vec_add(a, &list, "-l");
    if (e->maxproc == 0)
        vec_add(a, &list, "-z");
    if (!str_eq(e->name, e->command)) {
        vec_add(a, &list, "-n");
        vec_add(a, &list, arena_text(a, e->name));
    }
    vec_add(a, &list, "-t");
    vec_add(a, &list, master_type_name(e->type));
    if (o->debug_stdio)
        vec_add(a, &list, "-d");
    for (int i = 0; i < o->verbose; i++)
        vec_add(a, &list, "-v");
    if (e->is_unprivileged)
        vec_add(a, &list, "-u");
    if (e->is_chrooted && !s->master->rootless)
        vec_add(a, &list, "-c");
    if (s->has_stress) {
        vec_add(a, &list, "-o");
        vec_add(a, &list, s->stressed ? "stress=yes" : "stress=");
    }
    if (s->n_endpoints > 1) {
        vec_add(a, &list, "-s");
        vec_add(a, &list, arena_printf(a, "%zu", s->n_endpoints).p);
    }
    for (size_t i = 0; i < e->args_n; i++)
        vec_add(a, &list, e->args[i].p);
    vec_add(a, &list, NULL);
    return (char **)list.v;
}

static char **environment(const struct master_service *s, long sessions, struct arena *a)
{
    const struct master *m = s->master;
    VEC(const char *) list = {0};
    size_t first = FIRST_LISTEN_FD + s->n_endpoints;

    for (char **e = m->environment; *e; e++)
        vec_add(a, &list, *e);
    vec_add(a, &list, arena_printf(a, "GENERATION=%o", m->current->number).p);
    vec_add(a, &list, arena_printf(a, SERVICE_SESSIONS_ENVIRONMENT "=%ld", sessions).p);
    vec_add(a, &list, arena_printf(a, CONFIG_FD_ENVIRONMENT "=%zu:%zu", first, first + 1).p);
    vec_add(a, &list, arena_printf(a, BOARD_ENVIRONMENT "=%zu:%zu", first + 2, first + 3).p);
    vec_add(a, &list, arena_printf(a, FILES_FD_ENVIRONMENT "=%zu", first + 4).p);
    if (kept_is_wanted(s->entry->command.p))
        vec_add(a, &list, arena_printf(a, KEPT_ENVIRONMENT "=%zu", first + 5).p);
    vec_add(a, &list, NULL);
    return (char **)list.v;
}

/* postlogd writes to standard output when maillog_file says so. */
static bool needs_stdout(const struct master_service *s)
{
    return str_eq(s->entry->command, STR("postlogd")) &&
           str_has_prefix(s->master->current->config->maillog_file, STR("/dev/"));
}

/*
 * Descriptors 3 and up of the child. They go through numbers above all of them, so that no copy
 * overwrites one that is still to be copied.
 */
static void pass_descriptors(posix_spawn_file_actions_t *actions, const struct master_service *s,
                             int status, struct arena *a)
{
    const struct master *m = s->master;
    VEC(int) list = {0};
    int above = 0;

    vec_add(a, &list, m->flow[0]);
    vec_add(a, &list, m->flow[1]);
    vec_add(a, &list, status);
    for (size_t i = 0; i < s->n_endpoints; i++)
        vec_add(a, &list, s->endpoints[i].fd);
    vec_add(a, &list, m->current->main_fd);
    vec_add(a, &list, m->current->master_fd);
    vec_add(a, &list, m->board.switches_fd);
    vec_add(a, &list, m->board.counters_fd);
    vec_add(a, &list, m->current->files_fd);
    if (kept_is_wanted(s->entry->command.p))
        vec_add(a, &list, m->kept_fd);
    for (size_t i = 0; i < list.n; i++)
        above = list.v[i] >= above ? list.v[i] + 1 : above;
    if (above < FLOW_READ_FD + (int)list.n)
        above = FLOW_READ_FD + (int)list.n;
    for (int i = 0; i < (int)list.n; i++)
        posix_spawn_file_actions_adddup2(actions, list.v[i], above + i);
    for (int i = 0; i < (int)list.n; i++) {
        posix_spawn_file_actions_adddup2(actions, above + i, FLOW_READ_FD + i);
        posix_spawn_file_actions_addclose(actions, above + i);
    }
    if (!m->options.debug_stdio) {
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (!needs_stdout(s))
            posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
    }
}

static int spawn(struct master_service *s, const char *path, long sessions, int status, pid_t *pid)
{
    AUTO_ARENA a = arena_new(4096);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawn_file_actions_init(&actions);
    pass_descriptors(&actions, s, status, a);
    error =
        posix_spawn(pid, path, &actions, &attributes, arguments(s, a), environment(s, sessions, a));
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

void child_start(struct master_service *s)
{
    struct master *m = s->master;
    struct child *c = NEW(struct child);
    long sessions = account_next(&s->account);
    char path[PATH_MAX];
    int pair[2] = {-1, -1}, error;

    *c = (struct child){.master = m,
                        .service = s,
                        .status = -1,
                        .command = memory_text(s->entry->command.p),
                        .generation = m->current->number};
    path_of(c, path);
    error = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0
                ? errno
                : spawn(s, path, sessions, pair[1], &c->pid);
    close(pair[1]);
    if (error) {
        errno = error;
        log_warning(&m->log, "start %s: %m", path);
        close(pair[0]);
        free(c->command);
        free(c);
        failed(s, path, false);
        return;
    }
    c->status = pair[0];
    c->next = s->children;
    s->children = c;
    account_begin(&s->account, &c->account, sessions);
    loop_watch(m->loop, c->status, LOOP_READ, child_speaks, c);
    log_trace(&m->log, LOG_TRACE_MPROC, "mproc: started %s pid %d for %s", path, (int)c->pid,
              s->key.p);
}
