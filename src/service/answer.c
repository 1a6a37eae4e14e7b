#include "config/config.h"
#include "service/service.h"

void service_answer(struct service_env *env, void *state, int fd, service_answer_fn *answer)
{
    AUTO_ARENA a = arena_new(4096);
    enum ipc_type type;
    struct why why = {0};
    struct ipc c;
    enum rc rc;

    ipc_init(&c, fd, env->config->ipc_timeout * 1000);
    while ((rc = service_next(env, &c, &type, &why)) == RC_OK) {
        rc = answer(env, state, &c, a, &why);
        if (rc != RC_OK)
            break;
        arena_reset(a);
    }
    if (rc == RC_PERM)
        log_warning(&env->log, "bad request: %s", why.text);
    c.fd = -1; /* the runtime closes it */
    ipc_done(&c);
}
