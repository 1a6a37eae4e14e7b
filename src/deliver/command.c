#include "deliver/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "global/dsn.h"
#include "global/text.h"
#include "util/clock.h"
#include "util/file.h"

enum { OUTPUT_MAX = 1024 };

/* The two ends of the pipes to a running command. */
struct conversation {
    int to, from; /* -1: closed */
    int ended;    /* readable when the command has ended; -1 on old kernels */
    long deadline_ms;
    char output[OUTPUT_MAX]; /* its first words; the rest is read and dropped */
    size_t n;
};

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void take_output(struct conversation *c)
{
    char scratch[4096];
    ssize_t n = read(c->from, scratch, sizeof scratch);

    if (n > 0) {
        size_t room = OUTPUT_MAX - c->n, part = (size_t)n < room ? (size_t)n : room;
        memcpy(c->output + c->n, scratch, part);
        c->n += part;
    } else if (n == 0 || errno != EAGAIN) {
        shut(&c->from);
    }
}

/* Wait until something can be done; takes output. RC_TIMEOUT. */
static enum rc turn(struct conversation *c, struct why *why)
{
    long left = c->deadline_ms - clock_ms();
    struct pollfd fds[] = {{c->to, POLLOUT, 0}, {c->from, POLLIN, 0}, {c->ended, POLLIN, 0}};

    if (left <= 0)
        return FAIL(why, RC_TIMEOUT, "time limit");
    if (poll(fds, 3, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
        return FAIL(why, RC_TEMP, "poll: %m");
    if (c->from >= 0 && fds[1].revents)
        take_output(c);
    return RC_OK;
}

/* A command may end without reading all of the message: that is its own affair. */
static enum rc write_some(void *context, struct str bytes, struct why *why)
{
    struct conversation *c = context;

    while (bytes.n) {
        ssize_t n = write(c->to, bytes.p, bytes.n);
        if (n >= 0) {
            bytes = str_from(bytes, (size_t)n);
            continue;
        }
        if (errno == EPIPE)
            return RC_EOF;
        if (errno != EAGAIN && errno != EINTR)
            return FAIL(why, RC_TEMP, "write to command: %m");
        TRY(turn(c, why));
    }
    return RC_OK;
}

/* Feed it, hear it, until it has ended. */
static enum rc converse(struct delivery *d, size_t index, const struct command *command,
                        struct conversation *c, pid_t pid, int *status, struct why *why)
{
    enum rc rc = deliver_copy_to(d, index, write_some, c, command->copy_flags,
                                 command->delivered_to, command->eol, why);

    if (rc != RC_OK && rc != RC_EOF)
        return rc;
    shut(&c->to);
    while (c->from >= 0) {
        rc = process_wait(pid, 1, status, why); /* a deadline in the past: just look */
        if (rc != RC_TIMEOUT)
            break;
        TRY(turn(c, why));
    }
    if (c->from < 0)
        return process_wait(pid, c->deadline_ms, status, why);
    take_output(c); /* what it said last; its children may keep the pipe open */
    return rc;
}

/* One line without control bytes. */
static struct str one_line(struct arena *a, struct str output)
{
    char *text = arena_text(a, str_trim(output));
    struct str out = {text, str_trim(output).n};

    text_printable(text, out.n, ' ', true);
    return out;
}

struct dsn command_outcome(struct arena *a, struct str command, int status, struct str output)
{
    const struct exit_status *known =
        WIFEXITED(status) ? exit_status_find(WEXITSTATUS(status)) : NULL;
    struct dsn dsn = {0};
    struct str said, code;

    output = one_line(a, output);
    said = output.n ? arena_printf(a, ". Command output: " STR_FMT, STR_ARG(output)) : STR("");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return dsn_simple("2.0.0", STR("")); /* the caller has better words */
    if (WIFEXITED(status) && dsn_prefix(output) && output.p[0] != '2') {
        dsn_split(output, "5.3.0", &code, &dsn.reason);
        dsn.status = code;
    } else if (known) {
        dsn.status = str_of(known->dsn);
        dsn.reason = arena_printf(a, "%s" STR_FMT, known->text, STR_ARG(said));
    } else if (WIFEXITED(status)) {
        dsn.status = STR("5.3.0");
        dsn.reason = arena_printf(a, "Command died with status %d: \"" STR_FMT "\"" STR_FMT,
                                  WEXITSTATUS(status), STR_ARG(command), STR_ARG(said));
    } else {
        dsn.status = STR("4.3.0");
        dsn.reason = arena_printf(a, "Command died with signal %d: \"" STR_FMT "\"" STR_FMT,
                                  WTERMSIG(status), STR_ARG(command), STR_ARG(said));
    }
    dsn.diag_type = STR("x-unix");
    dsn.diag_text = dsn.reason;
    return dsn;
}

static struct dsn too_long(struct arena *a, const struct command *command,
                           const struct conversation *c)
{
    struct str output = one_line(a, (struct str){c->output, c->n});

    return dsn_simple("5.3.0",
                      arena_printf(a, "Command time limit exceeded: \"" STR_FMT "\"%s" STR_FMT,
                                   STR_ARG(command->text), output.n ? ". Command output: " : "",
                                   STR_ARG(output)));
}

static enum rc make_pipes(struct conversation *c, int *child_input, int *child_output,
                          struct why *why)
{
    int in[2], out[2];

    if (pipe2(in, O_CLOEXEC) < 0)
        return FAIL(why, RC_TEMP, "pipe: %m");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return FAIL(why, RC_TEMP, "pipe: %m");
    }
    *child_input = in[0];
    *child_output = out[1];
    c->to = in[1];
    c->from = out[0];
    fcntl(c->to, F_SETFL, O_NONBLOCK);
    fcntl(c->from, F_SETFL, O_NONBLOCK);
    return RC_OK;
}

void command_deliver(struct delivery *d, size_t index, const struct command *command,
                     struct dsn *outcome)
{
    struct conversation c = {.ended = -1, .deadline_ms = clock_ms() + command->time_limit * 1000};
    struct process p = command->process;
    struct why why = {0};
    int status = 0;
    pid_t pid = -1;
    enum rc rc = make_pipes(&c, &p.input, &p.output, &why);

    if (rc == RC_OK) {
        rc = process_start(d->env, &p, &pid, &why);
        close(p.input);
        close(p.output);
        if (rc == RC_OK) {
            c.ended = (int)syscall(SYS_pidfd_open, pid, 0);
            rc = converse(d, index, command, &c, pid, &status, &why);
            if (rc != RC_OK)
                process_kill(d->env, pid);
        }
        shut(&c.to);
        shut(&c.from);
        shut(&c.ended);
    }
    if (rc == RC_OK)
        *outcome = (command->outcome ? command->outcome : command_outcome)(
            d->arena, command->text, status, (struct str){c.output, c.n});
    else if (rc == RC_TIMEOUT)
        *outcome = too_long(d->arena, command, &c);
    else
        *outcome = dsn_simple("4.3.0", arena_printf(d->arena, "cannot run command: %s", why.text));
}
