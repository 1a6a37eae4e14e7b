/*
 * smtp_generic_maps: local addresses become ones that the world can reply to, in the envelope and
 * in the addresses of the primary header.
 */
#pragma once

#include "smtp/smtp.h"

/* RC_NONE: stays as it is. RC_TEMP: table trouble, logged. out: internal form, in the arena. */
enum rc generic_map(struct smtp *s, struct str address, struct arena *a, struct str *out,
                    struct why *why) MUST_USE;

/* A whole header field. RC_NONE: nothing to change. */
enum rc generic_header(struct smtp *s, struct str header, struct arena *a, struct str *out,
                       struct why *why) MUST_USE;
