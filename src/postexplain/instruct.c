/* Per-client instructions. */
#include "postexplain/postexplain.h"

enum rc apply_instructions(struct command *c, const char *tables,
                           const struct access_context *context, struct resolver *resolver,
                           const struct config **config, struct explanation *e, struct why *why)
{
    (void)c;
    (void)context;
    (void)resolver;
    (void)config;
    (void)e;
    if (tables)
        return FAIL(why, RC_CONFIG, "this version has no per-client instructions");
    return RC_OK;
}
