/*
 * Arena: memory of one session or message, released as a whole.
 *
 * What must be undone besides memory (a descriptor, a lock, a temporary file) is deferred on the
 * arena; deferred functions run in reverse order when the arena is reset or freed.
 */
#pragma once

#include "util/str.h"
#include "util/why.h"

struct arena;

/* first_bytes: size of the first block, taken when something is allocated. */
struct arena *arena_new(size_t first_bytes);
void arena_free(struct arena *a); /* NULL is fine */

/* Runs what was deferred, forgets all, keeps the first block. */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t n); /* zeroed, aligned for anything */
#define arena_new_of(a, type)   ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (n)))

struct str arena_copy(struct arena *a, struct str s); /* the copy is NUL-terminated as well */
char *arena_text(struct arena *a, struct str s);      /* the same, as char * */
struct str arena_lower(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
struct str arena_join(struct arena *a, struct str x, struct str y);

/* Call undo(what) when the arena ends. */
void arena_defer(struct arena *a, void (*undo)(void *), void *what);

/* Forget the latest arena_defer() of this pair, if it is still there. */
void arena_undefer(struct arena *a, void (*undo)(void *), void *what);

/*
 * A growing list in an arena: VEC(struct str) names = {0}; vec_add(a, &names, s);
 * items are names.v[0 .. names.n - 1]; they move when the list grows.
 */
#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *v;                                                                                   \
        size_t n, cap;                                                                             \
    }
#define vec_add(a, list, item)                                                                     \
    do {                                                                                           \
        if ((list)->n == (list)->cap)                                                              \
            (list)->v = arena_grow((a), (list)->v, &(list)->cap, sizeof *(list)->v);               \
        (list)->v[(list)->n++] = (item);                                                           \
    } while (0)
void *arena_grow(struct arena *a, void *old, size_t *cap, size_t item_bytes); /* for vec_add */

void arena_cleanup(struct arena **a); /* for AUTO_ARENA */
#define AUTO_ARENA __attribute__((cleanup(arena_cleanup))) struct arena *
