/*
 * Kept connections to a lookup server, shared by the sessions of a process. Who takes a connection
 * has it alone until it is given back.
 */
#pragma once

#include "util/arena.h"
#include "util/stream.h"

struct peers;

/* endpoint: "inet:host:port", "host:port" or "unix:path". Lives in the arena; its end closes the
   connections. RC_CONFIG: malformed. */
enum rc peers_new(struct arena *a, struct str endpoint, long timeout_ms, struct peers **out,
                  struct why *why) MUST_USE;

/*
 * Run exchange() over a connection; once more over another one when a kept one turns out to be
 * closed. exchange: RC_EOF and RC_TIMEOUT mean that the connection is of no use any more, RC_PERM
 * that the server does not keep to the protocol.
 */
enum rc peers_ask(struct peers *p,
                  enum rc (*exchange)(void *context, struct stream *s, struct why *why),
                  void *context, struct why *why) MUST_USE;
