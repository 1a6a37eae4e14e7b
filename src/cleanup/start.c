/* What is done once per process. */
#include "cleanup/cleanup.h"
#include "config/config.h"
#include "util/memory.h"

enum rc cleanup_start(struct service_env *env, void **state, struct why *why)
{
    struct cleanup *c = NEW(struct cleanup);
    const struct config *rewrite = NULL;

    TRY(service_config_of(env, env->config->rewrite_service_name, &rewrite, why));
    TRY(rewriter_new(rewrite, &env->log, &c->rewriter, why));
    TRY(submit_open(env->config, c->rewriter, &env->log, &c->submit, why));
    *state = c;
    return RC_OK;
}

bool cleanup_has_changed(struct service_env *env, void *state)
{
    struct cleanup *c = state;

    (void)env;
    return submit_tables_have_changed(c->submit);
}
