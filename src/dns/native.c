#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#include "dns/dns.h"
#include "dns/resolver.h"

enum { REVERSE_TTL = 60, REVERSE_FAILED_TTL = 10 };

static enum dns_status status_of(int error, struct why *why)
{
    switch (error) {
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
        why_set(why, RC_PERM, "%s", gai_strerror(error));
        return DNS_NXDOMAIN;
    case EAI_SYSTEM: why_set(why, RC_TEMP, "%m"); return DNS_RETRY;
    default: why_set(why, RC_TEMP, "%s", gai_strerror(error)); return DNS_RETRY;
    }
}

enum dns_status dns_native(struct str host, int family, struct arena *a, struct addr **addresses,
                           size_t *n, struct why *why)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *list = NULL;
    size_t count = 0;
    int error = getaddrinfo(arena_text(a, host), NULL, &hints, &list);

    if (error)
        return status_of(error, why);
    for (struct addrinfo *i = list; i; i = i->ai_next)
        count++;
    *addresses = arena_array(a, struct addr, count + 1);
    *n = 0;
    for (struct addrinfo *i = list; i; i = i->ai_next) {
        struct addr *to = &(*addresses)[*n];
        if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
            continue;
        memcpy(&to->sa, i->ai_addr, i->ai_addrlen);
        to->bytes = i->ai_addrlen;
        addr_unmap(to);
        ++*n;
    }
    freeaddrinfo(list);
    if (*n)
        return DNS_FOUND;
    why_set(why, RC_PERM, "no address");
    return DNS_NXDOMAIN;
}

/* Does the name lead back to the address? */
static enum dns_status verify(struct str name, const struct addr *address, struct arena *a,
                              struct why *why)
{
    char text[ADDR_TEXT_SIZE];
    struct addr *all;
    struct why reason = {0};
    enum dns_status status;
    size_t n = 0;

    addr_format(address, text);
    status = dns_native(name, addr_family(address), a, &all, &n, &reason);
    for (size_t i = 0; status == DNS_FOUND && i < n; i++)
        if (addr_equal(&all[i], address))
            return DNS_FOUND;
    why_set(why, RC_TEMP, "hostname " STR_FMT " does not resolve to address %s%s%s", STR_ARG(name),
            text, status == DNS_FOUND ? "" : ": ", status == DNS_FOUND ? "" : reason.text);
    return status == DNS_RETRY ? DNS_RETRY : DNS_INVALID;
}

static enum dns_status reverse(const struct addr *address, struct arena *a, struct str *name,
                               struct why *why)
{
    char host[NI_MAXHOST], text[ADDR_TEXT_SIZE];
    int error = getnameinfo(&address->sa, address->bytes, host, sizeof host, NULL, 0, NI_NAMEREQD);

    *name = STR("");
    if (error)
        return status_of(error, why);
    addr_format(address, text);
    if (!dns_name_is_valid(str_of(host))) { /* numbers, or bytes that no log line should hold */
        why_set(why, RC_PERM, "name of address %s is no valid host name", text);
        return DNS_INVALID;
    }
    *name = arena_copy(a, str_of(host));
    return verify(*name, address, a, why);
}

enum dns_status dns_reverse(struct resolver *r, const struct addr *address, struct arena *a,
                            struct str *name, struct why *why)
{
    char text[ADDR_TEXT_SIZE];
    struct str key, kept, value;
    struct why reason = {0};
    enum dns_status status;

    /* kept: status letter, name, line feed, reason */
    addr_format(address, text);
    key = arena_printf(a, "reverse %s", text);
    if (cache_get(r->cache, key, a, &kept) && kept.n) {
        status = (enum dns_status)(kept.p[0] - 'a');
        kept = str_from(kept, 1);
        *name = str_cut(&kept, '\n');
        why_set(why, RC_TEMP, STR_FMT, STR_ARG(kept));
        return status;
    }
    status = reverse(address, a, name, &reason);
    value = arena_printf(a, "%c" STR_FMT "\n%s", 'a' + (int)status, STR_ARG(*name), reason.text);
    cache_put(r->cache, key, value, status == DNS_RETRY ? REVERSE_FAILED_TTL : REVERSE_TTL);
    why_set(why, RC_TEMP, "%s", reason.text);
    return status;
}
