#include "util/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/memory.h"

/* Wait until the descriptor is ready. 1, or -1 with errno. */
static int wait_ready(int fd, short events, long deadline_ms)
{
    struct pollfd p = {.fd = fd, .events = events};

    for (;;) {
        long left = deadline_ms ? deadline_ms - clock_ms() : -1;
        int ready;
        if (deadline_ms && left <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        ready = poll(&p, 1, (int)left);
        if (ready > 0)
            return 1;
        if (ready < 0 && errno != EINTR)
            return -1;
    }
}

/*
 * Can the kernel watch the time limit (SO_RCVTIMEO)? Then a read that has to wait is one system
 * call instead of three.
 */
static bool kernel_waits(struct stream *s)
{
    struct timeval limit = {s->timeout_ms / 1000, s->timeout_ms % 1000 * 1000};

    if (s->timeout_ms <= 0 || s->deadline_ms || s->kernel_timeout_ms < 0)
        return false;
    if (s->kernel_timeout_ms != s->timeout_ms)
        s->kernel_timeout_ms = setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0
                                   ? s->timeout_ms
                                   : -1;
    return s->kernel_timeout_ms > 0;
}

/* Try first, wait only when there is nothing: saves a poll for each read that has data. */
static ssize_t plain_read(struct stream *s, void *bytes, size_t n, long deadline_ms)
{
    if (kernel_waits(s)) { /* a non-blocking descriptor gives EAGAIN at once: wait below */
        ssize_t got = recv(s->fd, bytes, n, 0);
        if (got >= 0 || (errno != EAGAIN && errno != EINTR))
            return got;
    }
    for (;;) {
        ssize_t got = recv(s->fd, bytes, n, MSG_DONTWAIT);
        if (got < 0 && errno == ENOTSOCK) {
            if (wait_ready(s->fd, POLLIN, deadline_ms) < 0)
                return -1;
            got = read(s->fd, bytes, n);
        }
        if (got >= 0 || (errno != EAGAIN && errno != EINTR))
            return got;
        if (errno == EAGAIN && wait_ready(s->fd, POLLIN, deadline_ms) < 0)
            return -1;
    }
}

static ssize_t plain_write(struct stream *s, const void *bytes, size_t n, long deadline_ms)
{
    for (;;) {
        ssize_t done = send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0 && errno == ENOTSOCK) {
            if (wait_ready(s->fd, POLLOUT, deadline_ms) < 0)
                return -1;
            done = write(s->fd, bytes, n);
        }
        if (done >= 0 || (errno != EAGAIN && errno != EINTR))
            return done;
        if (errno == EAGAIN && wait_ready(s->fd, POLLOUT, deadline_ms) < 0)
            return -1;
    }
}

static const struct stream_ops plain_ops = {.read = plain_read, .write = plain_write};

void stream_init(struct stream *s, int fd, long timeout_ms)
{
    *s = (struct stream){.fd = fd, .ops = &plain_ops, .timeout_ms = timeout_ms};
}

void stream_done(struct stream *s)
{
    if (s->ops && s->ops->close)
        s->ops->close(s);
    if (s->fd >= 0)
        close(s->fd);
    free(s->in);
    free(s->out);
    *s = (struct stream){.fd = -1};
}

static long deadline_of(const struct stream *s)
{
    long d = s->timeout_ms ? clock_ms() + s->timeout_ms : 0;

    return s->deadline_ms && (d == 0 || s->deadline_ms < d) ? s->deadline_ms : d;
}

static void in_resize(struct stream *s, size_t size)
{
    size_t n = s->in_end - s->in_start;
    char *bytes = memory_resize(NULL, size);

    if (n)
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
        memcpy(bytes, s->in + s->in_start, n);
    free(s->in);
    s->in = bytes;
    s->in_size = size;
    s->in_start = 0;
    s->in_end = n;
}

void stream_grow(struct stream *s, size_t in_size)
{
    if (in_size > s->in_size)
        in_resize(s, in_size);
}

void stream_shrink(struct stream *s)
{
    if (s->in_size > STREAM_SMALL && s->in_end - s->in_start <= STREAM_SMALL)
        in_resize(s, STREAM_SMALL);
    if (s->out_n == 0) {
        free(s->out);
        s->out = NULL;
        s->out_size = 0;
    }
}

struct str stream_peek(const struct stream *s)
{
    return (struct str){s->in + s->in_start, s->in_end - s->in_start};
}

void stream_consume(struct stream *s, size_t n)
{
    s->in_start += n;
    if (s->in_start >= s->in_end)
        s->in_start = s->in_end = 0;
}

static enum rc failure(const char *verb, struct why *why)
{
    if (errno == ETIMEDOUT)
        return FAIL(why, RC_TIMEOUT, "%s: timeout", verb);
    if (errno == ECONNRESET || errno == EPIPE)
        return FAIL(why, RC_EOF, "lost connection");
    return FAIL(why, RC_TEMP, "%s: %m", verb);
}

/* One read into free room, making some when needed; RC_PERM when the buffer is full. */
static enum rc read_more(struct stream *s, struct why *why)
{
    ssize_t got;

    if (s->out_n)
        TRY(stream_flush(s, why));
    if (s->in == NULL)
        in_resize(s, STREAM_SMALL);
    if (s->in_end == s->in_size && s->in_start > 0) {
        memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
        s->in_end -= s->in_start;
        s->in_start = 0;
    }
    if (s->in_end == s->in_size)
        return FAIL(why, RC_PERM, "input buffer full");
    got = s->ops->read(s, s->in + s->in_end, s->in_size - s->in_end, deadline_of(s));
    if (got < 0)
        return failure("read", why);
    if (got == 0)
        return FAIL(why, RC_EOF, "lost connection");
    s->in_end += (size_t)got;
    return RC_OK;
}

enum rc stream_fill(struct stream *s, struct str *bytes, struct why *why)
{
    if (s->in_start == s->in_end)
        TRY(read_more(s, why));
    *bytes = stream_peek(s);
    return RC_OK;
}

enum rc stream_line(struct stream *s, size_t max, struct str *line, bool *ended_crlf,
                    struct why *why)
{
    size_t seen = 0;

    if (ended_crlf)
        *ended_crlf = false;
    for (;;) {
        struct str have = stream_peek(s);
        const char *lf = have.n > seen ? memchr(have.p + seen, '\n', have.n - seen) : NULL;
        enum rc rc;
        if (lf && (size_t)(lf - have.p) <= max + 1) {
            bool cr = lf > have.p && lf[-1] == '\r';
            *line = (struct str){have.p, (size_t)(lf - have.p) - cr};
            if (ended_crlf)
                *ended_crlf = cr;
            if (line->n > max)
                break;
            stream_consume(s, (size_t)(lf - have.p) + 1);
            return RC_OK;
        }
        if (have.n > max)
            break;
        seen = have.n;
        if (s->in && seen == s->in_size)
            in_resize(s, s->in_size * 2 < max + 2 ? s->in_size * 2 : max + 2);
        rc = read_more(s, why);
        if (rc != RC_OK)
            return rc;
    }
    *line = str_head(stream_peek(s), max);
    stream_consume(s, max);
    return FAIL(why, RC_PERM, "line longer than %zu bytes", max);
}

enum rc stream_read(struct stream *s, void *bytes, size_t n, struct why *why)
{
    char *to = bytes;

    while (n) {
        struct str have;
        size_t part;
        TRY(stream_fill(s, &have, why));
        part = have.n < n ? have.n : n;
        memcpy(to, have.p, part);
        stream_consume(s, part);
        to += part;
        n -= part;
    }
    return RC_OK;
}

static enum rc write_out(struct stream *s, const char *p, size_t n, struct why *why)
{
    long deadline = deadline_of(s);

    while (n) {
        ssize_t done = s->ops->write(s, p, n, deadline);
        if (done < 0)
            return failure("write", why);
        p += done;
        n -= (size_t)done;
        deadline = deadline_of(s);
    }
    return RC_OK;
}

void stream_put(struct stream *s, struct str bytes)
{
    while (bytes.n) {
        size_t part;
        if (s->out == NULL) {
            s->out_size = bytes.n > 1024 ? STREAM_BIG : 1024;
            s->out = memory_resize(NULL, s->out_size);
        } else if (s->out_n + bytes.n > s->out_size && s->out_size < STREAM_BIG) {
            s->out_size = STREAM_BIG;
            s->out = memory_resize(s->out, s->out_size);
        }
        part = s->out_size - s->out_n < bytes.n ? s->out_size - s->out_n : bytes.n;
        memcpy(s->out + s->out_n, bytes.p, part);
        s->out_n += part;
        bytes = str_from(bytes, part);
        if (s->out_n == s->out_size) {
            /* a failed write shows again, for good, at the next read or flush */
            enum rc rc = write_out(s, s->out, s->out_n, NULL);
            s->out_n = 0;
            if (rc != RC_OK)
                shutdown(s->fd, SHUT_RDWR);
        }
    }
}

void stream_putf(struct stream *s, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    stream_put(s, str_vformat(text, sizeof text, format, args));
    va_end(args);
}

enum rc stream_flush(struct stream *s, struct why *why)
{
    size_t n = s->out_n;

    s->out_n = 0;
    return n ? write_out(s, s->out, n, why) : RC_OK;
}

bool stream_has_input(struct stream *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};

    return s->in_end > s->in_start || (s->ops->pending && s->ops->pending(s)) || poll(&p, 1, 0) > 0;
}
