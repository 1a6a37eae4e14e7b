/*
 * SASLprep (RFC 4013): a password that was typed in another form (composed characters, wide
 * letters, strange blanks) is the same password. ASCII is not changed by it.
 *
 * libidn does the work and is opened only where it is needed. Without it, and for what SASLprep
 * forbids, the text stays as it is: such passwords work as long as all sides type them alike.
 */
#pragma once

#include "util/arena.h"

/* Before chroot: libraries may be out of reach later. */
void prep_load(void);

/* text itself, or a copy in the arena that the caller overwrites after use. */
struct str prep_password(struct str text, struct arena *a);
