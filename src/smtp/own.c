#include <ifaddrs.h>
#include <net/if.h>

#include "smtp/smtp.h"

typedef VEC(struct addr) addr_vec;

static bool wants_family(const struct smtp *s, int family)
{
    return (family == AF_INET && s->ipv4) || (family == AF_INET6 && s->ipv6);
}

/* All addresses of the machine, or only those of the loopback interface. */
static enum rc add_interfaces(struct smtp *s, bool loopback_only, addr_vec *all, struct why *why)
{
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0)
        return FAIL(why, RC_TEMP, "getifaddrs: %m");
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        struct addr a = {0};
        if (i->ifa_addr == NULL || !wants_family(s, i->ifa_addr->sa_family))
            continue;
        a.bytes = i->ifa_addr->sa_family == AF_INET ? sizeof a.in : sizeof a.in6;
        memcpy(&a.sa, i->ifa_addr, a.bytes);
        if (!loopback_only || addr_is_loopback(&a))
            vec_add(s->arena, all, a);
    }
    freeifaddrs(list);
    return RC_OK;
}

static enum rc add_host(struct smtp *s, const char *parameter, struct str host, addr_vec *all,
                        struct why *why)
{
    struct addr one, *found;
    size_t n = 0;

    if (addr_parse(host, 0, &one, NULL) == RC_OK) {
        vec_add(s->arena, all, one);
        return RC_OK;
    }
    if (dns_native(host, AF_UNSPEC, s->arena, &found, &n, why) != DNS_FOUND) {
        why_prefix(why, "%s: host \"" STR_FMT "\"", parameter, STR_ARG(host));
        return RC_CONFIG;
    }
    for (size_t i = 0; i < n; i++)
        if (wants_family(s, addr_family(&found[i])))
            vec_add(s->arena, all, found[i]);
    return RC_OK;
}

static enum rc add_list(struct smtp *s, const char *parameter, struct str list, addr_vec *all,
                        struct why *why)
{
    struct str word;

    while (str_token(&list, LIST_SEPARATORS, &word)) {
        if (str_eq_nocase(word, STR("all")))
            TRY(add_interfaces(s, false, all, why));
        else if (str_eq_nocase(word, STR("loopback-only")))
            TRY(add_interfaces(s, true, all, why));
        else
            TRY(add_host(s, parameter, word, all, why));
    }
    return RC_OK;
}

static enum rc read_bind_address(const struct smtp *s, const char *name, struct str text,
                                 int family, struct addr *out, struct why *why)
{
    if (text.n == 0)
        return RC_OK;
    if (addr_parse(text, 0, out, why) != RC_OK || addr_family(out) != family)
        return FAIL(why, RC_CONFIG, "%s_%s = " STR_FMT ": not an IPv%d address",
                    s->lmtp ? "lmtp" : "smtp", name, STR_ARG(text), family == AF_INET ? 4 : 6);
    return RC_OK;
}

/* With exactly one address of a family that is not the loopback, mail leaves from there: a virtual
 * host sends as itself. */
static void bind_to_only(const addr_vec *all, int family, struct addr *bind)
{
    const struct addr *only = NULL;
    int n = 0;

    for (size_t i = 0; i < all->n; i++)
        if (addr_family(&all->v[i]) == family) {
            only = &all->v[i];
            n++;
        }
    if (n == 1 && bind->bytes == 0 && !addr_is_loopback(only))
        *bind = *only;
}

static enum rc read_sources(struct smtp *s, struct why *why)
{
    struct str rest = s->set.source_addresses, word;
    addr_vec all = {0};

    while (str_token(&rest, LIST_SEPARATORS, &word)) {
        struct addr a;
        if (addr_parse(word, 0, &a, why) != RC_OK)
            return FAIL(why, RC_CONFIG,
                        "smtp_source_addresses = " STR_FMT ": " STR_FMT " is no address",
                        STR_ARG(s->set.source_addresses), STR_ARG(word));
        vec_add(s->arena, &all, a);
    }
    s->sources = (struct addr_list){all.v, all.n};
    return RC_OK;
}

enum rc own_addresses_read(struct smtp *s, struct why *why)
{
    struct str interfaces = s->config->inet_interfaces;
    addr_vec all = {0};

    TRY(add_list(s, "inet_interfaces", interfaces, &all, why));
    TRY(read_bind_address(s, "bind_address", s->set.bind_address, AF_INET, &s->bind4, why));
    TRY(read_bind_address(s, "bind_address6", s->set.bind_address6, AF_INET6, &s->bind6, why));
    TRY(read_sources(s, why));
    if (!str_eq_nocase(interfaces, STR("all")) &&
        !str_eq_nocase(interfaces, STR("loopback-only"))) {
        bind_to_only(&all, AF_INET, &s->bind4);
        bind_to_only(&all, AF_INET6, &s->bind6);
    }
    TRY(add_list(s, "proxy_interfaces", s->config->proxy_interfaces, &all, why));
    s->own = (struct addr_list){all.v, all.n};
    return RC_OK;
}

bool own_address_has(const struct smtp *s, const struct addr *address)
{
    for (size_t i = 0; i < s->own.n; i++)
        if (addr_equal(&s->own.v[i], address))
            return true;
    return false;
}
