/* Base64 (RFC 4648), for values that are files. */
#pragma once

#include "util/arena.h"

struct str base64_encode(struct arena *a, struct str bytes);

/* White space is skipped. RC_PERM: not base64. */
enum rc base64_decode(struct arena *a, struct str text, struct str *bytes,
                      struct why *why) MUST_USE;
