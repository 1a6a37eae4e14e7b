#include "util/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/memory.h"

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_cleanup(struct buf *b)
{
    buf_done(b);
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->over = false;
    if (b->p)
        b->p[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
    size_t need = b->n + n + 1;

    if (n > b->max || b->n > b->max - n) {
        b->over = true;
        return NULL;
    }
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        if (cap < need)
            cap = need;
        if (cap > b->max + 1)
            cap = b->max + 1;
        b->p = memory_resize(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_add(struct buf *b, struct str s)
{
    char *at = buf_room(b, s.n);

    if (at == NULL) {
        s.n = b->max - b->n;
        at = buf_room(b, s.n);
        b->over = true;
    }
    if (s.n)
        memcpy(at, s.p, s.n);
    b->n += s.n;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    b->p[b->n] = '\0';
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, (struct str){&c, 1});
}

void buf_vaddf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    int n;
    char *at;

    va_copy(again, args);
    n = vsnprintf(b->p ? b->p + b->n : NULL, b->p ? b->cap - b->n : 0, format, args);
    if (n < 0) {
        b->over = true;
    } else if (b->p && (size_t)n < b->cap - b->n) {
        b->n += (size_t)n;
    } else if ((at = buf_room(b, (size_t)n)) != NULL) {
        vsnprintf(at, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    } else if (b->p) {
        b->p[b->n] = '\0';
    }
    va_end(again);
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buf_vaddf(b, format, args);
    va_end(args);
}

void buf_truncate(struct buf *b, size_t n)
{
    b->n = n;
    if (b->p)
        b->p[n] = '\0';
}
