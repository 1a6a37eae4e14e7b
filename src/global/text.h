/* Text helpers that all of mail needs. */
#pragma once

#include "util/arena.h"

/* Replace control bytes (and, unless utf8, bytes above 126) by replacement, in place. */
void text_printable(char *p, size_t n, char replacement, bool utf8);

/* $name and ${name} templates with values from lookup(context, name, &value) (false: unknown, stays
   empty); characters not in allowed become '_' when allowed is not NULL. For replies, footers,
   commands. */
struct str text_expand(struct arena *a, struct str template,
                       bool (*lookup)(void *context, struct str name, struct str *value),
                       void *context, const char *allowed);

struct str domain_to_ascii(struct arena *a,
                           struct str domain); /* IDNA2008 A-labels; unchanged when it cannot */
