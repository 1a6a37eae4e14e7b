/* Actions of match rules: transport and nexthop of a recipient whose action was chosen before. */
#include "config/config.h"
#include "rewrite/rewriter.h"

static enum rc look_up(struct rewriter *r, struct str action, struct str domain, struct arena *a,
                       struct str *value, struct why *why)
{
    enum rc rc =
        maps_get(r->actions, arena_printf(a, STR_FMT ":" STR_FMT, STR_ARG(action), STR_ARG(domain)),
                 a, value, why);

    return rc == RC_NONE ? maps_get(r->actions, action, a, value, why) : rc;
}

enum rc resolve_action(struct rewriter *r, struct str action, struct str recipient, struct arena *a,
                       struct resolved *out, struct why *why)
{
    ssize_t at = str_rindex(recipient, '@');
    struct str domain = at < 0 ? r->config->myorigin : str_from(recipient, (size_t)at + 1);
    struct str value = action;

    if (action.n == 0 || str_eq(action, STR("-")))
        return RC_NONE;
    *out = (struct resolved){.recipient = recipient, .nexthop = domain};
    if (str_index(action, ':') < 0) {
        enum rc rc = look_up(r, action, domain, a, &value, why);
        if (rc != RC_OK) {
            out->transport = STR("retry");
            out->nexthop = rc == RC_NONE
                               ? arena_printf(a, "4.3.5 no such action: " STR_FMT, STR_ARG(action))
                               : STR("4.3.0 action table lookup failure");
            return RC_OK;
        }
    }
    out->transport = str_cut(&value, ':');
    if (value.n)
        out->nexthop = value;
    return RC_OK;
}
