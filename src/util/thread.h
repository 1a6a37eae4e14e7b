/* Threads that nobody joins. */
#pragma once

#include <stddef.h>

/* Run it on a detached thread with a stack of that many bytes (0: what is usual). 0, or the errno
 * of what failed. */
int thread_start(void *(*run)(void *context), void *context, size_t stack_bytes);
