#include "rewrite/own_address.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include "config/config.h"

struct own_addresses {
    VEC(struct addr) list;
    bool v4, v6;
};

static void add(struct own_addresses *own, struct arena *a, const struct sockaddr *sa)
{
    struct addr one = {0};

    if (sa->sa_family == AF_INET && own->v4) {
        memcpy(&one.in, sa, sizeof one.in);
        one.bytes = sizeof one.in;
    } else if (sa->sa_family == AF_INET6 && own->v6) {
        memcpy(&one.in6, sa, sizeof one.in6);
        one.bytes = sizeof one.in6;
    } else {
        return;
    }
    addr_unmap(&one);
    vec_add(a, &own->list, one);
}

static enum rc add_interfaces(struct own_addresses *own, struct arena *a, bool loopback_only,
                              struct why *why)
{
    struct ifaddrs *all;

    if (getifaddrs(&all) < 0)
        return FAIL(why, RC_TEMP, "cannot list network interfaces: %m");
    for (struct ifaddrs *i = all; i; i = i->ifa_next)
        if (i->ifa_addr && (i->ifa_flags & IFF_UP) &&
            (!loopback_only || (i->ifa_flags & IFF_LOOPBACK)))
            add(own, a, i->ifa_addr);
    freeifaddrs(all);
    return RC_OK;
}

static enum rc add_name(struct own_addresses *own, struct arena *a, const char *parameter,
                        struct str name, struct why *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct addr numeric;
    int error;

    if (addr_parse(name, 0, &numeric, NULL) == RC_OK) {
        add(own, a, &numeric.sa);
        return RC_OK;
    }
    error = getaddrinfo(arena_text(a, name), NULL, &hints, &found);
    if (error)
        return FAIL(why, RC_CONFIG,
                    "parameter %s: host not found: " STR_FMT " (%s); write its address instead",
                    parameter, STR_ARG(name), gai_strerror(error));
    for (struct addrinfo *i = found; i; i = i->ai_next)
        add(own, a, i->ai_addr);
    freeaddrinfo(found);
    return RC_OK;
}

static enum rc add_list(struct own_addresses *own, struct arena *a, const char *parameter,
                        struct str list, struct why *why)
{
    struct str name;

    while (str_token(&list, LIST_SEPARATORS, &name)) {
        bool loopback = str_eq_nocase(name, STR("loopback-only"));
        if (loopback || str_eq_nocase(name, STR("all")))
            TRY(add_interfaces(own, a, loopback, why));
        else
            TRY(add_name(own, a, parameter, name, why));
    }
    return RC_OK;
}

enum rc own_addresses_new(const struct config *config, struct arena *a, struct own_addresses **out,
                          struct why *why)
{
    struct own_addresses *own = arena_new_of(a, struct own_addresses);

    own->v4 = config_has_protocol(config, AF_INET);
    own->v6 = config_has_protocol(config, AF_INET6);
    TRY(add_list(own, a, "inet_interfaces", config->inet_interfaces, why));
    TRY(add_list(own, a, "proxy_interfaces", config->proxy_interfaces, why));
    *out = own;
    return RC_OK;
}

bool own_address_has(const struct own_addresses *own, const struct addr *address)
{
    for (size_t i = 0; i < own->list.n; i++)
        if (addr_equal(&own->list.v[i], address))
            return true;
    return false;
}

bool own_address_has_literal(const struct own_addresses *own, struct str literal)
{
    struct addr address;

    return literal.n > 2 && literal.p[0] == '[' && literal.p[literal.n - 1] == ']' &&
           addr_parse(literal, 0, &address, NULL) == RC_OK && own_address_has(own, &address);
}
