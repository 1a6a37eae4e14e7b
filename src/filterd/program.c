/* The program: start, its lines, its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "deliver/process.h"
#include "filterd/filterd.h"
#include "util/file.h"

enum { READ_BYTES = 64 * 1024, FULL_BYTES = 8 * 1024 * 1024 };

static void program_writable(void *context, int events);
static void program_speaks(void *context, int events);
static void program_complains(void *context, int events);

/* ---- to the program ---- */

static void write_some(struct filterd *f)
{
    struct str rest = str_from(buf_str(&f->to_program), f->written);
    ssize_t n = rest.n ? write(f->in, rest.p, rest.n) : 0;

    if (n > 0)
        f->written += (size_t)n;
    if (f->written == f->to_program.n) {
        buf_reset(&f->to_program);
        f->written = 0;
    }
}

static void look_how_full(struct filterd *f)
{
    size_t waiting = f->to_program.n - f->written;
    bool full = waiting > FULL_BYTES;

    if (waiting)
        loop_watch(f->env->loop, f->in, LOOP_WRITE, program_writable, f);
    else
        loop_unwatch(f->env->loop, f->in);
    if (full != f->is_full) {
        f->is_full = full;
        clients_watch(f);
    }
}

static void program_writable(void *context, int events)
{
    struct filterd *f = context;

    (void)events;
    write_some(f);
    look_how_full(f);
}

void program_say(struct filterd *f, struct str text)
{
    bool idle = f->to_program.n == f->written;

    if (f->written > FULL_BYTES) { /* forget what was read */
        size_t rest = f->to_program.n - f->written;
        memmove(f->to_program.p, f->to_program.p + f->written, rest);
        buf_truncate(&f->to_program, rest);
        f->written = 0;
    }
    buf_add(&f->to_program, text);
    if (idle)
        write_some(f);
    look_how_full(f);
}

static void greet(struct filterd *f)
{
    const struct config *c = f->env->config;
    AUTO_BUF b;

    buf_init(&b, 4096);
    buf_addf(&b, "config|smtpd-version|" STR_FMT "\n", STR_ARG(c->mail_version));
    buf_addf(&b, "config|protocol|" FILTER_PROTOCOL "\n");
    buf_addf(&b, "config|smtp-session-timeout|%ld\n", c->smtpd_timeout);
    buf_addf(&b, "config|subsystem|smtp-in\nconfig|subsystem|smtp-out\n");
    buf_addf(&b, "config|admd|" STR_FMT "\n", STR_ARG(c->filter_admd));
    buf_addf(&b, "config|ready\n");
    program_say(f, buf_str(&b));
}

/* ---- from the program ---- */

/* Nobody can be served any more. Sessions see the end of their connections. */
_Noreturn static void program_ended(struct filterd *f)
{
    const struct log *log = &f->env->log;
    struct why why;
    int status = 0;

    if (process_wait(f->pid, 0, &status, &why) != RC_OK)
        log_warning(log, "filter %s: %s", f->argv[0], why.text);
    else if (WIFSIGNALED(status))
        log_warning(log, "filter %s killed by signal %d", f->argv[0], WTERMSIG(status));
    else
        log_warning(log, "filter %s ended with status %d; filters must not end", f->argv[0],
                    WEXITSTATUS(status));
    exit(1);
}

/* It does not keep to the protocol: whatever it says could be about something else. */
_Noreturn static void program_is_wrong(struct filterd *f, const struct why *why, struct str line)
{
    log_warning(&f->env->log, "filter %s: %s: \"" STR_FMT "\"", f->argv[0], why->text,
                STR_ARG(str_head(line, 200)));
    process_kill(f->env, f->pid);
    exit(1);
}

static void take_line(struct filterd *f, struct str line)
{
    struct filter_interest interest = {0};
    struct filter_line l;
    struct why why;

    if (filter_line_parse(line, &l, &why) != RC_OK)
        program_is_wrong(f, &why, line);
    if (l.word == WORD_RESULT || l.word == WORD_DATALINE) {
        client_hears(f, l.session, line);
        return;
    }
    if (f->is_ready) {
        why_set(&why, RC_PERM, "registers too late");
        program_is_wrong(f, &why, line);
    }
    if (l.word == WORD_READY) {
        f->is_ready = true;
        clients_are_served(f);
        return;
    }
    if (filter_interest_add(&interest, &l, &why) != RC_OK)
        program_is_wrong(f, &why, line);
    buf_add(&f->registered, line);
    buf_addc(&f->registered, '\n');
}

/* Whole lines to take(); what is left over stays in b. False: the end. */
static bool read_lines(struct filterd *f, int fd, struct buf *b,
                       void (*take)(struct filterd *f, struct str line))
{
    char *room = buf_room(b, READ_BYTES);
    struct str rest;
    ssize_t n;

    if (room == NULL) {
        struct why why;
        why_set(&why, RC_PERM, "line longer than %d bytes", FILTER_LINE_MAX);
        program_is_wrong(f, &why, str_head(buf_str(b), 100));
    }
    n = read(fd, room, READ_BYTES);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    b->n += (size_t)n;
    rest = buf_str(b);
    for (ssize_t end; (end = str_index(rest, '\n')) >= 0; rest = str_from(rest, (size_t)end + 1))
        take(f, str_head(rest, (size_t)end));
    if (rest.n && rest.p != b->p)
        memmove(b->p, rest.p, rest.n);
    buf_truncate(b, rest.n);
    return n > 0;
}

static void program_speaks(void *context, int events)
{
    struct filterd *f = context;
    bool goes_on = read_lines(f, f->out, &f->said, take_line);

    (void)events;
    clients_flush(f);
    if (!goes_on)
        program_ended(f);
}

static void log_noise(struct filterd *f, struct str line)
{
    log_info(&f->env->log, "filter %s: " STR_FMT, f->argv[0], STR_ARG(str_head(line, 1000)));
}

static void program_complains(void *context, int events)
{
    struct filterd *f = context;

    (void)events;
    if (f->noise.n >= f->noise.max / 2) { /* a line without end */
        log_noise(f, buf_str(&f->noise));
        buf_reset(&f->noise);
    }
    if (f->noise.max < 2 * READ_BYTES)
        f->noise.max = 4 * READ_BYTES;
    if (!read_lines(f, f->error, &f->noise, log_noise))
        loop_unwatch(f->env->loop, f->error);
}

/* ---- start ---- */

static enum rc make_pipe(int *ours, int *theirs, bool we_write, struct why *why)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return FAIL(why, RC_TEMP, "pipe: %m");
    *ours = fds[we_write];
    *theirs = fds[!we_write];
    return fd_set_blocking(*ours, false, why);
}

enum rc program_begin(struct service_env *env, void *state, struct why *why)
{
    struct filterd *f = state;
    AUTO_ARENA a = arena_new(1024);
    AUTO_CLOSE int in = -1;
    AUTO_CLOSE int out = -1;
    AUTO_CLOSE int error = -1;
    struct process p = {.argv = f->argv, .uid = f->uid, .gid = f->gid, .chroot = f->chroot};
    struct environment e;

    TRY(make_pipe(&f->in, &in, true, why));
    TRY(make_pipe(&f->out, &out, false, why));
    TRY(make_pipe(&f->error, &error, false, why));
    environment_init(&e, a, env->config);
    p.environment = environment_vector(&e);
    p.input = in;
    p.output = out;
    p.error = error;
    TRY(process_start(env, &p, &f->pid, why));
    log_debug(&env->log, "filter %s started, pid %d", f->argv[0], (int)f->pid);
    loop_watch(env->loop, f->out, LOOP_READ, program_speaks, f);
    loop_watch(env->loop, f->error, LOOP_READ, program_complains, f);
    greet(f);
    return RC_OK;
}
