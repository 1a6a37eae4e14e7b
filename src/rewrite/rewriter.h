/* Inside of the rewrite library: what a rewriter holds. All is read-only after rewriter_new(),
 * except the cache, which has a lock of its own. */
#pragma once

#include <stdatomic.h>

#include "rewrite/own_address.h"
#include "rewrite/rewrite.h"
#include "table/table.h"
#include "util/cache.h"

/* Where mail of each address class goes: one set for mail, one for address_verify_*. */
struct routes {
    struct str local, virtual, relay, dflt; /* "transport:nexthop" */
    struct str relayhost;
    struct maps *transport_maps, *sender_relayhost, *sender_transport;
    bool verify; /* of messages: names of parameters */
};

struct rewriter {
    struct arena *arena;
    const struct config *config;
    struct table_env env;
    struct log log;

    struct match_list *mydestination, *virtual_alias_domains, *virtual_mailbox_domains;
    struct match_list *relay_domains;
    struct maps *relocated, *actions;
    struct routes mail, verify; /* verify shares the maps of mail where the texts are the same */
    struct own_addresses *own;
    bool by_sender; /* some answer depends on the sender */

    struct cache *cache;
    _Atomic long looked_at; /* seconds: when the tables' stamps were compared last */
    _Atomic unsigned long stamp;
};

/* Rules of the standard form (form.c). */
struct form {
    struct str origin, domain; /* what is appended; empty: nothing */
    bool swap_bangpath, percent_hack;
    bool looks_into_quotes; /* operators count also in a local part that needs quotes */
};
struct form form_of(const struct config *config, enum rewrite_context context);
struct str form_rewrite(const struct form *form, struct str address, struct arena *a);

/* x, between, y; any bytes. */
struct str form_join(struct arena *a, struct str x, struct str between, struct str y);

/* Without the dot at the end, unless that is all or there are two. */
struct str form_without_dot(struct str address);

/* resolve.c */
enum rc resolve_uncached(struct rewriter *r, const struct routes *routes, struct str sender,
                         struct str recipient, struct arena *a, struct resolved *out,
                         struct why *why) MUST_USE;

/* mydestination, or an address literal of ours; context is the rewriter. Trouble counts as no. */
bool rewriter_is_local(void *context, struct str domain);

/*
 * transport.c: what transport_maps say of this recipient (full address, parts of it, "*").
 * RC_NONE: nothing, or no change.
 */
enum rc transport_lookup(struct rewriter *r, const struct routes *routes, struct str recipient,
                         struct str domain, struct arena *a, struct resolved *out,
                         struct why *why) MUST_USE;

/* hostname.c: is this a domain name (or address literal) that mail can have? */
bool hostname_is_valid(struct str name, bool utf8, struct arena *a);
bool literal_is_valid(struct str literal); /* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
