/*
 * The daemon: looks into the spool directory again and again, and gives each complete file to a
 * process of its own.
 */
#include "smtpfwdd/drain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "util/file.h"
#include "util/map.h"
#include "util/memory.h"

#define LOCK_NAME ".smtpfwdd.lock"

enum { INCOMPLETE_SECONDS = 86400 };

struct child {
    pid_t pid; /* 0: free */
    char name[256];
};

struct work {
    struct drain *d;
    struct child *children;
    long running;
    struct map told; /* incomplete files, to the time when that was logged */
};

/* ---- start ---- */

static void become_user(const struct drain *d)
{
    if (geteuid() != 0)
        return;
    if (setgroups(1, &d->account.gid) < 0 || setgid(d->account.gid) < 0 ||
        setuid(d->account.uid) < 0)
        log_fatal(&d->command->log, EX_OSERR, "become user %s: %m", d->account.name);
}

static void take_lock(struct drain *d)
{
    struct why why;

    d->lock_fd = open(LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        log_fatal(&d->command->log, EX_OSERR, "%s/" LOCK_NAME ": %m", d->directory);
    if (fd_lock(d->lock_fd, true, false, &why) != RC_OK)
        log_fatal(&d->command->log, EX_CONFIG, "smtpfwdd is already running for %s", d->directory);
}

static void write_pid(const struct drain *d, pid_t pid)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)pid);

    if (ftruncate(d->lock_fd, 0) < 0 || pwrite(d->lock_fd, text, (size_t)n, 0) != n)
        log_fatal(&d->command->log, EX_OSERR, "%s/" LOCK_NAME ": %m", d->directory);
}

/* The lock has its process id when the command is done. */
static void detach(const struct drain *d)
{
    int null;
    pid_t pid = d->foreground ? getpid() : fork();

    if (pid < 0)
        log_fatal(&d->command->log, EX_OSERR, "fork: %m");
    if (pid > 0)
        write_pid(d, pid);
    if (d->foreground)
        return;
    if (pid > 0)
        _exit(0);
    setsid();
    null = open("/dev/null", O_RDWR);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

/* ---- which files ---- */

static void report_incomplete(struct work *w, const char *name, const struct stat *st, time_t now)
{
    long *told = map_get(&w->told, str_of(name));

    if (now - st->st_mtime < INCOMPLETE_SECONDS || (told && now - *told < INCOMPLETE_SECONDS))
        return;
    if (told == NULL) {
        told = NEW(long);
        map_put(&w->told, str_of(name), told);
    }
    *told = now;
    log_warning(&w->d->command->log, "%s/%s: not complete for %ld hours; its writer may have died",
                w->d->directory, name, (long)(now - st->st_mtime) / 3600);
}

static bool is_due(struct work *w, const char *name)
{
    time_t now = time(NULL);
    struct stat st;

    if (strncmp(name, SPOOL_PREFIX, strlen(SPOOL_PREFIX)) != 0 || lstat(name, &st) < 0 ||
        !S_ISREG(st.st_mode))
        return false;
    if ((st.st_mode & SPOOL_COMPLETE) != SPOOL_COMPLETE) {
        report_incomplete(w, name, &st, now);
        return false;
    }
    return (st.st_mode & 0777) != SPOOL_MODE_TRIED || w->d->once ||
           now - st.st_mtime >= w->d->retry_seconds;
}

static bool is_in_work(const struct work *w, const char *name)
{
    for (long i = 0; i < w->d->children_max; i++)
        if (w->children[i].pid && strcmp(w->children[i].name, name) == 0)
            return true;
    return false;
}

/* ---- children ---- */

static void ended(struct work *w, pid_t pid, int status)
{
    for (long i = 0; i < w->d->children_max; i++)
        if (w->children[i].pid == pid) {
            w->children[i].pid = 0;
            w->running--;
        }
    if (!WIFEXITED(status))
        log_warning(&w->d->command->log, "process %ld ended by signal %d", (long)pid,
                    WTERMSIG(status));
    else if (WEXITSTATUS(status) == EX_CONFIG)
        log_fatal(&w->d->command->log, EX_CONFIG, "the mailer %s says that it is misconfigured",
                  w->d->mailer);
}

static void reap(struct work *w, bool wait)
{
    int status;
    pid_t pid;

    while (w->running && (pid = waitpid(-1, &status, wait ? 0 : WNOHANG)) > 0) {
        ended(w, pid, status);
        wait = false;
    }
}

static void start(struct work *w, const char *name)
{
    long i = 0;
    pid_t pid;

    while (w->running >= w->d->children_max)
        reap(w, true);
    while (w->children[i].pid)
        i++;
    pid = fork();
    if (pid == 0)
        forward_file(w->d, name);
    if (pid < 0) {
        log_warning(&w->d->command->log, "fork: %m");
        return;
    }
    w->children[i].pid = pid;
    snprintf(w->children[i].name, sizeof w->children[i].name, "%s", name);
    w->running++;
}

static void scan(struct work *w)
{
    DIR *directory = opendir(".");
    const struct dirent *e;

    if (directory == NULL)
        log_fatal(&w->d->command->log, EX_OSERR, "%s: %m", w->d->directory);
    while ((e = readdir(directory)) != NULL)
        if (!is_in_work(w, e->d_name) && is_due(w, e->d_name))
            start(w, e->d_name);
    closedir(directory);
}

/* A child that ends makes place before the time is over. */
static void rest(struct work *w)
{
    sigset_t set;
    struct timespec limit = {w->d->poll_seconds, 0};

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigtimedwait(&set, NULL, &limit);
    reap(w, false);
}

int drain_main(int argc, char **argv)
{
    struct command c;
    struct drain d = {.command = &c};
    struct work w = {.d = &d};
    struct why why;
    sigset_t set;

    command_init(&c, argv[0]);
    c.failure = EX_CONFIG;
    drain_options(&d, argc, argv);
    if (spool_directory_check(d.directory, d.account.uid, &why) != RC_OK)
        log_fatal(&c.log, EX_CONFIG, "%s", why.text);
    umask(077);
    become_user(&d);
    if (chdir(d.directory) < 0)
        log_fatal(&c.log, EX_OSERR, "%s: %m", d.directory);
    take_lock(&d); /* before detach(): who starts a second one must hear it */
    detach(&d);
    w.children = NEW_ARRAY(struct child, (size_t)d.children_max);
    map_init(&w.told);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        scan(&w);
        if (d.once)
            break;
        rest(&w);
    }
    while (w.running)
        reap(&w, true);
    return 0;
}
