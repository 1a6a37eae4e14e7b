/* Addresses of interfaces, looked up anew at each start. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>

#include "opensmtpd/generate.h"
#include "util/file.h"
#include "util/net.h"

static bool is_wanted(const struct generator *g, const struct conf_listen *l, int family)
{
    bool other_is_wanted = l && (family == AF_INET ? l->inet6 : l->inet4);

    return (family == AF_INET || family == AF_INET6) && !other_is_wanted &&
           config_has_protocol(g->base, family);
}

static void add(struct generator *g, struct str_vec *list, const struct conf_listen *l,
                const struct sockaddr *sa)
{
    struct addr a = {0};
    char text[ADDR_TEXT_SIZE];

    if (sa == NULL || !is_wanted(g, l, sa->sa_family))
        return;
    a.bytes = sa->sa_family == AF_INET ? sizeof a.in : sizeof a.in6;
    memcpy(&a.sa, sa, a.bytes);
    if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&a.in6.sin6_addr))
        return;
    addr_format(&a, text);
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->v[i], str_of(text)))
            return;
    vec_add(g->arena, list, arena_copy(g->arena, str_of(text)));
}

/* The interface with the default route, which the group "egress" stands for. */
static struct str egress(struct generator *g)
{
    struct str text = STR(""), line, name, destination;
    struct why why;

    if (file_read("/proc/net/route", 1 << 20, g->arena, &text, &why) != RC_OK)
        return STR_NONE;
    while (text.p) {
        line = str_cut(&text, '\n');
        if (str_token(&line, " \t", &name) && str_token(&line, " \t", &destination) &&
            str_eq(destination, STR("00000000")))
            return name;
    }
    return STR_NONE;
}

static void add_interface(struct generator *g, struct str_vec *list, const struct conf_listen *l,
                          struct str name)
{
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next)
        if (name.p == NULL || str_eq(str_of(i->ifa_name), name))
            add(g, list, l, i->ifa_addr);
    freeifaddrs(all);
}

static void add_host(struct generator *g, struct str_vec *list, const struct conf_listen *l)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;

    if (getaddrinfo(l->interface.p, NULL, &hints, &found) != 0)
        return;
    for (const struct addrinfo *i = found; i; i = i->ai_next)
        add(g, list, l, i->ai_addr);
    freeaddrinfo(found);
}

struct str_vec listen_addresses(struct generator *g, const struct conf_listen *l)
{
    struct str name = l->interface;
    struct str_vec list = {0};
    struct addr address;
    struct why why;

    if (addr_parse(name, 0, &address, &why) == RC_OK) {
        char text[ADDR_TEXT_SIZE];
        addr_format(&address, text);
        vec_add(g->arena, &list, arena_copy(g->arena, str_of(text)));
        return list;
    }
    if (str_eq(name, STR("egress"))) {
        name = egress(g);
        if (name.p)
            add_interface(g, &list, l, name);
    } else {
        add_interface(g, &list, l, name);
        if (list.n == 0 && str_eq(name, STR("lo0"))) /* as BSD systems call it */
            add_interface(g, &list, l, STR("lo"));
        if (list.n == 0)
            add_host(g, &list, l);
    }
    if (list.n == 0)
        complain(g, &l->place, "listen on " STR_FMT ": there is no address to listen on",
                 STR_ARG(l->interface));
    return list;
}

struct str_vec own_addresses(struct generator *g)
{
    struct str_vec list = {0};

    add_interface(g, &list, NULL, STR_NONE);
    return list;
}
