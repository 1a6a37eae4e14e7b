/*
 * %{name[a:b]:modifiers} in texts: mailbox paths and commands.
 *
 * [n] is one character, [a:b] those from a to b, both included, negative ones counted from the end;
 * modifiers, parted by '|': lowercase, uppercase, strip (an address extension), raw. Characters
 * that mean something to a shell or in a path become ':' unless the value is raw.
 */
#pragma once

#include "util/arena.h"

/* value: p == NULL when there is no such name. *raw: it is ours and stays as it is. */
typedef struct str format_lookup(void *context, struct str name, bool *raw);

/* RC_PERM: malformed, unknown, or a part that the value does not have; the words say which.
 * delimiters: recipient_delimiter. */
enum rc format_expand(struct arena *a, struct str text, format_lookup *lookup, void *context,
                      struct str delimiters, struct str *out, struct why *why) MUST_USE;

bool format_is_used(struct str text); /* has it a %{...}? */
