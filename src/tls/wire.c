/*
 * Between OpenSSL and the stream: OpenSSL reads and writes through a BIO of ours, which uses the
 * operations that the stream had before.
 *
 * Output is held back until somebody has to wait for input or a reply is complete, so the end of a
 * handshake (session tickets of a server, Finished of a client) shares a packet with the next reply
 * or command.
 */
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>

#include "tls/private.h"
#include "util/clock.h"
#include "util/memory.h"

enum { HOLD_SMALL = 4096, HOLD_MAX = 32 * 1024 };

/* The inner operations, with the context they know. One that needs several reads must not wait a
   whole time limit for each. */
static ssize_t inner_read(struct tls_wire *w, void *bytes, size_t n)
{
    struct stream *s = w->stream;
    void *context = s->context;
    long deadline = s->deadline_ms;
    ssize_t got;

    s->context = w->inner_context;
    s->deadline_ms = w->deadline_ms;
    got = w->inner->read(s, bytes, n, w->deadline_ms);
    s->deadline_ms = deadline;
    s->context = context;
    if (got < 0)
        w->error = errno;
    if (got == 0)
        w->ended = true;
    if (got > 0)
        tls_trace_bytes(w->session, "read from", bytes, (size_t)got);
    return got;
}

static bool inner_write(struct tls_wire *w, const char *bytes, size_t n)
{
    struct stream *s = w->stream;
    void *context = s->context;

    tls_trace_bytes(w->session, "write to", bytes, n);
    s->context = w->inner_context;
    while (n && !w->error) {
        ssize_t done = w->inner->write(s, bytes, n, w->deadline_ms);
        if (done < 0) {
            w->error = errno;
            break;
        }
        bytes += done;
        n -= (size_t)done;
    }
    s->context = context;
    return !w->error;
}

enum rc tls_wire_flush(struct tls_wire *w)
{
    size_t n = w->held_n;

    w->held_n = 0;
    return n == 0 || inner_write(w, w->held, n) ? RC_OK : RC_EOF;
}

static void forget_held(struct tls_wire *w)
{
    free(w->held);
    w->held = NULL;
    w->held_size = 0;
}

static int take_early(struct tls_wire *w, char *bytes, int n)
{
    size_t part = w->early_n - w->early_start;

    if (part > (size_t)n)
        part = (size_t)n;
    memcpy(bytes, w->early + w->early_start, part);
    w->early_start += part;
    return (int)part;
}

static int bio_read(BIO *b, char *bytes, int n)
{
    struct tls_wire *w = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (w->early_start < w->early_n)
        return take_early(w, bytes, n);
    if (w->error || tls_wire_flush(w) != RC_OK)
        return -1;
    return (int)inner_read(w, bytes, (size_t)n);
}

static int bio_write(BIO *b, const char *bytes, int n)
{
    struct tls_wire *w = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (w->error)
        return -1;
    if ((w->held_n && (size_t)n > HOLD_MAX - w->held_n) || n >= HOLD_MAX)
        if (tls_wire_flush(w) != RC_OK)
            return -1;
    if (n >= HOLD_MAX || (n >= HOLD_SMALL && w->held_n == 0))
        return inner_write(w, bytes, (size_t)n) ? n : -1;
    if (w->held_n + (size_t)n > w->held_size) {
        w->held_size = w->held_n + (size_t)n > HOLD_SMALL ? HOLD_MAX : HOLD_SMALL;
        w->held = memory_resize(w->held, w->held_size);
    }
    memcpy(w->held + w->held_n, bytes, (size_t)n);
    w->held_n += (size_t)n;
    return n;
}

static long bio_control(BIO *b, int command, long number, void *pointer)
{
    (void)b, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; /* held back: see above */
}

BIO_METHOD *tls_wire_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_ctrl(m, bio_control);
    return m;
}

/* Why SSL_read() or SSL_write() gave nothing. 0: the peer is done; else -1 with errno. */
static ssize_t give_up(struct tls_wire *w, int result)
{
    int error = SSL_get_error(w->session->ssl, result);

    if (error == SSL_ERROR_ZERO_RETURN || w->ended) {
        w->ended = true;
        ERR_clear_error();
        return 0;
    }
    w->broken = true;
    if (w->error == 0)
        tls_log_library_errors(w->session->log);
    ERR_clear_error();
    errno = w->error ? w->error : ECONNRESET;
    return -1;
}

/* Wait here instead of in SSL_read(), which would keep a record buffer meanwhile. */
static bool wait_input(struct tls_wire *w)
{
    struct pollfd p = {.fd = w->stream->fd, .events = POLLIN};

    forget_held(w);
    for (;;) {
        long left = w->deadline_ms ? w->deadline_ms - clock_ms() : -1;
        int ready = w->deadline_ms && left <= 0 ? 0 : poll(&p, 1, (int)left);
        if (ready > 0)
            return true;
        if (ready == 0) {
            errno = ETIMEDOUT;
            return false;
        }
        if (errno != EINTR)
            return false;
    }
}

static ssize_t tls_read(struct stream *s, void *bytes, size_t n, long deadline_ms)
{
    struct tls_session *t = s->context;
    struct tls_wire *w = t->wire;
    size_t got = 0;
    int result;

    w->deadline_ms = deadline_ms;
    if (w->ended)
        return 0;
    if (tls_wire_flush(w) != RC_OK) {
        errno = w->error;
        return -1;
    }
    if (!SSL_has_pending(t->ssl) && !wait_input(w))
        return -1;
    ERR_clear_error();
    result = SSL_read_ex(t->ssl, bytes, n, &got);
    return result > 0 ? (ssize_t)got : give_up(w, result);
}

static ssize_t tls_write(struct stream *s, const void *bytes, size_t n, long deadline_ms)
{
    struct tls_session *t = s->context;
    struct tls_wire *w = t->wire;
    size_t done = 0;
    int result;

    w->deadline_ms = deadline_ms;
    if (w->broken || w->error) {
        errno = w->error ? w->error : EPIPE;
        return -1;
    }
    ERR_clear_error();
    result = SSL_write_ex(t->ssl, bytes, n, &done);
    if (result > 0 && (w->ending || tls_wire_flush(w) == RC_OK))
        return (ssize_t)done;
    if (give_up(w, result) == 0)
        errno = EPIPE;
    return -1;
}

static bool tls_pending(struct stream *s)
{
    struct tls_session *t = s->context;

    if (t->wire->held_n) { /* who asks is about to wait */
        t->wire->deadline_ms = clock_ms() + (s->timeout_ms ? s->timeout_ms : 1000);
        (void)tls_wire_flush(t->wire);
    }
    return SSL_has_pending(t->ssl);
}

static void tls_close(struct stream *s)
{
    tls_end(s->context);
}

static const struct stream_ops tls_ops = {tls_read, tls_write, tls_pending, tls_close};

/* A server that begins with TLS behind a proxy's header; see tls_accept(). For a client there is
   nothing good in there. */
static void keep_early(struct tls_wire *w)
{
    struct str have = stream_peek(w->stream);

    if (w->session->role == TLS_SERVER && have.n) {
        w->early = memory_new(have.n);
        memcpy(w->early, have.p, have.n);
        w->early_n = have.n;
    }
    stream_consume(w->stream, have.n);
}

enum rc tls_wire_open(struct tls_session *t, struct stream *s, struct why *why)
{
    struct tls_wire *w = NEW(struct tls_wire);
    BIO *bio = BIO_new(t->context->bio);

    *w = (struct tls_wire){.stream = s, .inner = s->ops, .inner_context = s->context, .session = t};
    t->wire = w;
    keep_early(w);
    s->context = t;
    s->ops = &tls_ops;
    if (bio == NULL)
        return FAIL(why, RC_TEMP, "no memory for TLS");
    BIO_set_data(bio, w);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    return RC_OK;
}

void tls_wire_close(struct tls_wire *w)
{
    w->stream->ops = w->inner;
    w->stream->context = w->inner_context;
    free(w->early);
    free(w->held);
    free(w);
}
