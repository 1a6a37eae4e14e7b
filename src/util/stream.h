/*
 * Buffered blocking bytes over a descriptor, with a deadline on every read and write.
 *
 * Input buffer: small (SMTP commands); the owner of DATA swaps a big one in with stream_grow() and
 * back with stream_shrink(). Output collects until stream_flush(), which reads also do first when
 * the input buffer is empty, so pipelined replies leave in one write. TLS replaces ops.
 */
#pragma once

#include <sys/uio.h>

#include "util/str.h"
#include "util/why.h"

struct stream;

struct stream_ops {
    /* As read(2)/write(2); wait until deadline_ms (clock_ms(); 0: for ever) when nothing is ready.
       -1 with errno ETIMEDOUT after the deadline. */
    ssize_t (*read)(struct stream *s, void *bytes, size_t n, long deadline_ms);
    ssize_t (*write)(struct stream *s, const void *bytes, size_t n, long deadline_ms);
    bool (*pending)(struct stream *s); /* decrypted bytes waiting? NULL: no */
    void (*close)(struct stream *s);   /* NULL: nothing to do */
};

struct stream {
    int fd; /* -1: closed. Owned. */
    const struct stream_ops *ops;
    void *context;          /* of ops */
    long timeout_ms;        /* for each read or write; 0: none */
    long deadline_ms;       /* for all of a request (smtpd_per_request_deadline); 0: none */
    long kernel_timeout_ms; /* what SO_RCVTIMEO was set to; -1: cannot */
    char *in;
    size_t in_start, in_end, in_size;
    char *out;
    size_t out_n, out_size;
};

enum { STREAM_SMALL = 2048, STREAM_BIG = 64 * 1024 };

void stream_init(struct stream *s, int fd, long timeout_ms); /* allocates buffers at first use */
void stream_done(struct stream *s); /* closes; what was not flushed is lost */
void stream_grow(struct stream *s, size_t in_size);
void stream_shrink(
    struct stream *s); /* back to STREAM_SMALL, as soon as what is buffered fits; frees output */

/*
 * A line without its line end, a view valid until the next read. *ended_crlf: it ended with CRLF
 * (else bare LF). RC_EOF, RC_TIMEOUT, RC_TEMP; RC_PERM: longer than max bytes (that part of the
 * line is returned and consumed, read again for the rest).
 */
enum rc stream_line(struct stream *s, size_t max, struct str *line, bool *ended_crlf,
                    struct why *why) MUST_USE;

/* What is buffered, at least one byte; consume with stream_consume(). A view. */
enum rc stream_fill(struct stream *s, struct str *bytes, struct why *why) MUST_USE;
void stream_consume(struct stream *s, size_t n);
struct str stream_peek(const struct stream *s); /* what is buffered now, may be empty */

/* Exactly n bytes into the caller's storage. */
enum rc stream_read(struct stream *s, void *bytes, size_t n, struct why *why) MUST_USE;

/* Collect output; large pieces are written through. Failure is sticky and shows at the flush. */
void stream_put(struct stream *s, struct str bytes);
void stream_putf(struct stream *s, const char *format, ...) PRINTF_LIKE(2, 3);
enum rc stream_flush(struct stream *s, struct why *why) MUST_USE;

/* Has the peer sent something, or closed, right now? Does not wait. */
bool stream_has_input(struct stream *s);
