#include "util/duplex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/memory.h"

enum { INPUT_SIZE = 64 * 1024, INPUT_FIRST = 4096 };

struct duplex {
    struct loop *loop;
    int fd, watched;
    const struct duplex_events *events;
    void *context;
    long timeout_ms, active_ms;
    struct loop_timer *timer;
    char *in;
    size_t in_start, in_end, in_size;
    char *out;
    size_t out_start, out_end, out_size;
    bool paused, busy, freed;
};

static void ready(void *context, int events);

static void watch(struct duplex *d)
{
    int want = (d->paused ? 0 : LOOP_READ) | (d->out_end > d->out_start ? LOOP_WRITE : 0);

    if (want == d->watched)
        return;
    if (want)
        loop_watch(d->loop, d->fd, want, ready, d);
    else
        loop_unwatch(d->loop, d->fd);
    d->watched = want;
}

static void release(struct duplex *d)
{
    free(d->in);
    free(d->out);
    free(d);
}

void duplex_free(struct duplex *d)
{
    if (d == NULL || d->freed)
        return;
    loop_cancel(d->loop, d->timer);
    loop_unwatch(d->loop, d->fd);
    close(d->fd);
    d->freed = true;
    if (!d->busy)
        release(d);
}

static void give_up(struct duplex *d, int error)
{
    loop_unwatch(d->loop, d->fd); /* a closed socket stays readable */
    d->watched = 0;
    d->paused = true;
    d->events->over(d->context, error);
}

/* The timer is not moved with each byte: when it fires, it looks how long the silence was. */
static void expire(void *context)
{
    struct duplex *d = context;
    long left = d->paused ? d->timeout_ms : d->active_ms + d->timeout_ms - clock_ms();

    if (left > 0) {
        d->timer = loop_after(d->loop, left, expire, d);
        return;
    }
    d->timer = NULL;
    give_up(d, ETIMEDOUT);
}

struct duplex *duplex_new(struct loop *l, int fd, long timeout_ms,
                          const struct duplex_events *events, void *context)
{
    struct duplex *d = NEW(struct duplex);

    *d = (struct duplex){.loop = l,
                         .fd = fd,
                         .events = events,
                         .context = context,
                         .timeout_ms = timeout_ms,
                         .active_ms = clock_ms()};
    if (timeout_ms > 0)
        d->timer = loop_after(l, timeout_ms, expire, d);
    watch(d);
    return d;
}

static void make_room(struct duplex *d)
{
    if (d->in_start == d->in_end)
        d->in_start = d->in_end = 0;
    if (d->in_end < d->in_size)
        return;
    if (d->in_start > 0) {
        memmove(d->in, d->in + d->in_start, d->in_end - d->in_start);
        d->in_end -= d->in_start;
        d->in_start = 0;
    } else if (d->in_size < INPUT_SIZE) {
        d->in_size = d->in_size ? INPUT_SIZE : INPUT_FIRST;
        d->in = memory_resize(d->in, d->in_size);
    }
}

/* False: the callback has ended the object. */
static bool take_input(struct duplex *d)
{
    ssize_t n;

    make_room(d);
    if (d->in_end == d->in_size) {
        d->events->input(d->context); /* whoever does not consume is asked again */
        return !d->freed;
    }
    n = read(d->fd, d->in + d->in_end, d->in_size - d->in_end);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        give_up(d, n < 0 ? errno : 0);
        return false;
    }
    d->in_end += (size_t)n;
    d->active_ms = clock_ms();
    d->events->input(d->context);
    return !d->freed;
}

static void ready(void *context, int events)
{
    struct duplex *d = context;

    d->busy = true;
    if (!(events & LOOP_READ) || d->paused || take_input(d))
        if (!d->freed && events & LOOP_WRITE)
            duplex_flush(d);
    d->busy = false;
    if (d->freed)
        release(d);
}

enum rc duplex_line(struct duplex *d, size_t max, struct str *line)
{
    struct str in = duplex_input(d);
    ssize_t end = str_index(in, '\n');

    if (end < 0 && in.n < max)
        return RC_NONE;
    if (end < 0 || (size_t)end > max) {
        *line = str_head(in, max);
        d->in_start += max;
        return RC_OK;
    }
    *line = str_head(in, (size_t)end);
    d->in_start += (size_t)end + 1;
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    return RC_OK;
}

struct str duplex_input(const struct duplex *d)
{
    return d->in ? (struct str){d->in + d->in_start, d->in_end - d->in_start} : STR_NONE;
}

void duplex_consume(struct duplex *d, size_t n)
{
    d->in_start += n;
}

void duplex_put(struct duplex *d, struct str bytes)
{
    if (bytes.n == 0)
        return;
    if (d->out_end + bytes.n > d->out_size) {
        d->out_size = (d->out_end + bytes.n) * 2;
        d->out = memory_resize(d->out, d->out_size);
    }
    memcpy(d->out + d->out_end, bytes.p, bytes.n);
    d->out_end += bytes.n;
}

void duplex_putf(struct duplex *d, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    duplex_put(d, str_vformat(text, sizeof text, format, args));
    va_end(args);
}

/* Trouble shows at the next read, which reports it once. */
void duplex_flush(struct duplex *d)
{
    while (d->out_start < d->out_end) {
        ssize_t n = send(d->fd, d->out + d->out_start, d->out_end - d->out_start, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN))
            break;
        if (n < 0) {
            d->out_start = d->out_end;
            break;
        }
        d->out_start += (size_t)n;
        d->active_ms = clock_ms();
    }
    if (d->out_start == d->out_end)
        d->out_start = d->out_end = 0;
    watch(d);
}

void duplex_pause(struct duplex *d, bool pause)
{
    d->paused = pause;
    d->active_ms = clock_ms();
    watch(d);
}
