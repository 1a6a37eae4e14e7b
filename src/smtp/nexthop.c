#include "smtp/nexthop.h"

#include "util/net.h"

/* Takes the protocol and label off. False: it is no URL. */
static bool take_url(struct str *rest, struct nexthop *n)
{
    static const struct {
        const char *name, *port;
        enum nexthop_tls tls;
    } protocols[] = {{"smtp://", "25", NEXTHOP_TLS_AS_SET},
                     {"smtp+tls://", "25", NEXTHOP_TLS_REQUIRED},
                     {"smtp+notls://", "25", NEXTHOP_TLS_NONE},
                     {"smtps://", "465", NEXTHOP_TLS_WRAPPED}};
    size_t i = 0, count = sizeof protocols / sizeof *protocols;
    ssize_t at;

    while (i < count && !str_has_prefix_nocase(*rest, str_of(protocols[i].name)))
        i++;
    if (i == count)
        return false;
    *rest = str_from(*rest, strlen(protocols[i].name));
    if ((at = str_rindex(*rest, '@')) >= 0) {
        n->label = str_head(*rest, (size_t)at);
        *rest = str_from(*rest, (size_t)at + 1);
    }
    n->tls = protocols[i].tls;
    n->port = str_of(protocols[i].port);
    n->bracketed = true;
    return true;
}

enum rc nexthop_parse(struct str text, bool lmtp, struct str default_port, struct nexthop *out,
                      struct why *why)
{
    struct nexthop n = {.text = text, .port = default_port, .label = STR("")};
    struct str rest = text, port;

    if (lmtp && str_has_prefix(rest, STR("unix:"))) {
        n.path = str_from(rest, 5);
        if (n.path.n == 0)
            return FAIL(why, RC_PERM, "null destination: \"" STR_FMT "\"", STR_ARG(text));
        *out = n;
        return RC_OK;
    }
    if (lmtp || !take_url(&rest, &n)) {
        if (str_find(rest, STR("://")) >= 0)
            return FAIL(why, RC_PERM, "unknown protocol: \"" STR_FMT "\"", STR_ARG(text));
        if (str_has_prefix(rest, STR("inet:")))
            rest = str_from(rest, 5);
        n.bracketed = rest.n && rest.p[0] == '[';
    }
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
