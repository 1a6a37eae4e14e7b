#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtp-source/source.h"
#include "util/memory.h"

enum { REPLY_MAX = 4096, TIMEOUT_MS = 300 * 1000, RETRY_MS = 10 };

/* What the reply that is awaited belongs to. */
enum step { GREETING, HELLO, MAIL, RCPT, DATA, DOT, RESET, QUIT };

static const char *const step_names[] = {"startup", "HELO", "sender", "recipient",
                                         "data",    "data", "RSET",   "QUIT"};

struct session {
    struct source *source;
    struct duplex *wire;
    enum step step;
    long number, recipient, replies; /* of this message: which, recipients given, replies to come */
    bool sending;                    /* a message has been taken and is not sent yet */
    bool unfinished;                 /* the server still has a refused transaction */
    long tries;
    size_t target;
};

static void connect_next(void *context);
static void start_message(void *context);

static void command(struct session *s, enum step step, const char *format, ...) PRINTF_LIKE(3, 4);
static void command(struct session *s, enum step step, const char *format, ...)
{
    char text[2048];
    va_list args;

    s->step = step;
    va_start(args, format);
    vsnprintf(text, sizeof text - 2, format, args);
    va_end(args);
    if (s->source->o.verbose)
        fprintf(stderr, ">>> %s\n", text);
    duplex_putf(s->wire, "%s\r\n", text);
    duplex_flush(s->wire);
}

static void session_end(struct session *s)
{
    struct source *source = s->source;

    duplex_free(s->wire);
    free(s);
    if (--source->running == 0)
        loop_stop(source->loop);
}

static void pause_then(struct session *s, void (*next)(void *context))
{
    const struct source_options *o = &s->source->o;
    long pause_ms = o->fixed_pause * 1000;

    if (o->random_pause)
        pause_ms = random() % (o->random_pause * 1000 + 1);
    if (pause_ms == 0) {
        next(s);
        return;
    }
    if (s->wire)
        duplex_pause(s->wire, true);
    loop_after(s->source->loop, pause_ms, next, s);
}

/* A message for this session to send, or none is left. */
static bool take_message(struct session *s)
{
    if (!s->sending && s->source->left > 0) {
        s->number = --s->source->left;
        s->sending = true;
    }
    return s->sending;
}

static void say_mail(struct session *s)
{
    const struct source_options *o = &s->source->o;

    s->recipient = 0;
    if (o->from.p)
        command(s, MAIL, "MAIL FROM:<" STR_FMT ">", STR_ARG(o->from));
    else
        command(s, MAIL, "MAIL FROM:<foo@%s>", o->host);
}

static void start_message(void *context)
{
    struct session *s = context;

    duplex_pause(s->wire, false);
    if (s->unfinished)
        command(s, RESET, "RSET");
    else
        say_mail(s);
    s->unfinished = false;
}

static void hello(struct session *s)
{
    const struct source_options *o = &s->source->o;

    if (o->old)
        say_mail(s);
    else
        command(s, HELLO, "%s %s", o->lmtp ? "LHLO" : "HELO", o->host);
}

static void say_rcpt(struct session *s)
{
    const struct source_options *o = &s->source->o;
    char prefix[24] = "";

    s->recipient++;
    if (o->number_recipients)
        snprintf(prefix, sizeof prefix, "%ld", ++s->source->recipients);
    else if (s->recipient < o->recipients) /* the last one has the address itself */
        snprintf(prefix, sizeof prefix, "%ld", s->recipient);
    if (o->to.p)
        command(s, RCPT, "RCPT TO:<%s" STR_FMT ">", prefix, STR_ARG(o->to));
    else
        command(s, RCPT, "RCPT TO:<%sfoo@%s>", prefix, o->host);
}

static void say_message(struct session *s)
{
    if (s->source->o.verbose)
        fprintf(stderr, ">>> .\n");
    s->step = DOT;
    s->replies = s->source->o.lmtp ? s->recipient : 1;
    message_send(s->source, s->wire, s->number);
    duplex_flush(s->wire);
}

static void message_over(struct session *s)
{
    struct source *source = s->source;

    s->sending = false;
    source->done++;
    if (source->o.counter) {
        printf("%ld\r", source->done);
        fflush(stdout);
    }
    if (source->o.keep_connection && take_message(s))
        pause_then(s, start_message);
    else
        command(s, QUIT, "QUIT");
}

static void after_quit(struct session *s)
{
    duplex_free(s->wire);
    s->wire = NULL;
    s->target = 0;
    s->tries = 0;
    if (take_message(s))
        pause_then(s, connect_next);
    else
        session_end(s);
}

/* A refused command: end, or with -A go on without it. */
static void refused(const struct session *s, struct str reply)
{
    if (!s->source->o.keep_going)
        log_fatal(&s->source->log, 1, "%s rejected: " STR_FMT, step_names[s->step], STR_ARG(reply));
}

static void accepted(struct session *s, struct str reply)
{
    bool yes = reply.p[0] == (s->step == DATA ? '3' : '2');

    if (!yes)
        refused(s, reply);
    switch (s->step) {
    case GREETING: hello(s); break;
    case HELLO:
    case RESET: say_mail(s); break;
    case MAIL:
        if (yes)
            say_rcpt(s);
        else
            message_over(s);
        break;
    case RCPT:
        if (s->recipient < s->source->o.recipients)
            say_rcpt(s);
        else
            command(s, DATA, "DATA");
        break;
    case DATA:
        s->unfinished = !yes;
        if (yes)
            say_message(s);
        else
            message_over(s);
        break;
    case DOT:
        if (--s->replies == 0)
            message_over(s);
        break;
    case QUIT: after_quit(s); break;
    }
}

static void input(void *context)
{
    struct session *s = context;
    struct source *source = s->source;
    struct duplex *wire = s->wire;
    struct str line;

    while (s->wire == wire && duplex_line(wire, REPLY_MAX, &line) == RC_OK) {
        bool last = s->step == QUIT;
        if (source->o.verbose)
            fprintf(stderr, "<<< " STR_FMT "\n", STR_ARG(line));
        if (line.n < 3 || !is_digit(line.p[0]))
            log_fatal(&source->log, 1, "%s: no SMTP reply: " STR_FMT, step_names[s->step],
                      STR_ARG(line));
        if (line.n > 3 && line.p[3] == '-')
            continue;
        accepted(s, line);
        if (last)
            return; /* the session may have ended */
    }
}

/* Refused or reset while connecting: the next address, then another try. */
static void over(void *context, int error)
{
    struct session *s = context;
    struct source *source = s->source;
    bool connecting = s->step == GREETING;

    duplex_free(s->wire);
    s->wire = NULL;
    if (!connecting && s->step == QUIT) {
        after_quit(s);
        return;
    }
    if (connecting && error && ++s->target < source->n_targets) {
        connect_next(s);
        return;
    }
    s->target = 0;
    if (connecting && (error == ECONNREFUSED || error == ECONNRESET) &&
        ++s->tries < source->o.tries) {
        loop_after(source->loop, RETRY_MS, connect_next, s);
        return;
    }
    if (connecting && error)
        log_fatal(&source->log, 1, "connect: %s", strerror(error));
    log_fatal(&source->log, 1, "%s: %s", step_names[s->step],
              error ? strerror(error) : "lost connection");
}

static const struct duplex_events events = {input, over};

static int begin_connect(struct source *source, const struct addr *to)
{
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int window = (int)source->o.window, on = 1, error;

    if (fd < 0)
        return -1;
    if (window) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &window, sizeof window);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    }
    if (to->sa.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, &to->sa, to->bytes) == 0 || errno == EINPROGRESS)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void connect_next(void *context)
{
    struct session *s = context;
    struct source *source = s->source;
    int fd = begin_connect(source, &source->targets[s->target]);

    s->step = GREETING;
    if (fd >= 0)
        s->wire = duplex_new(source->loop, fd, TIMEOUT_MS, &events, s);
    else if (errno == EAGAIN) /* the queue of a UNIX socket is full */
        loop_after(source->loop, RETRY_MS, connect_next, s);
    else
        over(s, errno);
}

void session_start(struct source *source)
{
    struct session *s = NEW(struct session);

    s->source = source;
    source->running++;
    take_message(s);
    connect_next(s);
}
