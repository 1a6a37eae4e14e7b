#include "global/dns_filter.h"

static enum rc look(void *context, struct str record, struct arena *a, struct why *why)
{
    struct dns_filter *f = context;
    struct str value;
    enum rc rc = maps_get(f->maps, record, a, &value, why);

    if (rc != RC_OK)
        return rc;
    if (!str_eq_nocase(str_trim(value), STR("IGNORE")))
        return FAIL(why, RC_PERM, "unknown DNS filter action: \"" STR_FMT "\"", STR_ARG(value));
    log_info(f->log, "ignoring DNS RR: " STR_FMT, STR_ARG(record));
    return RC_OK;
}

void dns_filter_install(struct dns_filter *f, struct resolver *r)
{
    if (!maps_empty(f->maps))
        resolver_filter(r, look, f);
}
