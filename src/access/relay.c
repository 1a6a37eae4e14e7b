/* Whose mail do we take, for whom? */
#include <limits.h>

#include "access/restrictions.h"
#include "config/config.h"
#include "global/address.h"

struct str domain_of(struct str address)
{
    ssize_t at = str_rindex(address, '@');

    return at < 0 ? STR("") : str_from(address, (size_t)at + 1);
}

/* The latest answer is kept: most rules ask about the same address. RC_TEMP: nothing is kept. */
static enum rc look_up(struct access_context *c, struct str address)
{
    struct str sender = c->sender.p ? c->sender : STR("");
    struct why why = {0};
    enum rc rc;

    if (c->resolved_address.p && str_eq(c->resolved_address, address) &&
        str_eq(c->resolved_sender, sender))
        return RC_OK;
    c->resolved_address = STR_NONE;
    rc = resolve_address(c->access->rewriter, sender, address, false, c->arena, &c->resolved, &why);
    if (rc != RC_OK || (c->resolved.flags & RESOLVE_FAILED)) {
        if (why.text[0])
            log_warning(c->log, "%s", why.text);
        return RC_TEMP;
    }
    c->resolved_address = arena_copy(c->arena, address);
    c->resolved_sender = arena_copy(c->arena, sender);
    return RC_OK;
}

enum verdict resolve(struct access_context *c, struct str address, const struct resolved **out)
{
    *out = &c->resolved;
    if (look_up(c, address) == RC_OK)
        return DUNNO;
    return access_refuse(
        c, 451, "4.3.0",
        arena_printf(c->arena, "<" STR_FMT ">: Temporary lookup failure", STR_ARG(address)));
}

static bool is_bad(struct access_context *c, struct str address)
{
    return address.n && !c->access->is_unrestricted && look_up(c, address) == RC_OK &&
           (c->resolved.flags & RESOLVE_BAD_ADDRESS);
}

enum rc access_path_parse(struct access_context *c, struct str path, const char *verb,
                          struct str *address, struct str *rest, struct why *why)
{
    const struct config *config = access_config(c);
    bool alone = strcmp(verb, "VRFY") == 0, may_be_empty = strcmp(verb, "MAIL") == 0;

    TRY(address_parse_path(path, config->strict_rfc821_envelopes, config->smtputf8_enable, c->arena,
                           address, rest, why));
    if ((alone && rest->n) || (address->n == 0 && !may_be_empty) || is_bad(c, *address))
        return FAIL(why, RC_PERM, "no address for %s", verb);
    return RC_OK;
}

enum destination { OURS, NOT_OURS, NOT_KNOWN };

/* NOT_KNOWN: *v is the verdict. */
static enum destination destination_of(struct access_context *c, enum verdict *v)
{
    unsigned ours = RESOLVE_LOCAL | RESOLVE_VIRTUAL_ALIAS | RESOLVE_VIRTUAL_MAILBOX | RESOLVE_RELAY;
    const struct resolved *r;

    *v = DUNNO;
    if (c->recipient.p == NULL)
        return NOT_KNOWN;
    *v = resolve(c, c->recipient, &r);
    if (*v != DUNNO || c->resolved_address.p == NULL)
        return NOT_KNOWN;
    /* user@elsewhere@ours would be sent on to elsewhere */
    if ((r->flags & RESOLVE_ROUTED) && !c->access->config->allow_untrusted_routing)
        return NOT_OURS;
    return (r->flags & ours) || domain_of(r->recipient).n == 0 ? OURS : NOT_OURS;
}

bool may_relay(struct access_context *c)
{
    struct str value;
    struct why why;

    if (c->access->config->smtpd_relay_client)
        return true;
    switch (maps_get(c->access->pop_clients, c->client.address_text, c->arena, &value, &why)) {
    case RC_OK: return true;
    case RC_NONE: return false;
    default: break;
    }
    log_warning(c->log, "%s", why.text);
    (void)defer_if(c, &c->if_reject, 450, "4.7.1",
                   subject_text(c, c->client.label, CLASS_CLIENT, STR("Service unavailable")));
    return false;
}

enum verdict permit_auth_destination(struct access_context *c, const struct step *s)
{
    enum verdict v;

    (void)s;
    return destination_of(c, &v) == OURS ? PERMIT : v;
}

static enum verdict refuse_relay(struct access_context *c, long code, const char *dsn)
{
    return access_refuse(
        c, code, dsn,
        arena_printf(c->arena, "<" STR_FMT ">: Relay access denied", STR_ARG(c->recipient)));
}

enum verdict reject_unauth_destination(struct access_context *c, const struct step *s)
{
    enum verdict v;

    (void)s;
    if (destination_of(c, &v) != NOT_OURS || may_relay(c))
        return v;
    return refuse_relay(c, c->access->config->relay_domains_reject_code, "5.7.1");
}

enum verdict defer_unauth_destination(struct access_context *c, const struct step *s)
{
    long code = c->access->config->relay_domains_reject_code;
    enum verdict v;

    (void)s;
    if (destination_of(c, &v) != NOT_OURS || may_relay(c))
        return v;
    return refuse_relay(c, code >= 500 ? code - 100 : code, "4.7.1");
}

static bool is_own_host(struct access_context *c, struct str host)
{
    struct addr *addresses = NULL;
    size_t n = 0;

    if (!host_addresses(c, host, &addresses, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        char text[ADDR_TEXT_SIZE];
        struct str literal;
        addr_format(&addresses[i], text);
        literal = arena_printf(c->arena,
                               addr_family(&addresses[i]) == AF_INET6 ? "[IPv6:%s]" : "[%s]", text);
        if (resolve_is_local_domain(c->access->rewriter, literal, NULL) == RC_OK)
            return true;
    }
    return false;
}

/* Is a host with the best preference in permit_mx_backup_networks? Each of them must be. */
static bool primaries_are_friends(struct access_context *c, const struct dns_answer *mx)
{
    int best = INT_MAX;

    for (size_t i = 0; i < mx->n; i++)
        if (mx->records[i].type == DNS_MX && mx->records[i].preference < best)
            best = mx->records[i].preference;
    for (size_t i = 0; i < mx->n; i++) {
        struct addr *addresses = NULL;
        bool friend = false;
        size_t n = 0;
        if (mx->records[i].type != DNS_MX || mx->records[i].preference != best)
            continue;
        if (!host_addresses(c, mx->records[i].data, &addresses, &n))
            return false;
        for (size_t k = 0; k < n && !friend; k++)
            friend =
                match_client(c->access->mx_backup_networks, STR(""), &addresses[k], NULL) == RC_OK;
        if (!friend)
            return false;
    }
    return true;
}

enum verdict permit_mx_backup(struct access_context *c, const struct step *s)
{
    struct dns_answer mx = {0};
    enum dns_status status;
    enum destination d;
    struct str domain;
    enum verdict v;
    bool listed = false;

    (void)s;
    d = destination_of(c, &v);
    if (d != NOT_OURS || (c->resolved.flags & RESOLVE_ROUTED))
        return d == OURS ? PERMIT : v;
    domain = domain_of(c->resolved.recipient);
    if (domain.n == 0 || domain.p[0] == '[')
        return DUNNO;
    status = dns_lookup(c->access->resolver, domain, DNS_MX, c->arena, &mx, NULL);
    if (status == DNS_RETRY || status == DNS_BOGUS)
        return defer_if(c, &c->if_permit, 450, "4.4.4",
                        arena_printf(c->arena,
                                     "<" STR_FMT ">: Recipient address rejected: Unable to look up "
                                     "mail exchanger information",
                                     STR_ARG(c->recipient)));
    if (status != DNS_FOUND)
        return DUNNO;
    for (size_t i = 0; i < mx.n && !listed; i++)
        listed = mx.records[i].type == DNS_MX && is_own_host(c, mx.records[i].data);
    if (!listed)
        return DUNNO;
    return c->access->config->permit_mx_backup_networks.n == 0 || primaries_are_friends(c, &mx)
               ? PERMIT
               : DUNNO;
}
