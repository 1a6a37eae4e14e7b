#include "deliver/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <paths.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "deliver/mailbox.h"
#include "util/clock.h"
#include "util/file.h"

/* ---- environment ---- */

void environment_set(struct environment *e, const char *name, struct str value)
{
    size_t n = strlen(name);
    char *text = arena_text(e->arena, arena_printf(e->arena, "%s=" STR_FMT, name, STR_ARG(value)));

    for (size_t i = 0; i < e->list.n; i++)
        if (strncmp(e->list.v[i], text, n + 1) == 0) {
            e->list.v[i] = text;
            return;
        }
    vec_add(e->arena, &e->list, text);
}

void environment_init(struct environment *e, struct arena *a, const struct config *config)
{
    struct str rest = config->export_environment, item;

    *e = (struct environment){.arena = a};
    environment_set(e, "PATH", STR(_PATH_DEFPATH));
    while (str_token_braced(&rest, LIST_SEPARATORS, &item)) {
        struct str value = item, name;
        if (item.n > 2 && item.p[0] == '{')
            value = str_trim((struct str){item.p + 1, item.n - 2});
        name = str_trim(str_cut(&value, '='));
        if (value.p)
            value = str_trim(value);
        else
            value = str_of(getenv(arena_text(a, name)));
        if (value.p)
            environment_set(e, arena_text(a, name), value);
    }
}

char *const *environment_vector(struct environment *e)
{
    vec_add(e->arena, &e->list, NULL);
    e->list.n--;
    return e->list.v;
}

char **process_words(struct arena *a, struct str text)
{
    VEC(char *) words = {0};
    struct str word;

    while (str_token(&text, " \t\r\n", &word))
        vec_add(a, &words, arena_text(a, word));
    vec_add(a, &words, NULL);
    return words.v;
}

/* ---- start ---- */

enum step { STEP_CHROOT, STEP_DIRECTORY, STEP_IDENTITY, STEP_EXEC };

struct report { /* from the child when it does not get as far as the program */
    enum step step;
    int error;
};

static int become(const struct process *p)
{
    if (syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0 ||
        syscall(SYS_setgroups, 1, &p->gid) < 0)
        return -1;
    return (int)syscall(SYS_setresuid, p->uid, p->uid, p->uid);
}

_Noreturn static void give_up(int to, enum step step)
{
    struct report r = {step, errno};

    (void)!write(to, &r, sizeof r);
    _exit(75);
}

/* Between fork and exec. */
_Noreturn static void run(const struct service_env *env, const struct process *p, int report)
{
    sigset_t none;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    if (!env->rootless) {
        if (geteuid() != 0 && syscall(SYS_setresuid, -1, 0, -1) < 0)
            give_up(report, STEP_IDENTITY);
        if (p->chroot && chroot(p->chroot) < 0)
            give_up(report, STEP_CHROOT);
        if (p->chroot && chdir("/") < 0)
            give_up(report, STEP_CHROOT);
        if (become(p) < 0)
            give_up(report, STEP_IDENTITY);
    }
    if (p->directory && chdir(p->directory) < 0)
        give_up(report, STEP_DIRECTORY);
    (void)syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC); /* whoever forgot it */
    if (dup2(p->input, 0) < 0 || dup2(p->output, 1) < 0 || dup2(p->error, 2) < 0)
        give_up(report, STEP_EXEC);
    execvpe(p->argv[0], p->argv, p->environment);
    give_up(report, STEP_EXEC);
}

static enum rc failed(const struct process *p, const struct report *r, struct why *why)
{
    errno = r->error;
    switch (r->step) {
    case STEP_CHROOT: return FAIL(why, RC_TEMP, "change root to %s: %m", p->chroot);
    case STEP_DIRECTORY:
        return FAIL(why, RC_TEMP, "change working directory to %s: %m", p->directory);
    case STEP_IDENTITY: return FAIL(why, RC_TEMP, "become user %u group %u: %m", p->uid, p->gid);
    default: return FAIL(why, RC_TEMP, "execute %s: %m", p->argv[0]);
    }
}

/* The child must not find its own descriptors at 0 to 2 before dup2() puts them there. */
static int above_standard(int fd)
{
    return fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

enum rc process_account(const struct service_env *env, struct str value, uid_t *uid, gid_t *gid,
                        struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    struct str group = value, user = str_cut(&group, ':');
    struct passwd *pw = getpwnam(arena_text(a, user));
    struct group *gr = group.n ? getgrnam(arena_text(a, group)) : NULL;

    if (pw == NULL)
        return FAIL(why, RC_CONFIG,
                    "service %s: user=" STR_FMT ": no such account; create it or name another",
                    env->name, STR_ARG(user));
    if (group.n && gr == NULL)
        return FAIL(why, RC_CONFIG, "service %s: user=" STR_FMT ": no such group", env->name,
                    STR_ARG(value));
    *uid = pw->pw_uid;
    *gid = gr ? gr->gr_gid : pw->pw_gid;
    if (*uid == 0 || *gid == 0)
        return FAIL(why, RC_CONFIG,
                    "service %s: user=" STR_FMT
                    " would run the command with the rights of root; name an account of its own",
                    env->name, STR_ARG(value));
    if (!env->rootless && *uid == env->mail_uid)
        return FAIL(why, RC_CONFIG,
                    "service %s: user=" STR_FMT " is mail_owner; name an account of its own",
                    env->name, STR_ARG(value));
    return RC_OK;
}

enum rc process_start(const struct service_env *env, const struct process *p, pid_t *pid,
                      struct why *why)
{
    struct process child = *p;
    struct report r;
    int fds[2];
    ssize_t n;

    child.input = above_standard(p->input);
    child.output = above_standard(p->output);
    child.error = p->error > 0 ? above_standard(p->error) : child.output;
    if (child.input < 0 || child.output < 0 || child.error < 0 || pipe2(fds, O_CLOEXEC) < 0)
        return FAIL(why, RC_TEMP, "descriptors for %s: %m", p->argv[0]);
    *pid = fork();
    if (*pid == 0)
        run(env, &child, above_standard(fds[1]));
    if (child.input != p->input)
        close(child.input);
    if (child.output != p->output)
        close(child.output);
    if (p->error > 0 && child.error != p->error)
        close(child.error);
    close(fds[1]);
    if (*pid < 0) {
        close(fds[0]);
        return FAIL(why, RC_TEMP, "fork: %m");
    }
    do
        n = read(fds[0], &r, sizeof r);
    while (n < 0 && errno == EINTR);
    close(fds[0]);
    if (n == sizeof r) {
        int status;
        while (waitpid(*pid, &status, 0) < 0 && errno == EINTR)
            ;
        return failed(p, &r, why);
    }
    return RC_OK;
}

/* ---- end ---- */

enum rc process_wait(pid_t pid, long deadline_ms, int *status, struct why *why)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {fd, POLLIN, 0};

    while (deadline_ms > 0) {
        long left = deadline_ms - clock_ms();
        pid_t r = waitpid(pid, status, WNOHANG);
        if (r == pid)
            return RC_OK;
        if (r < 0 && errno != EINTR)
            return FAIL(why, RC_TEMP, "wait for process %d: %m", (int)pid);
        if (left <= 0)
            return FAIL(why, RC_TIMEOUT, "process %d runs too long", (int)pid);
        if (fd < 0 && left > 50)
            left = 50; /* an old kernel: ask now and then */
        (void)poll(&ended, fd < 0 ? 0 : 1, left > 60000 ? 60000 : (int)left);
    }
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR)
            return FAIL(why, RC_TEMP, "wait for process %d: %m", (int)pid);
    return RC_OK;
}

void process_kill(const struct service_env *env, pid_t pid)
{
    struct why why;
    int status;

    if (identity_assume(env, 0, 0, &why) != RC_OK)
        log_warning(&env->log, "end process %d: %s", (int)pid, why.text);
    if (kill(-pid, SIGKILL) < 0)
        kill(pid, SIGKILL);
    identity_restore(env);
    (void)!process_wait(pid, 0, &status, &why);
}
