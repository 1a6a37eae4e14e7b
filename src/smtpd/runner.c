#include "smtpd/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "smtpd/instructions.h"
#include "smtpd/smtpd.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/memory.h"

enum { REQUEST_MAX = 64 * 1024, STRINGS_MAX = 256, JOB_FDS = 3 };

struct runner {
    int socket;
};

/* ---- in the child: one request after the other ---- */

struct request {
    char bytes[REQUEST_MAX + 1];
    size_t n;
    int fds[JOB_FDS]; /* 0 and 1 of the program; where to tell how it ended */
};

static bool receive(int socket, struct request *q)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof q->fds)];
    } control;
    struct iovec io = {q->bytes, REQUEST_MAX};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;

    do
        n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0 || m.msg_controllen < CMSG_LEN(sizeof q->fds))
        return false;
    memcpy(q->fds, CMSG_DATA(&control.header), sizeof q->fds);
    q->n = (size_t)n;
    q->bytes[n] = '\0';
    return true;
}

/* Kind, command, NAME=VALUE ..., each with a NUL behind it. */
static _Noreturn void become_program(struct request *q)
{
    char *strings[STRINGS_MAX + 1];
    size_t n = 0;

    for (char *p = q->bytes; p < q->bytes + q->n && n < STRINGS_MAX; p += strlen(p) + 1)
        strings[n++] = p;
    strings[n] = NULL;
    if (n < 2 || dup2(q->fds[0], 0) < 0 || dup2(q->fds[1], 1) < 0)
        _exit(111);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (strings[0][0] == 's') {
        char shell[] = "/bin/sh", option[] = "-c";
        execve(shell, (char *[]){shell, option, strings[1], NULL}, strings + 2);
    } else {
        execve(strings[1], (char *[]){strings[1], NULL}, strings + 2);
    }
    _exit(errno == ENOENT ? 120 : 111);
}

/* A process of its own waits for the program, so that others need not; it dies with its asker. */
static _Noreturn void watch_program(struct request *q)
{
    pid_t pid = fork();
    struct pollfd p = {.fd = q->fds[2], .events = POLLRDHUP};
    int status = 0, result = -1;

    if (pid == 0)
        become_program(q);
    close(q->fds[0]);
    close(q->fds[1]);
    while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0)
        if (poll(&p, 1, 20) > 0) /* nobody waits any more */
            kill(-pid, SIGKILL);
    if (pid > 0 && WIFEXITED(status))
        result = WEXITSTATUS(status);
    (void)!write(q->fds[2], &result, sizeof result);
    _exit(0);
}

static void drop_privileges(const struct service_env *env)
{
    if (geteuid() != 0)
        return;
    if (setgroups(0, NULL) < 0 || setgid(env->mail_gid) < 0 || setuid(env->mail_uid) < 0)
        _exit(1);
}

static _Noreturn void serve(int socket, const struct service_env *env)
{
    struct request *q = NEW(struct request);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    drop_privileges(env);
    signal(SIGCHLD, SIG_IGN);
    while (receive(socket, q)) {
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGCHLD, SIG_DFL);
            watch_program(q);
        }
        for (int i = 0; i < JOB_FDS; i++)
            close(q->fds[i]);
    }
    _exit(0);
}

/* Nothing of its parent but the socket and standard error. */
static void close_others(int socket)
{
    if (dup2(socket, 3) < 0)
        _exit(1);
    for (int fd = 0; fd < 2; fd++) {
        int null = open("/dev/null", O_RDWR);
        if (null >= 0 && null != fd) {
            dup2(null, fd);
            close(null);
        }
    }
    close_range(4, ~0U, 0);
    fcntl(3, F_SETFD, FD_CLOEXEC);
}

enum rc runner_start(struct service_env *env, struct runner **out, struct why *why)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return FAIL(why, RC_TEMP, "socket for programs: %m");
    pid = fork();
    if (pid < 0)
        return FAIL(why, RC_TEMP, "process for programs: %m");
    if (pid == 0) {
        close_others(pair[1]);
        serve(3, env);
    }
    close(pair[1]);
    *out = NEW(struct runner);
    (*out)->socket = pair[0];
    return RC_OK;
}

/* ---- in smtpd ---- */

static enum rc send_request(struct runner *r, struct str bytes, const int fds[JOB_FDS],
                            struct why *why)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(JOB_FDS * sizeof(int))];
    } control = {0};
    struct iovec io = {(void *)bytes.p, bytes.n};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(JOB_FDS * sizeof(int));
    memcpy(CMSG_DATA(&control.header), fds, JOB_FDS * sizeof(int));
    if (sendmsg(r->socket, &m, MSG_NOSIGNAL) < 0)
        return FAIL(why, RC_TEMP, "ask for a program: %m");
    return RC_OK;
}

static enum rc wait_for_status(int fd, long timeout_ms, int *status, struct why *why)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return FAIL(why, RC_TIMEOUT, "the program takes longer than %ld s", timeout_ms / 1000);
    if (read(fd, status, sizeof *status) != sizeof *status)
        return FAIL(why, RC_TEMP, "the program cannot be run");
    return RC_OK;
}

enum rc runner_run(struct runner *r, const struct runner_job *job, int *status, struct why *why)
{
    int pair[2], fds[JOB_FDS];
    AUTO_BUF b = {0};
    enum rc rc;

    if (r == NULL)
        return FAIL(why, RC_CONFIG, "no programs can be run here");
    buf_init(&b, REQUEST_MAX);
    buf_add(&b, job->shell ? (struct str){"s", 2} : (struct str){"p", 2});
    buf_addf(&b, "%s%c", job->shell ? job->shell : job->program, 0);
    for (size_t i = 0; i < job->n_environment; i++) {
        buf_add(&b, job->environment[i]);
        buf_addc(&b, '\0');
    }
    if (b.over)
        return FAIL(why, RC_CONFIG, "environment of the program is too large");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return FAIL(why, RC_TEMP, "socket for a program: %m");
    fds[0] = job->in;
    fds[1] = job->out;
    fds[2] = pair[1];
    rc = send_request(r, buf_str(&b), fds, why);
    close(pair[1]);
    if (rc == RC_OK)
        rc = wait_for_status(pair[0], job->timeout_ms, status, why);
    close(pair[0]);
    return rc;
}

void runner_session(struct session *s, struct str commands)
{
    AUTO_ARENA a = arena_new(1024);
    struct runner_job job = {.shell = arena_text(a, commands),
                             .in = s->wire.stream.fd,
                             .out = s->wire.stream.fd,
                             .timeout_ms = s->config->smtpd_queue_program_timeout * 1000};
    struct str *environment = NULL;
    int status = 0;

    program_environment(s, a, &environment, &job.n_environment);
    job.environment = environment;
    if (runner_run(s->process->runner, &job, &status, &s->why) != RC_OK)
        log_warning(&s->log, "program of smtpd_client_instruction_maps: %s", s->why.text);
}
