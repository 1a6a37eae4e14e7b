/*
 * Crash loops: a service whose processes fail before they have served anybody, or fail again and
 * again, gets no new process for service_throttle_time.
 */
#pragma once

#include <stdbool.h>

enum { THROTTLE_FAILURES = 10 };

struct throttle {
    long recent[THROTTLE_FAILURES]; /* when processes failed that had served somebody; a ring */
    unsigned next;
};

/* A process ended badly. served: it had a session. True: stop starting processes for a while. */
bool throttle_failure(struct throttle *t, bool served, long now_ms, long throttle_ms);
