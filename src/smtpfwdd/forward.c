/* One spool file: run the mailer for its recipients, a batch at a time, and note who is done. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "deliver/process.h"
#include "smtpfwdd/drain.h"
#include "util/clock.h"
#include "util/file.h"

extern char **environ;

/* ---- the mailer ---- */

static pid_t start(char **argv, int fd, off_t from)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (lseek(fd, from, SEEK_SET) < 0 || dup2(fd, STDIN_FILENO) < 0)
        _exit(EX_TEMPFAIL);
    setsid();
    execve(argv[0], argv, environ);
    _exit(errno == ENOENT || errno == EACCES ? EX_CONFIG : EX_TEMPFAIL);
}

/* A mailer that hangs must not keep the message for ever. */
int forward_run(const struct forward *f, char **argv, int fd, off_t from)
{
    pid_t pid = start(argv, fd, from);
    int status = W_EXITCODE(EX_TEMPFAIL, 0);
    struct why why;

    if (pid < 0) {
        log_warning(&f->log, "fork: %m");
    } else if (process_wait(pid, clock_ms() + MAILER_SECONDS_MAX * 1000L, &status, &why) != RC_OK) {
        log_warning(&f->log, "%s: %s: ended", f->d->mailer, why.text);
        kill(-pid, SIGKILL);
        (void)!process_wait(pid, 0, &status, &why);
    }
    return status;
}

/* ---- recipients ---- */

static const struct mailer_result refused_before = {FATE_FAILED, "5.3.0",
                                                    "refused by the mail system"};
static const struct mailer_result is_option = {FATE_FAILED, "5.1.3",
                                               "recipient address begins with \"-\""};

static void mark(struct forward *f, struct spool_recipient *r, enum spool_state state)
{
    struct why why;

    if (spool_mark(f->fd, r, state, &why) != RC_OK)
        log_warning(&f->log, "%s; the message may be forwarded twice", why.text);
    f->sent += state == SPOOL_SENT;
    f->failed += state == SPOOL_FAIL;
}

typedef VEC(struct spool_recipient *) batch;

static void settle(struct forward *f, const batch *b, int status)
{
    struct mailer_result r = mailer_result(status);

    if (r.fate == FATE_RETRY) {
        f->retry = true;
        f->misconfigured =
            f->misconfigured || (WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG);
    }
    for (size_t i = 0; i < b->n && r.fate != FATE_RETRY; i++) {
        f->reasons[b->v[i] - f->message.recipients.v] = r;
        mark(f, b->v[i], r.fate == FATE_SENT ? SPOOL_SENT : SPOOL_FAIL);
    }
    if (r.fate == FATE_SENT && !f->d->quiet)
        log_info(&f->log, "forwarded to %zu recipients", b->n);
    if (r.fate != FATE_SENT)
        log_warning(&f->log, "%s: %s (%s %d) for %zu recipients; %s", f->d->mailer, r.words,
                    WIFEXITED(status) ? "status" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), b->n,
                    r.fate == FATE_RETRY ? "it will be tried again" : "given up");
}

static void forward_batch(struct forward *f, const batch *b)
{
    VEC(char *) argv = {0};

    vec_add(f->arena, &argv, (char *)f->d->mailer);
    vec_add(f->arena, &argv, (char *)"-oi");
    vec_add(f->arena, &argv, (char *)"-f");
    vec_add(f->arena, &argv,
            arena_text(f->arena, f->message.sender.n ? f->message.sender : STR("<>")));
    for (size_t i = 0; i < b->n; i++)
        vec_add(f->arena, &argv, (char *)b->v[i]->address.p);
    vec_add(f->arena, &argv, NULL);
    settle(f, b, forward_run(f, argv.v, f->fd, f->message.body));
}

static void forward_all(struct forward *f)
{
    batch b = {0};

    f->reasons = arena_alloc(f->arena, (f->message.recipients.n + 1) * sizeof *f->reasons);
    for (size_t i = 0; i < f->message.recipients.n && !f->misconfigured; i++) {
        struct spool_recipient *r = &f->message.recipients.v[i];
        f->reasons[i] = refused_before;
        f->failed += r->state == SPOOL_FAIL;
        if (r->state != SPOOL_RCPT)
            continue;
        if (address_is_option(r->address)) {
            log_warning(&f->log, "recipient " STR_FMT " begins with \"-\": refused",
                        STR_ARG(r->address));
            f->reasons[i] = is_option;
            mark(f, r, SPOOL_FAIL);
            continue;
        }
        vec_add(f->arena, &b, r);
        if (b.n == ARGUMENTS_MAX - 4) {
            forward_batch(f, &b);
            b.n = 0;
        }
    }
    if (b.n && !f->misconfigured)
        forward_batch(f, &b);
}

/* ---- the file ---- */

static void set_aside(const struct forward *f, const char *prefix)
{
    struct str to = arena_printf(f->arena, "%s%s", prefix, f->name);

    if (rename(f->name, to.p) < 0)
        log_warning(&f->log, "rename to %s: %m", to.p);
    else
        log_warning(&f->log, "kept as %s/%s", f->d->directory, to.p);
}

static void finish(struct forward *f)
{
    enum fate told = f->failed && !f->retry ? refused_tell_sender(f) : FATE_SENT;

    if (f->retry || told == FATE_RETRY) {
        /* the time of this attempt is that of the file */
        if (fchmod(f->fd, SPOOL_MODE_TRIED) < 0 || futimens(f->fd, NULL) < 0)
            log_warning(&f->log, "%m");
        return;
    }
    if (told == FATE_FAILED) { /* nobody can be told, so it must not vanish */
        set_aside(f, SPOOL_FAILED_PREFIX);
        return;
    }
    if (unlink(f->name) < 0)
        log_warning(&f->log, "remove: %m");
    if (f->d->quiet)
        log_info(&f->log, "from=<" STR_FMT ">, nrcpt=%zu, forwarded", STR_ARG(f->message.sender),
                 f->message.recipients.n);
}

_Noreturn void forward_file(const struct drain *d, const char *name)
{
    struct forward f = {.d = d, .name = name, .log = d->command->log, .arena = arena_new(4096)};
    sigset_t none;
    struct why why;
    enum rc rc;

    close(d->lock_fd); /* a new daemon may start before this message is through: it is locked too */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    log_set_queue_id(&f.log, str_of(name));
    f.fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (f.fd < 0 || fd_lock(f.fd, true, false, &why) != RC_OK)
        exit(0); /* gone, or somebody else has it */
    rc = spool_read(f.fd, f.arena, &f.message, &why);
    if (rc == RC_OK && address_is_option(f.message.sender))
        rc = FAIL(&why, RC_PERM, "the sender begins with \"-\"");
    if (rc == RC_PERM) {
        log_warning(&f.log, "%s", why.text);
        set_aside(&f, SPOOL_CORRUPT_PREFIX);
    } else if (rc != RC_OK) {
        log_warning(&f.log, "%s", why.text);
    } else {
        forward_all(&f);
        finish(&f);
    }
    exit(f.misconfigured ? EX_CONFIG : 0);
}
