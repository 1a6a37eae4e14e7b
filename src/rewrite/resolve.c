/*
 * From a recipient to transport, nexthop and address class.
 *
 * First domains of ours are taken off the address, as often as routing operators bring up another
 * one; so "user%there@here" goes to "there", and nobody can hide a destination inside the local
 * part. Then the class of what is left decides, transport_maps may change that, and relocated_maps
 * have the last word.
 */
#include "config/config.h"
#include "global/address.h"
#include "rewrite/rewriter.h"
#include "table/table.h"

/* ---- the address without our own domains ---- */

struct peeled {
    struct str local; /* what stands before the last '@', or all */
    struct str domain;
    bool is_local; /* no foreign domain is left */
};

static bool has_operator(const struct config *config, struct str local)
{
    return str_index(local, '@') >= 0 || (config->swap_bangpath && str_index(local, '!') >= 0) ||
           (config->allow_percent_hack && str_index(local, '%') >= 0);
}

/* May we look for operators in a local part that needs quotes? */
static bool is_open(const struct config *config, struct str local, struct arena *a)
{
    struct str whole;

    if (config->resolve_dequoted_address)
        return true;
    whole = arena_join(a, local, STR("@d"));
    return str_eq(address_quote_822(a, whole), whole);
}

static enum rc peel(struct rewriter *r, struct str address, struct arena *a, struct peeled *out,
                    struct why *why)
{
    struct form form = form_of(r->config, REWRITE_LOCAL);
    struct str domain = r->config->myhostname;

    form.looks_into_quotes = r->config->resolve_dequoted_address;
    for (size_t rounds = address.n + 100; rounds > 0; rounds--) {
        ssize_t at = str_rindex(address, '@');
        if (at >= 0) {
            address = form_without_dot(address);
            if (r->config->resolve_null_domain && (size_t)at + 1 == address.n) {
                address = str_head(address, (size_t)at);
                continue;
            }
            struct str last = str_from(address, (size_t)at + 1);
            if (last.n) {
                enum rc rc = resolve_is_local_domain(r, last, why);
                if (rc == RC_NONE) {
                    *out = (struct peeled){str_head(address, (size_t)at), last, false};
                    return RC_OK;
                }
                TRY(rc);
            }
            domain = last;
            address = str_head(address, (size_t)at);
        }
        if (!has_operator(r->config, address) || !is_open(r->config, address, a))
            break;
        address = form_rewrite(&form, address, a);
    }
    if (address.n == 0)
        address = r->config->empty_address_recipient;
    *out = (struct peeled){address, domain, true};
    return RC_OK;
}

/* A domain that cannot be: RESOLVE_BAD_ADDRESS. May put brackets around a bare IP address. */
static bool domain_is_valid(const struct config *config, struct peeled *p, struct arena *a)
{
    struct addr address;

    if (p->domain.n && p->domain.p[0] == '[')
        return literal_is_valid(p->domain);
    if (config->resolve_numeric_domain && addr_parse(p->domain, 0, &address, NULL) == RC_OK) {
        p->domain = addr_family(&address) == AF_INET6
                        ? arena_printf(a, "[IPv6:" STR_FMT "]", STR_ARG(p->domain))
                        : arena_printf(a, "[" STR_FMT "]", STR_ARG(p->domain));
        return true;
    }
    return hostname_is_valid(p->domain, config->smtputf8_enable, a);
}

/* ---- address classes ---- */

struct task {
    struct rewriter *r;
    const struct routes *routes;
    struct str sender;
    struct str domain;
    struct arena *a;
    struct resolved *out;
    const char *blame; /* the parameter that named the transport */
    struct why *why;
};

static const char *parameter(const struct task *t, const char *plain, const char *verify)
{
    return t->routes->verify ? verify : plain;
}

static void use_transport(struct task *t, struct str transport, const char *blame)
{
    t->out->transport = transport;
    t->blame = blame;
}

/* Nag when a domain stands in two lists; which one wins is nothing to rely on. */
static void warn_both(struct task *t, const char *this, struct match_list *other, const char *name)
{
    if (t->r->config->helpful_warnings && match_get(other, t->domain, NULL) == RC_OK)
        log_warning(&t->r->log, "do not list domain " STR_FMT " in BOTH %s and %s",
                    STR_ARG(t->domain), this, name);
}

static void classify_local(struct task *t)
{
    warn_both(t, "mydestination", t->r->virtual_alias_domains, "virtual_alias_domains");
    warn_both(t, "mydestination", t->r->virtual_mailbox_domains, "virtual_mailbox_domains");
    t->out->flags |= RESOLVE_LOCAL;
    use_transport(t, t->routes->local,
                  parameter(t, "local_transport", "address_verify_local_transport"));
    t->out->nexthop = t->domain;
}

static void classify_alias(struct task *t)
{
    warn_both(t, "virtual_alias_domains", t->r->virtual_mailbox_domains, "virtual_mailbox_domains");
    warn_both(t, "virtual_alias_domains", t->r->relay_domains, "relay_domains");
    t->out->flags |= RESOLVE_VIRTUAL_ALIAS;
    use_transport(t, STR("error"), "virtual_alias_domains");
    t->out->nexthop = t->r->config->show_user_unknown_table_name
                          ? STR("5.1.1 User unknown in virtual alias table")
                          : STR("5.1.1 User unknown");
}

static void classify_mailbox(struct task *t)
{
    warn_both(t, "virtual_mailbox_domains", t->r->relay_domains, "relay_domains");
    t->out->flags |= RESOLVE_VIRTUAL_MAILBOX;
    use_transport(t, t->routes->virtual,
                  parameter(t, "virtual_transport", "address_verify_virtual_transport"));
    t->out->nexthop = t->domain;
}

/* A table keyed by sender. DUNNO and nothing are the same. */
static enum rc by_sender(struct task *t, struct maps *maps, struct str null_key, const char *name,
                         struct str *value)
{
    struct address_keys how = {.delimiters = t->r->config->recipient_delimiter,
                               .is_local = rewriter_is_local,
                               .context = t->r,
                               .with_domain_only = true};
    struct str found, extension;

    if (maps_empty(maps))
        return RC_NONE;
    if (t->sender.n)
        TRY(maps_get_address(maps, t->sender, &how, t->a, &found, &extension, t->why));
    else
        TRY(maps_get(maps, null_key, t->a, &found, t->why));
    if (found.n == 0) {
        log_warning(&t->r->log, "%s: ignoring null lookup result for " STR_FMT, name,
                    STR_ARG(t->sender));
        return RC_NONE;
    }
    if (str_eq_nocase(found, STR("DUNNO")))
        return RC_NONE;
    *value = found;
    return RC_OK;
}

static enum rc default_transport(struct task *t)
{
    const char *name = parameter(t, "sender_dependent_default_transport_maps",
                                 "address_verify_sender_dependent_default_transport_maps");
    struct str transport;
    enum rc rc =
        by_sender(t, t->routes->sender_transport,
                  t->r->config->empty_address_default_transport_maps_lookup_key, name, &transport);

    t->out->flags |= RESOLVE_DEFAULT;
    if (rc == RC_NONE)
        use_transport(t, t->routes->dflt,
                      parameter(t, "default_transport", "address_verify_default_transport"));
    else if (rc == RC_OK)
        use_transport(t, transport, name);
    return rc == RC_NONE ? RC_OK : rc;
}

static enum rc off_host_nexthop(struct task *t)
{
    enum rc rc = by_sender(t, t->routes->sender_relayhost,
                           t->r->config->empty_address_relayhost_maps_lookup_key,
                           parameter(t, "sender_dependent_relayhost_maps",
                                     "address_verify_sender_dependent_relayhost_maps"),
                           &t->out->nexthop);

    if (rc == RC_NONE)
        t->out->nexthop = t->routes->relayhost.n ? t->routes->relayhost : t->domain;
    return rc == RC_NONE ? RC_OK : rc;
}

static enum rc classify_remote(struct task *t)
{
    struct rewriter *r = t->r;
    enum rc rc = match_get(r->virtual_alias_domains, t->domain, t->why);

    if (rc == RC_OK)
        classify_alias(t);
    if (rc == RC_NONE) {
        rc = match_get(r->virtual_mailbox_domains, t->domain, t->why);
        if (rc == RC_OK)
            classify_mailbox(t);
    }
    if (rc != RC_NONE)
        return rc;
    rc = match_get(r->relay_domains, t->domain, t->why);
    if (rc == RC_OK) {
        t->out->flags |= RESOLVE_RELAY;
        use_transport(t, t->routes->relay,
                      parameter(t, "relay_transport", "address_verify_relay_transport"));
    } else {
        TRY(rc == RC_NONE ? RC_OK : rc);
        TRY(default_transport(t));
    }
    return off_host_nexthop(t);
}

/* "transport:nexthop" of main.cf: its nexthop wins over domain and relayhost. */
static enum rc split_transport(struct task *t)
{
    struct str nexthop = t->out->transport;

    t->out->transport = str_cut(&nexthop, ':');
    if (nexthop.n)
        t->out->nexthop = nexthop;
    if (t->out->transport.n == 0)
        return FAIL(t->why, RC_CONFIG, "parameter %s: null transport is not allowed", t->blame);
    return RC_OK;
}

static enum rc look_relocated(struct task *t)
{
    struct address_keys how = {.delimiters = t->r->config->recipient_delimiter,
                               .is_local = rewriter_is_local,
                               .context = t->r,
                               .with_domain_only = true};
    struct str place, extension;
    enum rc rc = maps_get_address(t->r->relocated, t->out->recipient, &how, t->a, &place,
                                  &extension, t->why);

    if (rc != RC_OK)
        return rc == RC_NONE ? RC_OK : rc;
    t->out->transport = STR("error");
    t->out->nexthop = t->r->config->relocated_prefix_enable
                          ? arena_printf(t->a, "5.1.6 User has moved to " STR_FMT, STR_ARG(place))
                          : place;
    return RC_OK;
}

static enum rc route(struct task *t, bool is_local)
{
    enum rc rc = RC_OK;

    if (is_local)
        classify_local(t);
    else
        rc = classify_remote(t);
    TRY(rc);
    TRY(split_transport(t));
    if (!(t->out->flags & RESOLVE_VIRTUAL_ALIAS)) {
        rc = transport_lookup(t->r, t->routes, t->out->recipient, t->domain, t->a, t->out, t->why);
        TRY(rc == RC_NONE ? RC_OK : rc);
    }
    return look_relocated(t);
}

enum rc resolve_uncached(struct rewriter *r, const struct routes *routes, struct str sender,
                         struct str recipient, struct arena *a, struct resolved *out,
                         struct why *why)
{
    struct task t = {.r = r, .routes = routes, .sender = sender, .a = a, .out = out, .why = why};
    struct peeled p;

    *out = (struct resolved){.recipient = recipient};
    TRY(peel(r, recipient, a, &p, why));
    if (!domain_is_valid(r->config, &p, a)) {
        out->flags |= RESOLVE_BAD_ADDRESS | RESOLVE_DEFAULT;
        out->recipient = form_join(a, p.local, STR("@"), p.domain);
        return RC_OK;
    }
    out->recipient = form_join(a, p.local, STR("@"), p.domain);
    t.domain = str_tail(out->recipient, p.domain.n);
    if (str_index_any(p.local, "@!%") >= 0)
        out->flags |= RESOLVE_ROUTED; /* whatever our settings: the next host may act on it */
    TRY(route(&t, p.is_local));
    if (!r->config->allow_min_user && out->recipient.p[0] == '-')
        out->flags |= RESOLVE_BAD_ADDRESS;
    return RC_OK;
}
