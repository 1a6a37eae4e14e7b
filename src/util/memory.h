/*
 * Memory of the machine. These never return NULL: without memory the process ends with a message
 * on standard error, and master starts another (nothing acknowledged is lost).
 */
#pragma once

#include <stddef.h>

void *memory_new(size_t n); /* zeroed; release with free() */
void *memory_resize(void *old, size_t n);
char *memory_text(const char *text); /* a copy */

#define NEW(type)          ((type *)memory_new(sizeof(type)))
#define NEW_ARRAY(type, n) ((type *)memory_new(sizeof(type) * (n)))
