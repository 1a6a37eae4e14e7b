/* The start of a conversation: the server's greeting, EHLO, HELO or LHLO. */
#pragma once

#include "smtp/session.h"

/* False: trouble was recorded. best: of the MX hosts; then our own name in its mouth is a loop. */
bool session_greet(struct attempt *at, struct session *s, bool best);

/* EHLO or LHLO again, over TLS: what was offered in clear is forgotten. */
bool session_introduce(struct attempt *at, struct session *s);
