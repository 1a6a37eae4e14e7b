/* What a confined process may do. */
#include <sys/prctl.h>

#include "service/runtime.h"

enum rc sandbox_prepare(struct runtime *r, struct sandbox *s, struct why *why)
{
    (void)why;
    *s = (struct sandbox){.ruleset = -1,
                          .is_off = !r->config->service_sandbox || (r->service->may & MAY_EXEC)};
    return RC_OK;
}

enum rc sandbox_enter(struct runtime *r, const struct sandbox *s, struct why *why)
{
    (void)r;
    if (s->is_off)
        return RC_OK;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return FAIL(why, RC_TEMP, "no_new_privs: %m");
    return RC_OK;
}
