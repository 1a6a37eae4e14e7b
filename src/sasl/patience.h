/*
 * Calls of a library that may wait for ever, with a limit.
 *
 * The call runs in a thread of its own. When it takes too long the caller goes on without it; the
 * thread stays behind, and cleans up when the library comes back to it at last. Not more than some
 * may stay behind: then nothing is called any more until one has returned.
 */
#pragma once

#include <stdbool.h>

#include "util/why.h"

#pragma GCC visibility push(default) /* modules call them */

struct patience;

struct patience *patience_new(unsigned stuck_max);
/* False: calls are stuck, and what they work on must stay. */
bool patience_free(struct patience *p);

/*
 * RC_OK: call(context) has returned. RC_TIMEOUT: it has not, and context is no longer the caller's;
 * drop(context) runs when it does. RC_TEMP: too many are stuck; it was not called.
 */
enum rc patience_call(struct patience *p, void (*call)(void *context), void (*drop)(void *context),
                      void *context, long timeout_ms, struct why *why) MUST_USE;

#pragma GCC visibility pop
