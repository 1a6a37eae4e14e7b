/* Defaults that depend on compatibility_level, and that a lower level keeps as they were. */
#include "config/param.h"
#include "postfix/postfix.h"

static bool depends_on_level(const struct param *p)
{
    return str_find(p->dflt, STR("$compatibility_level}")) >= 0;
}

static bool warn_one(const struct postfix *p, const struct config *today, struct str name)
{
    struct str old, new;

    if (config_is_set(p->config, name) || config_get(p->config, name, &old) != RC_OK ||
        config_get(today, name, &new) != RC_OK || str_eq(old, new))
        return false;
    log_info(&p->log, "using backwards-compatible default setting " STR_FMT "=" STR_FMT,
             STR_ARG(name), STR_ARG(old));
    return true;
}

void compatibility_warn(const struct postfix *p)
{
    const struct config_setting level = {STR("compatibility_level"), STR(COMPATIBILITY_LATEST),
                                         STR_NONE};
    struct config *today;
    struct why why;
    bool any = false;

    if (!config_level_below(p->config, COMPATIBILITY_LATEST))
        return;
    if (config_overlay(p->config, &level, 1, &today, &why) != RC_OK) {
        log_warning(&p->log, "%s", why.text);
        return;
    }
    for (int i = 0; i < PARAM_COUNT; i++)
        if (depends_on_level(&params[i]))
            any |= warn_one(p, today, params[i].name);
    if (any)
        log_info(&p->log,
                 "to disable backwards compatibility use \"postconf compatibility_level=%s\" and "
                 "\"postfix reload\"",
                 COMPATIBILITY_LATEST);
    config_free(today);
}
