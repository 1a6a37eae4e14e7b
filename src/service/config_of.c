/* The configuration of another service, whose work this process does by itself. */
#include "config/config.h"
#include "config/master_cf.h"
#include "service/service.h"

enum rc service_config_of(const struct service_env *env, struct str service,
                          const struct config **out, struct why *why)
{
    const struct config_setting here = {STR("queue_directory"), STR("."), STR_NONE};
    const struct config_request request = {.dir = NULL};
    const struct master_reading how = {.config = env->config};
    AUTO_ARENA a = arena_new(16384);
    struct master_cf master = {0};
    struct config *first = NULL, *config = NULL;
    enum rc rc = master_cf_load(NULL, &how, a, &master, why);

    if (rc == RC_OK)
        rc = config_for_service(&request, &master, service, &first, why);
    if (rc == RC_OK)
        rc = config_overlay(first, &here, 1, &config, why);
    if (rc != RC_OK && rc != RC_NONE)
        return rc;
    *out = rc == RC_OK ? config : env->config;
    return RC_OK;
}

enum rc service_program_of(const struct service_env *env, struct str service, struct arena *a,
                           struct str *program, struct why *why)
{
    const struct master_reading how = {.config = env->config};
    struct master_cf master = {0};
    const struct master_entry *found = NULL;

    TRY(master_cf_load(NULL, &how, a, &master, why));
    for (size_t i = 0; i < master.n; i++) {
        const struct master_entry *e = &master.entries[i];
        if (str_eq(e->name, service) && (found == NULL || e->type == MASTER_UNIX))
            found = e;
    }
    if (found == NULL)
        return RC_NONE;
    *program = found->command;
    return RC_OK;
}
