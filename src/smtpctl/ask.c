/* Talking to the services, and to other commands of the suite. */
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "smtpctl/smtpctl.h"
#include "util/file.h"

void ask_connect(struct smtpctl *s)
{
    const struct config *c = s->command.config;
    struct why why = {0};
    struct str path = c->smtpctl_socket;

    if (s->control.fd >= 0)
        return;
    if (ipc_connect(&s->control, STR(""), path.p + (path.p[0] == '/'), ASK_TIMEOUT_MS, &why) !=
        RC_OK) {
        ssize_t at = str_rindex(str_of(why.text), ':');
        fprintf(stderr, "smtpctl: connect: " STR_FMT "%s\n", STR_ARG(path),
                at >= 0 ? why.text + at : "");
        exit(STATUS_FAILED);
    }
}

static _Noreturn void broken(const struct why *why)
{
    fprintf(stderr, "smtpctl: control: %s\n", why->text);
    exit(STATUS_FAILED);
}

static void send_request(struct smtpctl *s, const char *word, const char *argument)
{
    struct control_request request = {str_of(word), str_of(argument)};
    struct why why = {0};

    ask_connect(s);
    if (ipc_send_control_request(&s->control, &request, -1, &why) != RC_OK)
        broken(&why);
}

bool ask(struct smtpctl *s, const char *word, const char *argument, struct str *text)
{
    struct status_reply reply = {0};
    struct why why = {0};

    send_request(s, word, argument);
    if (ipc_read_status_reply(&s->control, s->arena, &reply, NULL, &why) != RC_OK)
        broken(&why);
    *text = reply.text;
    return reply.status == 0;
}

struct str ask_stats(struct smtpctl *s)
{
    struct report_text report = {0};
    struct why why = {0};

    send_request(s, "stats", "");
    if (ipc_read_report_text(&s->control, s->arena, &report, NULL, &why) != RC_OK)
        broken(&why);
    return report.text;
}

long stat_of(struct str stats, const char *name)
{
    struct str line;
    long value = 0;

    while (str_token(&stats, "\n", &line)) {
        struct str rest = line, key = str_cut(&rest, '=');
        if (str_eq(key, str_of(name)))
            (void)str_to_long(rest, LONG_MIN, LONG_MAX, &value);
    }
    return value;
}

static enum rc connect_qmgr(struct smtpctl *s, struct ipc *c, struct why *why)
{
    const struct config *config = s->command.config;
    struct str name =
        arena_printf(s->arena, "public/" STR_FMT, STR_ARG(config->queue_service_name));

    return ipc_connect(c, config->queue_directory, name.p, ASK_TIMEOUT_MS, why);
}

enum rc ask_qmgr(struct smtpctl *s, const struct qmgr_control *word, long *status, struct why *why)
{
    struct status_reply reply = {0};
    struct ipc c;
    enum rc rc;

    TRY(connect_qmgr(s, &c, why));
    rc = ipc_send_qmgr_control(&c, word, -1, why);
    if (rc == RC_OK)
        rc = ipc_read_status_reply(&c, s->arena, &reply, NULL, why);
    ipc_done(&c);
    *status = reply.status;
    return rc;
}

struct str ask_destinations(struct smtpctl *s)
{
    struct qmgr_control word = {.operation = 'R'};
    struct report_text part = {.more = true};
    struct str all = STR("");
    struct why why = {0};
    struct ipc c;
    enum rc rc;

    ask_connect(s); /* not running: the same words everywhere */
    rc = connect_qmgr(s, &c, &why);
    if (rc == RC_OK)
        rc = ipc_send_qmgr_control(&c, &word, -1, &why);
    while (rc == RC_OK && part.more) {
        rc = ipc_read_report_text(&c, s->arena, &part, NULL, &why);
        if (rc == RC_OK)
            all = arena_join(s->arena, all, part.text);
    }
    if (rc != RC_OK)
        broken(&why);
    ipc_done(&c);
    return all;
}

long ask_envelopes(struct smtpctl *s)
{
    const struct config *config = s->command.config;
    struct str name =
        arena_printf(s->arena, "public/" STR_FMT, STR_ARG(config->showq_service_name));
    AUTO_ARENA a = arena_new(16 * 1024);
    struct queue_entry e = {0};
    struct why why = {0};
    struct ipc c;
    long n = 0;
    enum rc rc = ipc_connect(&c, config->queue_directory, name.p, ASK_TIMEOUT_MS, &why);

    if (rc != RC_OK)
        broken(&why);
    do {
        arena_reset(a);
        rc = ipc_read_queue_entry(&c, a, &e, NULL, &why);
        if (rc == RC_OK && !str_eq(e.queue_name, STR("maildrop")))
            n += (long)e.n_recipients;
    } while (rc == RC_OK && e.queue_id.n);
    if (rc != RC_OK)
        broken(&why);
    ipc_done(&c);
    return n;
}

int say_result(bool ok, struct str reason)
{
    if (ok)
        puts("command succeeded");
    else if (reason.n)
        printf("command failed: " STR_FMT "\n", STR_ARG(reason));
    else
        puts("command failed");
    return ok ? STATUS_DONE : STATUS_FAILED;
}

_Noreturn void become(struct smtpctl *s, const char *path, const char *const argv[])
{
    execv(path, (char *const *)argv);
    log_fatal(&s->command.log, STATUS_FAILED, "cannot run %s: %m", path);
}

int run_command(struct smtpctl *s, const char *const argv[], struct str input, bool silent)
{
    struct str path = arena_printf(s->arena, STR_FMT "/%s",
                                   STR_ARG(s->command.config->command_directory), argv[0]);
    struct why why = {0};
    int fds[2], status = 0;
    pid_t pid;

    fflush(stdout);
    if (pipe(fds) < 0 || (pid = fork()) < 0)
        log_fatal(&s->command.log, STATUS_FAILED, "fork: %m");
    if (pid == 0) {
        dup2(fds[0], STDIN_FILENO);
        close(fds[1]);
        if (silent && freopen("/dev/null", "w", stderr) == NULL)
            _exit(STATUS_FAILED);
        if (silent)
            (void)!freopen("/dev/null", "w", stdout);
        become(s, path.p, argv);
    }
    close(fds[0]);
    (void)!fd_write_all(fds[1], input, &why);
    close(fds[1]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
}
