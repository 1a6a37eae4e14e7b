/*
 * A set of networks, each with a value. Asking costs one look-up for each size of network that is
 * there, however many there are. Not thread-safe while it is filled; read-only afterwards.
 */
#pragma once

#include "util/map.h"
#include "util/net.h"

struct networks {
    struct map map;
    bool bits4[33], bits6[129];
};

void networks_init(struct networks *n);
void networks_done(struct networks *n);

void networks_put(struct networks *n, const struct network *network, void *value); /* not NULL */
/* The value of the network of that size around the address, or NULL. */
void *networks_get(const struct networks *n, const struct addr *a, int bits);
/* Sizes that can be asked for: 0 to 32 or 128; -1 for what is no internet address. */
int networks_max_bits(const struct addr *a);
bool networks_have(const struct networks *n, const struct addr *a);

/* Add one, as a mere member. True: all addresses of its family are in one of them now. */
bool networks_cover_all(struct networks *n, struct network one);
