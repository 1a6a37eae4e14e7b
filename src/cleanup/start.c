/* What is done once per process. */
#include "cleanup/cleanup.h"
#include "config/master_cf.h"
#include "util/memory.h"

/* Rewriting works inside this process: the -o overrides of its own master.cf entry count. */
static enum rc rewrite_config(const struct service_env *env, const struct config **out,
                              struct why *why)
{
    const struct config_setting here = {STR("queue_directory"), STR("."), STR_NONE};
    struct config_request request = {.dir = NULL};
    struct master_reading how = {.config = env->config};
    AUTO_ARENA a = arena_new(16384);
    struct master_cf master = {0};
    struct config *first = NULL, *config = NULL;
    enum rc rc = master_cf_load(NULL, &how, a, &master, why);

    if (rc == RC_OK)
        rc = config_for_service(&request, &master, env->config->rewrite_service_name, &first, why);
    if (rc == RC_OK)
        rc = config_overlay(first, &here, 1, &config, why);
    if (rc != RC_OK && rc != RC_NONE)
        return rc;
    *out = rc == RC_OK ? config : env->config;
    return RC_OK;
}

enum rc cleanup_start(struct service_env *env, void **state, struct why *why)
{
    struct cleanup *c = NEW(struct cleanup);
    const struct config *rewrite = NULL;

    TRY(rewrite_config(env, &rewrite, why));
    TRY(rewriter_new(rewrite, &env->log, &c->rewriter, why));
    TRY(submit_open(env->config, c->rewriter, &env->log, &c->submit, why));
    *state = c;
    return RC_OK;
}
