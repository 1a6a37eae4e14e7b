#include "util/networks.h"

enum { KEY_MAX = 2 + 16 };

void networks_init(struct networks *n)
{
    *n = (struct networks){0};
}

void networks_done(struct networks *n)
{
    map_done(&n->map);
}

int networks_max_bits(const struct addr *a)
{
    return addr_family(a) == AF_INET ? 32 : addr_family(a) == AF_INET6 ? 128 : -1;
}

/* Family, bits, and the address bytes that count. */
static struct str key_of(char out[KEY_MAX], const struct addr *a, int bits)
{
    bool v4 = addr_family(a) == AF_INET;
    const char *bytes = v4 ? (const char *)&a->in.sin_addr : (const char *)&a->in6.sin6_addr;
    size_t n = (size_t)(bits + 7) / 8;

    out[0] = v4 ? '4' : '6';
    out[1] = (char)bits;
    memcpy(out + 2, bytes, n);
    if (bits % 8)
        out[1 + n] = (char)(out[1 + n] & (0xff00 >> bits % 8));
    return (struct str){out, n + 2};
}

void networks_put(struct networks *n, const struct network *network, void *value)
{
    char key[KEY_MAX];

    (addr_family(&network->base) == AF_INET ? n->bits4 : n->bits6)[network->bits] = true;
    map_put(&n->map, key_of(key, &network->base, network->bits), value);
}

void *networks_get(const struct networks *n, const struct addr *a, int bits)
{
    char key[KEY_MAX];

    if (bits < 0 || bits > networks_max_bits(a) ||
        !(addr_family(a) == AF_INET ? n->bits4 : n->bits6)[bits])
        return NULL;
    return map_get(&n->map, key_of(key, a, bits));
}

bool networks_have(const struct networks *n, const struct addr *a)
{
    for (int bits = networks_max_bits(a); bits >= 0; bits--)
        if (networks_get(n, a, bits))
            return true;
    return false;
}

/* The other half of the network that is twice as large. */
static struct addr other_half(const struct network *n)
{
    struct addr a = n->base;
    unsigned char *bytes =
        addr_family(&a) == AF_INET ? (unsigned char *)&a.in.sin_addr : a.in6.sin6_addr.s6_addr;

    bytes[(n->bits - 1) / 8] ^= (unsigned char)(0x80 >> (n->bits - 1) % 8);
    return a;
}

static bool holds(const struct networks *n, const struct addr *a, int bits)
{
    for (; bits >= 0; bits--)
        if (networks_get(n, a, bits))
            return true;
    return false;
}

bool networks_cover_all(struct networks *n, struct network one)
{
    for (;; one.bits--) {
        struct addr other;
        networks_put(n, &one, n);
        if (one.bits == 0)
            return true;
        other = other_half(&one);
        if (!holds(n, &other, one.bits))
            return networks_get(n, &one.base, 0) != NULL;
    }
}
