/* The functions of ${function{text}}. */
#pragma once

#include "util/buf.h"

/* Append function(text). RC_PERM: no such function, or the text is nothing for it. */
enum rc function_call(struct str name, struct str text, struct str directory, struct buf *out,
                      struct why *why) MUST_USE;
