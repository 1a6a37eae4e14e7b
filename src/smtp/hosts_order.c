#include <stdlib.h>

#include "smtp/hosts.h"

static int in_order(const struct host *a, const struct host *b)
{
    if (a->preference != b->preference)
        return a->preference < b->preference ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static int any(const void *x, const void *y)
{
    return in_order(x, y);
}

/* first: the preferred address family. */
static int by_family(const struct host *a, const struct host *b, int first)
{
    bool x = addr_family(&a->address) == first, y = addr_family(&b->address) == first;

    if (a->preference == b->preference && x != y)
        return x ? -1 : 1;
    return in_order(a, b);
}

static int ipv4_first(const void *x, const void *y)
{
    return by_family(x, y, AF_INET);
}

static int ipv6_first(const void *x, const void *y)
{
    return by_family(x, y, AF_INET6);
}

void hosts_sort(struct host *v, size_t n, struct str preference)
{
    qsort(v, n, sizeof *v,
          str_eq(preference, STR("ipv4"))   ? ipv4_first
          : str_eq(preference, STR("ipv6")) ? ipv6_first
                                            : any);
}

size_t hosts_limit(struct host *v, size_t n, size_t limit, bool balance)
{
    size_t count[2] = {0}, room[2], kept = 0; /* IPv4, IPv6 */

    if (limit == 0 || n <= limit)
        return n;
    for (size_t i = 0; i < n; i++)
        count[addr_family(&v[i].address) == AF_INET6]++;
    if (!balance || limit < 2 || count[0] == 0 || count[1] == 0)
        return limit;
    /* half for each family; what one does not need is for the other */
    room[0] = count[0] < limit / 2 ? count[0] : limit / 2;
    room[1] = count[1] < limit - room[0] ? count[1] : limit - room[0];
    room[0] = limit - room[1];
    for (size_t i = 0; i < n && kept < limit; i++) {
        size_t *left = &room[addr_family(&v[i].address) == AF_INET6];
        if (*left == 0)
            continue;
        --*left;
        v[kept++] = v[i];
    }
    return kept;
}
