#include <stdlib.h>

#include "config/config.h"
#include "service/service.h"
#include "util/memory.h"

enum { REPLY_TIMEOUT_MS = 1000 };

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

/* ---- in a loop ---- */

struct asker {
    struct service_env *env;
    void *state;
    struct ipc ipc;
    service_answer_fn *answer;
    service_gone_fn *gone;
};

static void asker_free(struct asker *k)
{
    if (k->gone)
        k->gone(k->state, &k->ipc);
    loop_unwatch(k->env->loop, k->ipc.fd);
    ipc_done(&k->ipc);
    free(k);
}

static void asker_speaks(void *context, int events)
{
    struct asker *k = context;
    AUTO_ARENA a = arena_new(1024);
    enum ipc_type type;
    struct why why = {0};
    enum rc rc = ipc_receive(&k->ipc, &why);

    (void)events;
    while (rc == RC_OK && ipc_has_frame(&k->ipc, &type)) {
        rc = k->answer(k->env, k->state, &k->ipc, a, &why);
        arena_reset(a);
    }
    if (rc == RC_OK)
        (void)ipc_trigger_bytes(&k->ipc); /* the wake-up timer of master.cf */
    if (rc == RC_PERM)
        log_warning(&k->env->log, "bad request: %s", why.text);
    if (rc != RC_OK && rc != RC_NONE)
        asker_free(k);
}

void service_answer_in_loop(struct service_env *env, void *state, int fd, service_answer_fn *answer,
                            service_gone_fn *gone)
{
    struct asker *k = NEW(struct asker);

    *k = (struct asker){.env = env, .state = state, .answer = answer, .gone = gone};
    ipc_init(&k->ipc, fd, REPLY_TIMEOUT_MS);
    ipc_trace(&k->ipc, &env->log);
    loop_watch(env->loop, fd, LOOP_READ, asker_speaks, k);
}
