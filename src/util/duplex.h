/*
 * A connected socket on an event loop: buffered input, collected output, a time limit.
 *
 * For programs with one loop and many peers. Callbacks run in the loop's thread and may free the
 * object. A descriptor may still be connecting: failure to connect shows as over().
 */
#pragma once

#include "util/loop.h"
#include "util/str.h"

struct duplex;

struct duplex_events {
    void (*input)(void *context); /* there is more to read than before */
    /* The peer closed, was silent for too long (ETIMEDOUT), or there was trouble. error: errno, 0
       for an orderly end. Input that came before is still there. */
    void (*over)(void *context, int error);
};

/* fd: non-blocking, owned from now on. timeout_ms: without a byte in either direction; 0: none. */
struct duplex *duplex_new(struct loop *l, int fd, long timeout_ms,
                          const struct duplex_events *events, void *context);
void duplex_free(struct duplex *d); /* closes; output that the socket does not take now is lost */

/* The next line without its line end; a view, valid until the next call that reads or the return to
   the loop. A line longer than max comes in pieces. RC_NONE: not complete yet. */
enum rc duplex_line(struct duplex *d, size_t max, struct str *line) MUST_USE;
struct str duplex_input(const struct duplex *d); /* all that is buffered, a view */
void duplex_consume(struct duplex *d, size_t n);

/* Collect output; it leaves with duplex_flush(), the rest of it as the socket takes it. */
void duplex_put(struct duplex *d, struct str bytes);
void duplex_putf(struct duplex *d, const char *format, ...) PRINTF_LIKE(2, 3);
void duplex_flush(struct duplex *d);

void duplex_pause(struct duplex *d, bool pause); /* stop reading; the time limit rests too */
