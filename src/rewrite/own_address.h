/*
 * The addresses of this machine that mail comes in on: inet_interfaces, inet_protocols and
 * proxy_interfaces. Names are resolved once, when it is made.
 */
#pragma once

#include "util/arena.h"
#include "util/net.h"

struct config;
struct own_addresses;

/* Lives in the arena. RC_CONFIG: a name or address that means nothing. */
enum rc own_addresses_new(const struct config *config, struct arena *a, struct own_addresses **out,
                          struct why *why) MUST_USE;

bool own_address_has(const struct own_addresses *own, const struct addr *address);

/* "[192.0.2.1]" or "[IPv6:...]" of ours? */
bool own_address_has_literal(const struct own_addresses *own, struct str literal);
