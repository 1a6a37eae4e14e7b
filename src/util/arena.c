#include "util/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/memory.h"

enum { ALIGN = 16 };

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(ALIGN) char bytes[];
};

struct deferred {
    struct deferred *next;
    void (*undo)(void *);
    void *what;
};

struct arena {
    struct block *block; /* newest first; the oldest has the first size */
    struct deferred *deferred;
    size_t first_bytes;
};

struct arena *arena_new(size_t first_bytes)
{
    struct arena *a = NEW(struct arena);

    a->first_bytes = first_bytes < 256 ? 256 : first_bytes;
    return a;
}

static void run_deferred(struct arena *a)
{
    while (a->deferred) {
        struct deferred *d = a->deferred;
        a->deferred = d->next;
        d->undo(d->what);
    }
}

void arena_reset(struct arena *a)
{
    run_deferred(a);
    while (a->block && a->block->next) {
        struct block *gone = a->block;
        a->block = gone->next;
        free(gone);
    }
    if (a->block)
        a->block->used = 0;
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    arena_reset(a);
    free(a->block);
    free(a);
}

void arena_cleanup(struct arena **a)
{
    arena_free(*a);
}

static struct block *block_new(size_t size, struct block *next)
{
    /* malloc, not calloc: arena_alloc clears what it hands out, untouched pages stay untouched */
    struct block *b = memory_resize(NULL, sizeof *b + size);

    *b = (struct block){.next = next, .size = size};
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct block *b = a->block;
    void *p;

    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (b == NULL || b->size - b->used < n) {
        size_t size = b ? b->size * 2 : a->first_bytes;
        if (size > 256 * 1024)
            size = 256 * 1024;
        b = a->block = block_new(n > size ? n : size, b);
    }
    p = b->bytes + b->used;
    b->used += n;
    return memset(p, 0, n);
}

char *arena_text(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

struct str arena_copy(struct arena *a, struct str s)
{
    return (struct str){arena_text(a, s), s.n};
}

struct str arena_lower(struct arena *a, struct str s)
{
    char *p = arena_text(a, s);

    str_lower_bytes(p, s.n);
    return (struct str){p, s.n};
}

/* Into what is left of the block when that will do: one pass instead of two. */
struct str arena_printf(struct arena *a, const char *format, ...)
{
    struct block *b = a->block;
    size_t room = b ? b->size - b->used : 0;
    va_list args;
    char *p;
    int n;

    va_start(args, format);
    n = vsnprintf(room ? b->bytes + b->used : NULL, room, format, args);
    va_end(args);
    if (n < 0)
        return STR("");
    if ((size_t)n < room) {
        size_t used = b->used + ((size_t)n + ALIGN) / ALIGN * ALIGN;
        p = b->bytes + b->used;
        b->used = used < b->size ? used : b->size;
        return (struct str){p, (size_t)n};
    }
    p = arena_alloc(a, (size_t)n + 1);
    va_start(args, format);
    vsnprintf(p, (size_t)n + 1, format, args);
    va_end(args);
    return (struct str){p, (size_t)n};
}

struct str arena_join(struct arena *a, struct str x, struct str y)
{
    char *p = arena_alloc(a, x.n + y.n + 1);

    if (x.n)
        memcpy(p, x.p, x.n);
    if (y.n)
        memcpy(p + x.n, y.p, y.n);
    return (struct str){p, x.n + y.n};
}

void arena_defer(struct arena *a, void (*undo)(void *), void *what)
{
    struct deferred *d = arena_new_of(a, struct deferred);

    *d = (struct deferred){a->deferred, undo, what};
    a->deferred = d;
}

void arena_undefer(struct arena *a, void (*undo)(void *), void *what)
{
    for (struct deferred **d = &a->deferred; *d; d = &(*d)->next)
        if ((*d)->undo == undo && (*d)->what == what) {
            *d = (*d)->next;
            return;
        }
}

void *arena_grow(struct arena *a, void *old, size_t *cap, size_t item_bytes)
{
    size_t more = *cap ? *cap * 2 : 8;
    void *p = arena_alloc(a, more * item_bytes);

    if (*cap)
        memcpy(p, old, *cap * item_bytes);
    *cap = more;
    return p;
}
