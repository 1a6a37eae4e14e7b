#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(size_t n)
{
    dprintf(STDERR_FILENO, "fatal: out of memory (%zu bytes wanted)\n", n);
    exit(71); /* EX_OSERR; what on_exit() was told is still done */
}

void *memory_new(size_t n)
{
    void *p = calloc(1, n ? n : 1);

    if (p == NULL)
        out_of_memory(n);
    return p;
}

void *memory_resize(void *old, size_t n)
{
    void *p = realloc(old, n ? n : 1);

    if (p == NULL)
        out_of_memory(n);
    return p;
}

char *memory_text(const char *text)
{
    size_t n = strlen(text) + 1;

    return memcpy(memory_new(n), text, n);
}
