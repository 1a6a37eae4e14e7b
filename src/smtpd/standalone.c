/*
 * sendmail -bs: the client is a user of this machine, on standard input, and this process has only
 * that user's rights. A message is collected in memory and goes the way of all local mail: through
 * the sendmail program. No access rules apply.
 */
#include "smtpd/standalone.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "global/dsn.h"

extern char **environ;

struct standalone {
    FILE *content;
    long size;
    unsigned status;
    long notify; /* of all recipients together: sendmail takes one value */
    VEC(struct str) recipients;
};

static void forget(void *message)
{
    fclose(((struct standalone *)message)->content);
}

bool standalone_open(struct session *s)
{
    struct arena *a = s->access.arena;
    struct standalone *m = arena_new_of(a, struct standalone);
    int fd = memfd_create("message", MFD_CLOEXEC);

    m->content = fd < 0 ? NULL : fdopen(fd, "w+");
    if (m->content == NULL) {
        log_warning(&s->log, "memory file: %m");
        session_reply(s, STR("451 4.3.0 Error: queue file write error"));
        return false;
    }
    arena_defer(a, forget, m);
    s->t.standalone = m;
    return true;
}

void standalone_recipient(struct session *s, const struct recipient *r)
{
    vec_add(s->access.arena, &s->t.standalone->recipients, arena_copy(s->access.arena, r->address));
    s->t.standalone->notify |= r->dsn_notify;
}

/* qmail-smtpd counts Delivered-To: as well, for each round through a qmail adds one. */
unsigned count_hops(struct session *s, struct str line, bool more)
{
    bool continued = s->t.hops.continues;

    s->t.hops.continues = more;
    if (s->t.hops.in_body || continued)
        return 0;
    s->t.hops.in_body = line.n == 0;
    if (!str_has_prefix_nocase(line, STR("Received:")) &&
        !str_has_prefix_nocase(line, STR("Delivered-To:")))
        return 0;
    if (++s->t.hops.n < s->config->hopcount_limit)
        return 0;
    if (s->t.hops.n == s->config->hopcount_limit)
        log_warning(&s->message_log, "message rejected: hopcount exceeded");
    return SUBMIT_HOPS;
}

void standalone_line(struct session *s, struct str line, bool more)
{
    struct standalone *m = s->t.standalone;
    long limit = s->config->message_size_limit;

    m->size += (long)line.n + !more;
    m->status |= count_hops(s, line, more);
    if (limit > 0 && m->size > limit)
        m->status |= SUBMIT_SIZE;
    else if (fwrite(line.p, 1, line.n, m->content) != line.n ||
             (!more && putc('\n', m->content) == EOF))
        m->status |= SUBMIT_WRITE;
}

unsigned standalone_status(const struct session *s)
{
    return s->t.standalone->status;
}

long standalone_size(const struct session *s)
{
    return s->t.standalone->size;
}

/* -N, as far as one value for all recipients can say it. */
static const char *notify_text(struct session *s, long notify)
{
    if (notify == DSN_NOTIFY_NEVER)
        return "never";
    return arena_printf(s->access.arena, "%s%s%s", notify & DSN_NOTIFY_SUCCESS ? "success," : "",
                        notify & DSN_NOTIFY_FAILURE ? "failure," : "",
                        notify & DSN_NOTIFY_DELAY ? "delay" : "")
        .p;
}

static char *const *arguments(struct session *s)
{
    struct standalone *m = s->t.standalone;
    const struct submit_begin *begin = &s->t.begin;
    struct arena *a = s->access.arena;
    VEC(const char *) argv = {0};

    vec_add(a, &argv, "sendmail");
    vec_add(a, &argv, "-i");
    vec_add(a, &argv, "-f");
    vec_add(a, &argv, arena_text(a, begin->sender.n ? begin->sender : STR("<>")));
    if (m->notify) {
        vec_add(a, &argv, "-N");
        vec_add(a, &argv, notify_text(s, m->notify));
    }
    if (begin->dsn_ret) {
        vec_add(a, &argv, "-R");
        vec_add(a, &argv, begin->dsn_ret == DSN_RET_FULL ? "full" : "hdrs");
    }
    if (begin->envid.n) {
        vec_add(a, &argv, "-V");
        vec_add(a, &argv, arena_text(a, begin->envid));
    }
    if (begin->encoding.n) {
        vec_add(a, &argv, "-B");
        vec_add(a, &argv, str_eq(begin->encoding, STR("8bit")) ? "8BITMIME" : "7BIT");
    }
    if (s->t.smtputf8) {
        vec_add(a, &argv, "-O");
        vec_add(a, &argv, "smtputf8=yes");
    }
    vec_add(a, &argv, "--");
    for (size_t i = 0; i < m->recipients.n; i++)
        vec_add(a, &argv, m->recipients.v[i].p);
    vec_add(a, &argv, NULL);
    return (char *const *)argv.v;
}

/* The environment, and where the queue id is wanted. */
static char *const *environment(struct arena *a, int queue_id_fd)
{
    VEC(char *) list = {0};

    for (char **v = environ; *v; v++)
        vec_add(a, &list, *v);
    vec_add(a, &list,
            (char *)(uintptr_t)arena_printf(a, QUEUE_ID_FD_ENVIRONMENT "=%d", queue_id_fd).p);
    vec_add(a, &list, NULL);
    return list.v;
}

static int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Exit status; -1: it could not be run. */
static int run(struct session *s, const char *path, char *const *argv)
{
    struct arena *a = s->access.arena;
    posix_spawn_file_actions_t actions;
    int fd = fileno(s->t.standalone->content), id[2];
    char text[64];
    ssize_t n;
    pid_t pid;

    if (pipe2(id, O_CLOEXEC) < 0) {
        log_warning(&s->log, "pipe: %m");
        return -1;
    }

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO); /* 1 is the client */
    posix_spawn_file_actions_adddup2(&actions, id[1], id[1]);                 /* stays open */
    errno = posix_spawn(&pid, path, &actions, NULL, argv, environment(a, id[1]));
    posix_spawn_file_actions_destroy(&actions);
    close(id[1]);
    if (errno) {
        log_warning(&s->log, "run %s: %m", path);
        close(id[0]);
        return -1;
    }
    n = read(id[0], text, sizeof text);
    close(id[0]);
    if (n > 0)
        s->access.queue_id = arena_copy(a, (struct str){text, (size_t)n});
    return wait_for(pid);
}

unsigned standalone_finish(struct session *s)
{
    struct standalone *m = s->t.standalone;

    if (fflush(m->content) == EOF)
        m->status |= SUBMIT_WRITE;
    rewind(m->content);
    if (m->status == 0 && run(s, s->config->sendmail_path.p, arguments(s)) != 0)
        m->status |= SUBMIT_WRITE;
    return m->status;
}

size_t standalone_recipients(const struct session *s, const struct str **recipients)
{
    *recipients = s->t.standalone->recipients.v;
    return s->t.standalone->recipients.n;
}

enum rc standalone_content(struct session *s, int *fd, struct why *why)
{
    FILE *content = s->t.standalone->content;

    if (fflush(content) == EOF || ferror(content))
        return FAIL(why, RC_TEMP, "memory file: %m");
    rewind(content);
    *fd = fileno(content);
    return RC_OK;
}
