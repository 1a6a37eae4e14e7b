#include <stdlib.h>

#include "config/config.h"
#include "rewrite/rewriter.h"
#include "util/clock.h"
#include "util/memory.h"

enum { CACHE_ENTRIES = 10000, CACHE_TTL_SECONDS = 30 };

/* ---- life ---- */

static enum rc open_match(struct rewriter *r, const char *name, struct str spec,
                          enum match_kind kind, struct match_list **out, struct why *why)
{
    return match_open(name, spec, kind, match_parents(r->config, name), &r->env, out, why);
}

static enum rc open_lists(struct rewriter *r, struct why *why)
{
    const struct config *c = r->config;

    TRY(open_match(r, "mydestination", c->mydestination, MATCH_STRING, &r->mydestination, why));
    TRY(open_match(r, "virtual_alias_domains", c->virtual_alias_domains, MATCH_STRING,
                   &r->virtual_alias_domains, why));
    TRY(open_match(r, "virtual_mailbox_domains", c->virtual_mailbox_domains, MATCH_STRING,
                   &r->virtual_mailbox_domains, why));
    TRY(open_match(r, "relay_domains", c->relay_domains, MATCH_DOMAIN, &r->relay_domains, why));
    TRY(maps_open("recipient_action_maps", c->recipient_action_maps, 0, &r->env, &r->actions, why));
    return maps_open("relocated_maps", c->relocated_maps, 0, &r->env, &r->relocated, why);
}

static enum rc open_routes(struct rewriter *r, struct why *why)
{
    const struct config *c = r->config;
    struct routes *m = &r->mail;

    *m = (struct routes){.local = c->local_transport,
                         .virtual = c->virtual_transport,
                         .relay = c->relay_transport,
                         .dflt = c->default_transport,
                         .relayhost = c->relayhost};
    TRY(maps_open("transport_maps", c->transport_maps, TABLE_NO_SUBSTITUTE, &r->env,
                  &m->transport_maps, why));
    TRY(maps_open("sender_dependent_relayhost_maps", c->sender_dependent_relayhost_maps,
                  TABLE_NO_SUBSTITUTE, &r->env, &m->sender_relayhost, why));
    return maps_open("sender_dependent_default_transport_maps",
                     c->sender_dependent_default_transport_maps, TABLE_NO_SUBSTITUTE, &r->env,
                     &m->sender_transport, why);
}

/* The same tables as for mail, unless the texts differ. */
static enum rc open_verify_maps(struct rewriter *r, const char *name, struct str spec,
                                struct str mail_spec, struct maps *mail, struct maps **out,
                                struct why *why)
{
    if (str_eq(spec, mail_spec)) {
        *out = mail;
        return RC_OK;
    }
    return maps_open(name, spec, TABLE_NO_SUBSTITUTE, &r->env, out, why);
}

static enum rc open_verify_routes(struct rewriter *r, struct why *why)
{
    const struct config *c = r->config;
    struct routes *v = &r->verify;

    *v = (struct routes){.local = c->address_verify_local_transport,
                         .virtual = c->address_verify_virtual_transport,
                         .relay = c->address_verify_relay_transport,
                         .dflt = c->address_verify_default_transport,
                         .relayhost = c->address_verify_relayhost,
                         .verify = true};
    TRY(open_verify_maps(r, "address_verify_transport_maps", c->address_verify_transport_maps,
                         c->transport_maps, r->mail.transport_maps, &v->transport_maps, why));
    TRY(open_verify_maps(r, "address_verify_sender_dependent_relayhost_maps",
                         c->address_verify_sender_dependent_relayhost_maps,
                         c->sender_dependent_relayhost_maps, r->mail.sender_relayhost,
                         &v->sender_relayhost, why));
    return open_verify_maps(r, "address_verify_sender_dependent_default_transport_maps",
                            c->address_verify_sender_dependent_default_transport_maps,
                            c->sender_dependent_default_transport_maps, r->mail.sender_transport,
                            &v->sender_transport, why);
}

static enum rc open_all(struct rewriter *r, struct why *why)
{
    TRY(open_lists(r, why));
    TRY(open_routes(r, why));
    TRY(open_verify_routes(r, why));
    return own_addresses_new(r->config, r->arena, &r->own, why);
}

enum rc rewriter_new(const struct config *config, const struct log *log, struct rewriter **out,
                     struct why *why)
{
    struct arena *arena = arena_new(4096);
    struct rewriter *r = arena_new_of(arena, struct rewriter);
    enum rc rc;

    r->arena = arena;
    r->config = config;
    r->log = *log;
    r->env = (struct table_env){config, &r->log};
    r->cache = cache_new(CACHE_ENTRIES);
    rc = open_all(r, why);
    if (rc != RC_OK) {
        rewriter_free(r);
        return rc;
    }
    r->by_sender = !maps_empty(r->mail.sender_relayhost) || !maps_empty(r->mail.sender_transport) ||
                   !maps_empty(r->verify.sender_relayhost) ||
                   !maps_empty(r->verify.sender_transport);
    *out = r;
    return RC_OK;
}

static void close_unshared(struct maps *verify, struct maps *mail)
{
    if (verify != mail)
        maps_close(verify);
}

void rewriter_free(struct rewriter *r)
{
    if (r == NULL)
        return;
    close_unshared(r->verify.transport_maps, r->mail.transport_maps);
    close_unshared(r->verify.sender_relayhost, r->mail.sender_relayhost);
    close_unshared(r->verify.sender_transport, r->mail.sender_transport);
    maps_close(r->mail.transport_maps);
    maps_close(r->mail.sender_relayhost);
    maps_close(r->mail.sender_transport);
    maps_close(r->relocated);
    maps_close(r->actions);
    match_close(r->mydestination);
    match_close(r->virtual_alias_domains);
    match_close(r->virtual_mailbox_domains);
    match_close(r->relay_domains);
    cache_free(r->cache);
    arena_free(r->arena);
}

bool rewriter_has_changed(struct rewriter *r)
{
    return maps_have_changed(r->mail.transport_maps) ||
           maps_have_changed(r->mail.sender_relayhost) ||
           maps_have_changed(r->mail.sender_transport) ||
           maps_have_changed(r->verify.transport_maps) ||
           maps_have_changed(r->verify.sender_relayhost) ||
           maps_have_changed(r->verify.sender_transport) || maps_have_changed(r->relocated) ||
           maps_have_changed(r->actions) || match_has_changed(r->mydestination) ||
           match_has_changed(r->virtual_alias_domains) ||
           match_has_changed(r->virtual_mailbox_domains) || match_has_changed(r->relay_domains);
}

/* ---- cache ---- */

/* Tables that are updated in place have new stamps: what was cached is forgotten. */
static void forget_changed(struct rewriter *r)
{
    long now = (long)clock_seconds();
    unsigned long stamp;

    if (atomic_load(&r->looked_at) == now || atomic_exchange(&r->looked_at, now) == now)
        return;
    stamp = maps_stamp(r->mail.transport_maps) + maps_stamp(r->mail.sender_relayhost) +
            maps_stamp(r->mail.sender_transport) + maps_stamp(r->verify.transport_maps) +
            maps_stamp(r->verify.sender_relayhost) + maps_stamp(r->verify.sender_transport) +
            maps_stamp(r->relocated) + match_stamp(r->mydestination) +
            match_stamp(r->virtual_alias_domains) + match_stamp(r->virtual_mailbox_domains) +
            match_stamp(r->relay_domains);
    if (atomic_exchange(&r->stamp, stamp) != stamp)
        cache_clear(r->cache);
}

/* The answer as one text: flags, then transport, nexthop and recipient, each with its length. */
struct packed {
    unsigned flags;
    unsigned short transport, nexthop, recipient;
};

static void keep(struct rewriter *r, struct str key, const struct resolved *x, struct arena *a)
{
    struct packed head = {x->flags, (unsigned short)x->transport.n, (unsigned short)x->nexthop.n,
                          (unsigned short)x->recipient.n};
    struct str all;

    if (x->transport.n > USHRT_MAX || x->nexthop.n > USHRT_MAX || x->recipient.n > USHRT_MAX)
        return;
    all = arena_join(a, (struct str){(const char *)&head, sizeof head}, x->transport);
    all = arena_join(a, all, x->nexthop);
    all = arena_join(a, all, x->recipient);
    cache_put(r->cache, key, all, CACHE_TTL_SECONDS);
}

static bool recall(struct rewriter *r, struct str key, struct arena *a, struct resolved *x)
{
    struct packed head;
    struct str all;

    if (!cache_get(r->cache, key, a, &all))
        return false;
    memcpy(&head, all.p, sizeof head);
    all = str_from(all, sizeof head);
    x->flags = head.flags;
    x->transport = str_head(all, head.transport);
    x->nexthop = str_head(str_from(all, head.transport), head.nexthop);
    x->recipient = str_from(all, (size_t)head.transport + head.nexthop);
    return true;
}

static struct str resolve_key(const struct rewriter *r, struct str sender, struct str recipient,
                              bool verify, struct arena *a)
{
    size_t n = 1 + recipient.n + (r->by_sender ? 1 + sender.n : 0);
    char *key = arena_alloc(a, n);

    key[0] = verify ? 'v' : 'q';
    if (recipient.n)
        memcpy(key + 1, recipient.p, recipient.n);
    if (r->by_sender && sender.n) /* key[1 + recipient.n] is the NUL between them */
        memcpy(key + 2 + recipient.n, sender.p, sender.n);
    return (struct str){key, n};
}

/* ---- operations ---- */

enum rc rewrite_address(struct rewriter *r, enum rewrite_context context, struct str address,
                        struct arena *a, struct str *out, struct why *why)
{
    const struct form form = form_of(r->config, context);

    (void)why; /* no table is asked; the rules are cheaper than a cache */
    *out = form_rewrite(&form, address, a);
    return RC_OK;
}

enum rc resolve_address(struct rewriter *r, struct str sender, struct str recipient, bool verify,
                        struct arena *a, struct resolved *out, struct why *why)
{
    struct str key = resolve_key(r, sender, recipient, verify, a);
    struct why words = {0};
    enum rc rc;

    forget_changed(r);
    if (recall(r, key, a, out))
        return RC_OK;
    rc = resolve_uncached(r, verify ? &r->verify : &r->mail, sender, recipient, a, out, &words);
    if (rc == RC_OK) {
        keep(r, key, out, a);
        return RC_OK;
    }
    log_warning(&r->log, "%s", words.text);
    *out = (struct resolved){.recipient = recipient, .flags = RESOLVE_FAILED};
    return FAIL(why, RC_TEMP, "%s", words.text);
}

enum rc resolve_is_local_domain(struct rewriter *r, struct str domain, struct why *why)
{
    enum rc rc;

    if (domain.n > 1 && domain.p[domain.n - 1] == '.')
        domain = str_head(domain, domain.n - 1);
    rc = match_get(r->mydestination, domain, why);
    if (rc == RC_NONE && own_address_has_literal(r->own, domain))
        return RC_OK;
    return rc;
}

bool rewriter_is_local(void *context, struct str domain)
{
    struct rewriter *r = context;

    return str_eq_nocase(domain, r->config->myorigin) ||
           resolve_is_local_domain(r, domain, NULL) == RC_OK;
}
