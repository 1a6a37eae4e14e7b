/* Defaults that depend on the machine and the process: names, networks, the process itself. */
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <unistd.h>

#include "config/evaluate.h"
#include "util/file.h"
#include "util/net.h"

#define LOCAL_DOMAIN STR("localdomain")

bool computed_is(int index)
{
    switch (index) {
    case PARAM_INDEX_config_directory:
    case PARAM_INDEX_mydomain:
    case PARAM_INDEX_myhostname:
    case PARAM_INDEX_mynetworks:
    case PARAM_INDEX_process_id:
    case PARAM_INDEX_process_name:
    case PARAM_INDEX_service_name: return true;
    default: return false;
    }
}

/* The name of this machine; with mydomain (when it is set) or localdomain behind a short one. */
static enum rc host_name(struct config_source *s, struct str *text, struct why *why)
{
    char name[HOST_NAME_MAX + 1] = "";
    struct str host, domain = LOCAL_DOMAIN;

    if (gethostname(name, sizeof name - 1) < 0 || *name == '\0')
        memcpy(name, "localhost", sizeof "localhost");
    host = arena_copy(s->arena, str_of(name));
    if (str_index(host, '.') < 0) {
        if (s->definitions[PARAM_INDEX_mydomain]) {
            TRY(source_evaluate(s, PARAM_INDEX_mydomain, why));
            domain = s->texts[PARAM_INDEX_mydomain];
        }
        host = arena_printf(s->arena, STR_FMT "." STR_FMT, STR_ARG(host), STR_ARG(domain));
    }
    *text = host;
    return RC_OK;
}

static enum rc domain_name(struct config_source *s, struct str *text, struct why *why)
{
    ssize_t dot;

    TRY(source_evaluate(s, PARAM_INDEX_myhostname, why));
    dot = str_index(s->texts[PARAM_INDEX_myhostname], '.');
    *text = dot < 0 ? LOCAL_DOMAIN : str_from(s->texts[PARAM_INDEX_myhostname], (size_t)dot + 1);
    return RC_OK;
}

static enum rc networks(struct config_source *s, struct str *text, struct why *why)
{
    static const int inputs[] = {PARAM_INDEX_mynetworks_style, PARAM_INDEX_inet_interfaces,
                                 PARAM_INDEX_inet_protocols};
    const struct config_source *base = s->base ? s->base->source : NULL;
    bool is_same = base && base->definitions[PARAM_INDEX_mynetworks] == NULL;

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        TRY(source_evaluate(s, inputs[i], why));
        is_same = is_same && str_eq(s->texts[inputs[i]], base->texts[inputs[i]]);
    }
    *text = is_same ? base->texts[PARAM_INDEX_mynetworks]
                    : computed_networks(s->arena, s->texts[inputs[0]], s->texts[inputs[1]],
                                        s->texts[inputs[2]]);
    return RC_OK;
}

enum rc computed_text(struct config_source *s, int index, struct str *text, struct why *why)
{
    switch (index) {
    case PARAM_INDEX_config_directory: *text = str_of(s->dir); return RC_OK;
    case PARAM_INDEX_myhostname: return host_name(s, text, why);
    case PARAM_INDEX_mydomain: return domain_name(s, text, why);
    case PARAM_INDEX_mynetworks: return networks(s, text, why);
    case PARAM_INDEX_process_id:
        *text = arena_printf(s->arena, "%ld", (long)getpid());
        return RC_OK;
    case PARAM_INDEX_process_name: *text = s->process_name; return RC_OK;
    case PARAM_INDEX_service_name: *text = s->service_name; return RC_OK;
    default: return FAIL(why, RC_CONFIG, "no computed default");
    }
}

enum rc computed_first_line(struct arena *a, struct str *text, struct why *why)
{
    struct str rest, line;

    if (file_read(text->p, 64 * 1024, a, &rest, why) != RC_OK) {
        why_prefix(why, "first line of that file");
        return RC_CONFIG;
    }
    line = str_trim(str_cut(&rest, '\n'));
    if (line.n == 0)
        return FAIL(why, RC_CONFIG, "the first line of that file is empty; write a domain name");
    *text = arena_copy(a, line);
    return RC_OK;
}

static int mask_bits(const struct sockaddr *mask)
{
    const unsigned char *p;
    size_t n;
    int bits = 0;

    if (mask->sa_family == AF_INET) {
        p = (const unsigned char *)&((const struct sockaddr_in *)mask)->sin_addr;
        n = 4;
    } else {
        p = (const unsigned char *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
        n = 16;
    }
    for (size_t i = 0; i < n; i++)
        bits += __builtin_popcount(p[i]);
    return bits;
}

/* RFC 791 classes; others have none and count as a single host. */
static int class_bits(const struct sockaddr_in *a)
{
    unsigned first = ntohl(a->sin_addr.s_addr) >> 24;

    return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
}

static void clear_host_bits(unsigned char *p, size_t n, int bits)
{
    for (size_t i = 0; i < n; i++, bits -= 8) {
        unsigned mask = bits >= 8 ? 0xff : bits <= 0 ? 0 : 0xffU << (8 - bits);
        p[i] = (unsigned char)(p[i] & mask);
    }
}

static struct str network_text(struct arena *a, struct addr at, int bits)
{
    char text[ADDR_TEXT_SIZE];

    if (addr_family(&at) == AF_INET) {
        clear_host_bits((unsigned char *)&at.in.sin_addr, 4, bits);
        addr_format(&at, text);
        return arena_printf(a, "%s/%d", text, bits);
    }
    clear_host_bits((unsigned char *)&at.in6.sin6_addr, 16, bits);
    at.in6.sin6_scope_id = 0;
    addr_format(&at, text);
    return arena_printf(a, "[%s]/%d", text, bits);
}

/* Does one of the host names or addresses of the list stand for this address? */
static bool is_listed(struct str list, const struct addr *at)
{
    struct str item;

    while (str_token(&list, LIST_SEPARATORS, &item)) {
        char host[256];
        struct addrinfo *found = NULL;
        struct addr one;
        bool is_equal = false;

        if (str_eq_nocase(item, STR("all")) ||
            (str_eq_nocase(item, STR("loopback-only")) && addr_is_loopback(at)))
            return true;
        if (addr_parse(item, 0, &one, NULL) == RC_OK) {
            if (addr_equal(&one, at))
                return true;
            continue;
        }
        if (item.n >= sizeof host)
            continue;
        memcpy(host, item.p, item.n);
        host[item.n] = '\0';
        if (getaddrinfo(host, NULL, NULL, &found) != 0)
            continue;
        for (struct addrinfo *f = found; f; f = f->ai_next) {
            one = (struct addr){.bytes = f->ai_addrlen};
            memcpy(&one.sa, f->ai_addr, f->ai_addrlen);
            is_equal = is_equal || addr_equal(&one, at);
        }
        freeaddrinfo(found);
        if (is_equal)
            return true;
    }
    return false;
}

static bool protocol_is_on(struct str protocols, int family)
{
    return str_list_has_nocase(protocols, STR("all")) ||
           str_list_has_nocase(protocols, family == AF_INET ? STR("ipv4") : STR("ipv6"));
}

bool config_has_protocol(const struct config *config, int family)
{
    return protocol_is_on(config->inet_protocols, family);
}

static bool has_network(struct str list, struct str network)
{
    struct str item;

    while (str_token(&list, " ", &item))
        if (str_eq(item, network))
            return true;
    return false;
}

static int network_bits(const struct ifaddrs *i, struct str style)
{
    int family = i->ifa_addr->sa_family;

    if (str_eq_nocase(style, STR("host")) || i->ifa_netmask == NULL)
        return family == AF_INET ? 32 : 128;
    if (str_eq_nocase(style, STR("class")) && family == AF_INET)
        return class_bits((const struct sockaddr_in *)i->ifa_addr);
    return mask_bits(i->ifa_netmask);
}

struct str computed_networks(struct arena *a, struct str style, struct str interfaces,
                             struct str protocols)
{
    struct ifaddrs *all = NULL;
    struct str list = STR("");

    if (getifaddrs(&all) < 0)
        return list;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
        struct addr at = {0};
        struct str network;

        if ((family != AF_INET && family != AF_INET6) || !(i->ifa_flags & IFF_UP) ||
            !protocol_is_on(protocols, family))
            continue;
        at.bytes = family == AF_INET ? sizeof at.in : sizeof at.in6;
        memcpy(&at.sa, i->ifa_addr, at.bytes);
        if (!is_listed(interfaces, &at))
            continue;
        network = network_text(a, at, network_bits(i, style));
        if (!has_network(list, network))
            list = arena_printf(a, STR_FMT "%s" STR_FMT, STR_ARG(list), list.n ? " " : "",
                                STR_ARG(network));
    }
    freeifaddrs(all);
    return list;
}
