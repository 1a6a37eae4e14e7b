/*
 * What all deliveries of the process share: settings, tables, resolver, kept connections. Made by
 * smtp_start(), afterwards only read, except what has a lock of its own.
 */
#pragma once

#include <stdatomic.h>

#include "config/config.h"
#include "deliver/deliver.h"
#include "dns/dns.h"
#include "filter/filter.h"
#include "global/dns_filter.h"
#include "table/table.h"

struct protection;
struct authentication;
struct requiretls_policy;
struct session_pool;

struct smtp_settings {
#define SETTING(name, smtp, lmtp) __typeof__(((struct config *)0)->smtp) name;
#include "smtp/settings.def"
};

/* Workarounds for Cisco PIX firewalls that mangle the dialogue. */
enum pix_workaround { PIX_DISABLE_ESMTP = 1, PIX_DELAY_DOTCRLF = 2 };

enum dns_use { DNS_USE_NO, DNS_USE_YES, DNS_USE_DNSSEC };

struct addr_list {
    struct addr *v;
    size_t n;
};

/* Arguments "flags=DORX" of master.cf. */
enum smtp_flags {
    FLAG_DELIVERED_TO = 1,
    FLAG_ORIGINAL_TO = 2,
    FLAG_RETURN_PATH = 4,
    FLAG_FINAL = 8, /* success is reported as delivered, not as relayed */
};

struct smtp {
    bool lmtp;
    unsigned flags; /* enum smtp_flags */
    struct service_env *env;
    const struct config *config;
    struct smtp_settings set;
    struct log log; /* without queue id */
    struct arena *arena;
    struct deliver_shared *deliver;
    struct session_pool *pool;
    atomic_long serving; /* connections from the queue manager */

    struct resolver *resolver;
    enum dns_use dns;
    bool host_dns, host_native; /* smtp_host_lookup */
    bool ipv4, ipv6;            /* inet_protocols */
    struct addr_list own;       /* inet_interfaces and proxy_interfaces */
    struct addr bind4, bind6;   /* source addresses; none: the kernel chooses */
    struct addr_list sources;   /* smtp_source_addresses, stronger than those */
    atomic_uint turn;           /* of what is used in turn: sources, next hops */

    unsigned discard; /* EHLO keywords, as bits */
    unsigned pix;     /* enum pix_workaround */
    struct maps *discard_maps, *pix_maps, *generic_maps, *reply_filter, *helo_name_maps,
        *nexthop_maps;
    struct dns_filter dns_filter;
    struct maps *header_checks, *mime_header_checks, *nested_header_checks, *body_checks;
    struct requiretls_policy *requiretls;
    struct protection *protection;
    struct authentication *authentication; /* NULL: no logins */
    struct srs *srs;                       /* NULL: senders stay as they are */
    struct match_list *own_domains;        /* with srs only: senders that are left alone */
    struct match_list *my_destination;     /* with generic_maps only */
    bool extend_generic;                   /* propagate_unmatched_extensions has "generic" */
    struct match_list *debug_peers;
    struct filter_set filters;            /* smtp_filters: programs that hear about sessions */
    struct service_pool *cleanup;         /* for notices to the postmaster */
    unsigned notify;                      /* enum notify_class that are wanted */
    struct match_list *pool_destinations; /* smtp_connection_cache_destinations */
};

enum rc smtp_start(struct service_env *env, void **state, struct why *why) MUST_USE;
bool smtp_has_changed(struct service_env *env, void *state);
void smtp_serve(struct service_env *env, void *state, int fd);

/* One request (deliver.c). context: the struct smtp. */
void smtp_deliver(void *context, struct delivery *d);

/* Fill set; refuse what cannot be honoured and would weaken security (settings.c). */
enum rc settings_read(struct smtp *s, struct why *why) MUST_USE;
enum rc pix_mask(struct str words, unsigned *bits, struct why *why) MUST_USE;

/* The arguments behind the options (settings.c). */
enum rc flags_read(struct smtp *s, struct why *why) MUST_USE;

/* Port number by known_tcp_ports, then services(5); 0: unknown. */
unsigned smtp_port(const struct smtp *s, struct str text);

/* own and bind addresses (own.c) */
enum rc own_addresses_read(struct smtp *s, struct why *why) MUST_USE;
bool own_address_has(const struct smtp *s, const struct addr *address);
