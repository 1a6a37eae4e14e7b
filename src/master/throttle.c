#include "master/throttle.h"

bool throttle_failure(struct throttle *t, bool served, long now_ms, long throttle_ms)
{
    long oldest = t->recent[t->next];

    if (!served)
        return true;
    t->recent[t->next] = now_ms;
    t->next = (t->next + 1) % THROTTLE_FAILURES;
    return oldest && now_ms - oldest < throttle_ms;
}
