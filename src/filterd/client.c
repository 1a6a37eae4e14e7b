/* Sessions of smtpd: a connection each. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "filterd/filterd.h"
#include "util/memory.h"

enum { PIECE_BYTES = 32000, TIMEOUT_MS = 60 * 1000, HEARD_MAX = 1 << 30 };

struct client {
    struct filterd *f;
    struct ipc ipc;
    char session[FILTER_SESSION_SIZE]; /* "" before its hello */
    struct buf lines;                  /* of smtpd: not complete yet */
    struct buf heard;                  /* of the program: not in a frame yet */
    struct buf frames;                 /* not sent yet */
    size_t sent;
    bool served; /* knows that the program is ready */
};

static void client_ready(void *context, int events);

static void close_client(struct client *c)
{
    struct filterd *f = c->f;

    loop_unwatch(f->env->loop, c->ipc.fd);
    if (c->session[0] && map_get(&f->clients, str_of(c->session)) == c)
        map_remove(&f->clients, str_of(c->session));
    f->n_clients--;
    ipc_done(&c->ipc);
    buf_done(&c->lines);
    buf_done(&c->heard);
    buf_done(&c->frames);
    free(c);
    if (f->draining && f->n_clients == 0)
        service_exit(f->env);
}

static void watch(struct client *c)
{
    int events = (c->f->is_full ? 0 : LOOP_READ) | (c->sent < c->frames.n ? LOOP_WRITE : 0);

    if (events)
        loop_watch(c->f->env->loop, c->ipc.fd, events, client_ready, c);
    else
        loop_unwatch(c->f->env->loop, c->ipc.fd);
}

/* False: the session is gone. */
static bool send_some(struct client *c)
{
    struct str rest = str_from(buf_str(&c->frames), c->sent);
    ssize_t n = rest.n ? fd_send(c->ipc.fd, rest.p, rest.n, -1) : 0;

    if (n < 0 && errno != EAGAIN)
        return false;
    if (n > 0)
        c->sent += (size_t)n;
    if (c->sent == c->frames.n) {
        buf_reset(&c->frames);
        c->sent = 0;
    }
    watch(c);
    return true;
}

static void queue_frame(struct client *c, enum ipc_type type, const void *message)
{
    struct why why;
    AUTO_BUF frame;

    buf_init(&frame, IPC_FRAME_MAX);
    if (ipc_encode(&frame, type, message, &why) == RC_OK)
        buf_add(&c->frames, buf_str(&frame));
    ipc_note_sent(&c->ipc, type, frame.n);
}

static void tell_ready(struct client *c)
{
    struct filter_ready ready = {.registered = buf_str(&c->f->registered)};

    c->served = true;
    queue_frame(c, IPC_filter_ready, &ready);
}

static enum rc take_hello(struct client *c, struct why *why)
{
    AUTO_ARENA a = arena_new(256);
    struct filter_hello hello = {0};
    struct filterd *f = c->f;

    TRY(ipc_read_filter_hello(&c->ipc, a, &hello, NULL, why));
    if (c->session[0] || hello.session.n != FILTER_SESSION_SIZE - 1 ||
        map_get(&f->clients, hello.session))
        return FAIL(why, RC_PERM, "session \"" STR_FMT "\" is malformed or known already",
                    STR_ARG(hello.session));
    memcpy(c->session, hello.session.p, hello.session.n);
    map_put(&f->clients, str_of(c->session), c);
    if (f->is_ready)
        tell_ready(c);
    return RC_OK;
}

/* Only whole lines go on: those of several sessions must not mix. */
static enum rc take_text(struct client *c, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct filter_text piece = {0};
    ssize_t end;

    TRY(ipc_read_filter_text(&c->ipc, a, &piece, NULL, why));
    if (!c->served)
        return FAIL(why, RC_PERM, "text before the hello was answered");
    buf_add(&c->lines, piece.text);
    if (c->lines.over)
        return FAIL(why, RC_PERM, "line longer than %zu bytes", c->lines.max);
    end = str_rindex(buf_str(&c->lines), '\n');
    if (end < 0)
        return RC_OK;
    program_say(c->f, str_head(buf_str(&c->lines), (size_t)end + 1));
    memmove(c->lines.p, c->lines.p + end + 1, c->lines.n - (size_t)end - 1);
    buf_truncate(&c->lines, c->lines.n - (size_t)end - 1);
    return RC_OK;
}

static enum rc take_frames(struct client *c, struct why *why)
{
    enum ipc_type type;

    while (ipc_has_frame(&c->ipc, &type)) {
        if (type == IPC_filter_hello)
            TRY(take_hello(c, why));
        else if (type == IPC_filter_text)
            TRY(take_text(c, why));
        else
            return FAIL(why, RC_PERM, "unexpected message %s", ipc_name(type));
    }
    return RC_OK;
}

static void client_ready(void *context, int events)
{
    struct client *c = context;
    struct why why = {0};
    enum rc rc = RC_OK;

    if (events & LOOP_READ) {
        rc = ipc_receive(&c->ipc, &why);
        if (rc == RC_OK || rc == RC_NONE)
            rc = take_frames(c, &why);
    }
    if (rc == RC_PERM)
        log_warning(&c->f->env->log, "%s", why.text);
    if (rc != RC_OK || !send_some(c))
        close_client(c);
}

void client_accepted(struct service_env *env, void *state, int fd)
{
    struct client *c = NEW(struct client);

    c->f = state;
    ipc_init(&c->ipc, fd, TIMEOUT_MS);
    ipc_trace(&c->ipc, &env->log);
    buf_init(&c->lines, 2UL * FILTER_LINE_MAX);
    buf_init(&c->heard, HEARD_MAX);
    buf_init(&c->frames, HEARD_MAX);
    c->f->n_clients++;
    watch(c);
}

void clients_are_served(struct filterd *f)
{
    for (struct map_item *i = NULL; (i = map_next(&f->clients, i));)
        tell_ready(i->value);
}

/* A session that has ended may still be spoken of. */
void client_hears(struct filterd *f, struct str session, struct str line)
{
    struct client *c = map_get(&f->clients, session);

    if (c == NULL)
        return;
    buf_add(&c->heard, line);
    buf_addc(&c->heard, '\n');
}

static void frame_heard(struct client *c)
{
    struct str rest = buf_str(&c->heard);

    while (rest.n) {
        struct filter_text piece = {.text = str_head(rest, PIECE_BYTES)};
        queue_frame(c, IPC_filter_text, &piece);
        rest = str_from(rest, piece.text.n);
    }
    buf_reset(&c->heard);
}

void clients_flush(struct filterd *f)
{
    VEC(struct client *) gone = {0};
    AUTO_ARENA a = arena_new(512);

    for (struct map_item *i = NULL; (i = map_next(&f->clients, i));) {
        struct client *c = i->value;
        bool lost = c->heard.over || c->frames.over;
        frame_heard(c);
        if (lost || !send_some(c))
            vec_add(a, &gone, c);
    }
    for (size_t i = 0; i < gone.n; i++)
        close_client(gone.v[i]);
}

void clients_watch(struct filterd *f)
{
    for (struct map_item *i = NULL; (i = map_next(&f->clients, i));)
        watch(i->value);
}
