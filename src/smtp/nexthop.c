#include "smtp/nexthop.h"

#include "util/net.h"

enum rc nexthop_parse(struct str text, bool lmtp, struct str default_port, struct nexthop *out,
                      struct why *why)
{
    struct nexthop n = {.text = text, .port = default_port};
    struct str rest = text, port;

    if (lmtp && str_has_prefix(rest, STR("unix:"))) {
        n.path = str_from(rest, 5);
        if (n.path.n == 0)
            return FAIL(why, RC_PERM, "null destination: \"" STR_FMT "\"", STR_ARG(text));
        *out = n;
        return RC_OK;
    }
    if (str_has_prefix(rest, STR("inet:")))
        rest = str_from(rest, 5);
    n.bracketed = rest.n && rest.p[0] == '[';
    TRY(host_port_split(rest, &n.host, &port, why));
    if (n.bracketed && str_has_prefix_nocase(n.host, STR("IPv6:")))
        n.host = str_from(n.host, 5);
    if (n.host.n == 0)
        return FAIL(why, RC_PERM, "empty nexthop hostname: \"" STR_FMT "\"", STR_ARG(text));
    n.default_port = port.n == 0;
    if (port.n)
        n.port = port;
    *out = n;
    return RC_OK;
}
