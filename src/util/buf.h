/*
 * struct buf: growing bytes that we own.
 *
 * Invariants: p is NUL-terminated once something was added; n never exceeds max; what does not
 * fit is dropped and sets the sticky flag "over", which the caller checks once, at the end.
 */
#pragma once

#include "util/str.h"
#include "util/why.h"

struct buf {
    char *p;
    size_t n, cap, max;
    bool over;
};

/* max: hard limit in bytes, stated where the buffer is born. Allocates nothing yet. */
void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);

/* Empty, keeping the memory; clears "over". */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, struct str s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vaddf(struct buf *b, const char *format, va_list args) PRINTF_LIKE(2, 0);

/* Room for n more bytes at b->p + b->n, or NULL when that would exceed max. Caller adds to b->n. */
char *buf_room(struct buf *b, size_t n);

/* Cut to n bytes; n <= b->n. */
void buf_truncate(struct buf *b, size_t n);

static inline struct str buf_str(const struct buf *b) /* a view, valid until the next change */
{
    return (struct str){b->p, b->n};
}

/* NUL-terminated text; "" when nothing was added. */
static inline const char *buf_text(const struct buf *b)
{
    return b->p ? b->p : "";
}

void buf_cleanup(struct buf *b); /* for AUTO_BUF */
#define AUTO_BUF __attribute__((cleanup(buf_cleanup))) struct buf
