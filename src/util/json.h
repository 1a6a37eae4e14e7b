/* JSON text (RFC 8259). */
#pragma once

#include "util/buf.h"

/* Append a string with its quotes. Bytes that are not UTF-8 become '?'. */
void json_add_string(struct buf *b, struct str s);
