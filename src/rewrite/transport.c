/* transport_maps: what they may say is in transport(5). */
#include "config/config.h"
#include "rewrite/rewriter.h"
#include "table/table.h"

static enum rc lookup(struct rewriter *r, struct maps *maps, struct str recipient, struct arena *a,
                      struct str *value, struct why *why)
{
    struct address_keys how = {
        .delimiters = r->config->recipient_delimiter,
        .plain_domain = true,
        .dot_parents = !match_parents(r->config, "transport_maps"),
    };
    struct str extension;
    enum rc rc = maps_get_address(maps, recipient, &how, a, value, &extension, why);

    return rc == RC_NONE ? maps_get_fixed(maps, STR("*"), a, value, why) : rc;
}

static bool takes_text(struct str transport)
{
    return str_eq(transport, STR("error")) || str_eq(transport, STR("retry"));
}

enum rc transport_lookup(struct rewriter *r, const struct routes *routes, struct str recipient,
                         struct str domain, struct arena *a, struct resolved *out, struct why *why)
{
    struct str nexthop, transport;

    if (maps_empty(routes->transport_maps))
        return RC_NONE;
    TRY(lookup(r, routes->transport_maps, recipient, a, &nexthop, why));
    if (str_eq_nocase(nexthop, STR("DUNNO")))
        return RC_NONE;
    transport = str_cut(&nexthop, ':');
    if (transport.n) { /* a transport without nexthop also takes back the nexthop of main.cf */
        out->transport = transport;
        out->nexthop = takes_text(transport) ? STR("Address is undeliverable") : domain;
    }
    if (nexthop.n)
        out->nexthop = nexthop;
    return RC_OK;
}
