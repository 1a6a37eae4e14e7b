#include "util/why.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void why_set(struct why *why, enum rc rc, const char *format, ...)
{
    int saved = errno;
    va_list args;

    if (why == NULL)
        return;
    why->rc = rc;
    va_start(args, format);
    errno = saved;
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    errno = saved;
}

void why_prefix(struct why *why, const char *format, ...)
{
    char old[sizeof why->text];
    va_list args;
    int n;

    if (why == NULL)
        return;
    memcpy(old, why->text, sizeof old);
    va_start(args, format);
    n = vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof why->text)
        snprintf(why->text + n, sizeof why->text - (size_t)n, ": %s", old);
}
