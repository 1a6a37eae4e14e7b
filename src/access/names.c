/* Host names in HELO and in addresses: syntax, completeness, existence. */
#include "access/restrictions.h"
#include "config/config.h"

static bool is_bracketed(struct str name)
{
    return name.n && name.p[0] == '[';
}

/* "192.0.2.1", "2001:db8::1"; in brackets the latter has a tag: "[IPv6:2001:db8::1]". */
static bool is_numeric_address(struct str name, bool bracketed)
{
    bool tagged = str_has_prefix_nocase(name, STR("IPv6:"));
    struct addr a;

    if (tagged && !bracketed)
        return false;
    return addr_parse(tagged ? str_from(name, 5) : name, 0, &a, NULL) == RC_OK &&
           (!bracketed || (addr_family(&a) == AF_INET6) == tagged);
}

static struct str without_dot(struct str name)
{
    return name.n && name.p[name.n - 1] == '.' ? str_head(name, name.n - 1) : name;
}

/* "[addr]" that is no address */
static bool is_bad_literal(struct str name)
{
    if (name.n < 3 || name.p[name.n - 1] != ']')
        return true;
    return !is_numeric_address((struct str){name.p + 1, name.n - 2}, true);
}

enum verdict reject_invalid_helo_hostname(struct access_context *c, const struct step *s)
{
    long code = c->access->config->invalid_hostname_reject_code;
    struct str helo = c->helo;

    (void)s;
    if (helo.p == NULL)
        return DUNNO;
    if (is_bracketed(helo) && is_bad_literal(helo))
        return refuse_subject(c, code, "5.5.2", helo, CLASS_HELO, STR("invalid ip address"));
    if (is_bracketed(helo) || is_numeric_address(helo, false))
        return DUNNO;
    if (dns_name_is_valid(without_dot(helo)) && !dns_name_is_numeric(helo))
        return DUNNO;
    return refuse_subject(c, code, "5.5.2", helo, CLASS_HELO, STR("Invalid name"));
}

/* Is it a name with at least two labels, none of them empty? */
static bool is_fqdn(struct str name)
{
    name = without_dot(name);
    return str_index(name, '.') > 0 && dns_name_is_valid(name) && !dns_name_is_numeric(name);
}

enum verdict reject_non_fqdn_helo_hostname(struct access_context *c, const struct step *s)
{
    if (c->helo.p && is_bracketed(c->helo))
        return reject_invalid_helo_hostname(c, s);
    if (c->helo.p == NULL || is_fqdn(c->helo))
        return DUNNO;
    return refuse_subject(c, c->access->config->non_fqdn_reject_code, "5.5.2", c->helo, CLASS_HELO,
                          STR("need fully-qualified hostname"));
}

static enum verdict reject_non_fqdn_address(struct access_context *c, struct str address,
                                            const char *class)
{
    struct str domain = domain_of(address);

    if (address.n == 0 || str_eq_nocase(address, STR("postmaster")))
        return DUNNO;
    if (is_bracketed(domain) ? !is_bad_literal(domain) : is_fqdn(domain))
        return DUNNO;
    return refuse_subject(c, c->access->config->non_fqdn_reject_code, "5.5.2", address, class,
                          STR("need fully-qualified address"));
}

enum verdict reject_non_fqdn_sender(struct access_context *c, const struct step *s)
{
    (void)s;
    return c->sender.p ? reject_non_fqdn_address(c, c->sender, CLASS_SENDER) : DUNNO;
}

enum verdict reject_non_fqdn_recipient(struct access_context *c, const struct step *s)
{
    (void)s;
    return c->recipient.p ? reject_non_fqdn_address(c, c->recipient, CLASS_RECIPIENT) : DUNNO;
}

/* Does a name have a record of one of the types? The first status that is no plain "no". */
static enum dns_status look_up(struct access_context *c, struct str name, const int *types,
                               size_t n)
{
    enum dns_status worst = DNS_NXDOMAIN;

    for (size_t i = 0; i < n; i++) {
        struct dns_answer answer = {0};
        enum dns_status status =
            dns_lookup(c->access->resolver, name, types[i], c->arena, &answer, NULL);
        if (status == DNS_FOUND || status == DNS_NULL_MX)
            return status;
        if (status == DNS_RETRY || status == DNS_INVALID || status == DNS_BOGUS)
            worst = status;
        if (status == DNS_NXDOMAIN && i == 0 && worst == DNS_NXDOMAIN)
            return status; /* no such name, of whatever type */
    }
    return worst;
}

enum verdict reject_unknown_helo_hostname(struct access_context *c, const struct step *s)
{
    static const int types[] = {DNS_A, DNS_AAAA, DNS_MX};
    const struct config *config = c->access->config;
    enum dns_status status;

    (void)s;
    if (c->helo.p == NULL)
        return DUNNO;
    if (is_bracketed(c->helo))
        return reject_invalid_helo_hostname(c, s);
    status = look_up(c, without_dot(c->helo), types, 3);
    if (status == DNS_FOUND || status == DNS_NULL_MX)
        return DUNNO;
    if (status == DNS_RETRY || status == DNS_BOGUS)
        return refuse_for_now(c, config->unknown_helo_hostname_tempfail_action, 450, "4.7.1",
                              c->helo, CLASS_HELO, STR("Host not found"));
    return refuse_subject(c, config->unknown_hostname_reject_code, "4.7.1", c->helo, CLASS_HELO,
                          STR("Host not found"));
}

/* A sender without return path is refused for good; RETURNMXCHECK has a code of its own for that.
 */
static long null_mx_code(const struct config *config)
{
    return config->unknown_address_reject_code > 550 ? config->unknown_address_reject_code : 550;
}

static enum verdict reject_unknown_domain(struct access_context *c, struct str address,
                                          const char *class)
{
    static const int types[] = {DNS_MX, DNS_A, DNS_AAAA};
    const struct config *config = c->access->config;
    bool sender = strcmp(class, CLASS_SENDER) == 0;
    const char *dsn = sender ? "4.1.8" : "4.1.2";
    unsigned known =
        RESOLVE_LOCAL | RESOLVE_VIRTUAL_ALIAS | RESOLVE_VIRTUAL_MAILBOX | RESOLVE_RELAY;
    const struct resolved *r;
    struct str domain;
    enum verdict v;

    if (address.n == 0)
        return DUNNO;
    v = resolve(c, address, &r);
    if (v != DUNNO || c->resolved_address.p == NULL ||
        (r->flags & known & ~(unsigned)RESOLVE_RELAY))
        return v;
    domain = domain_of(r->recipient);
    if (domain.n == 0 || is_bracketed(domain))
        return DUNNO;
    switch (look_up(c, without_dot(domain), types, 3)) {
    case DNS_FOUND: return DUNNO;
    case DNS_NULL_MX:
        return refuse_subject(c, sender ? null_mx_code(config) : 556, sender ? "4.7.27" : "4.1.10",
                              address, class, STR("Domain does not accept mail (nullMX)"));
    case DNS_RETRY:
    case DNS_BOGUS:
        return refuse_for_now(c, config->unknown_address_tempfail_action, 450, dsn, address, class,
                              STR("Domain not found"));
    case DNS_INVALID:
        return refuse_subject(c, config->unknown_address_reject_code, dsn, address, class,
                              STR("Malformed DNS server reply"));
    default:
        return refuse_subject(c, config->unknown_address_reject_code, dsn, address, class,
                              STR("Domain not found"));
    }
}

enum verdict reject_unknown_sender_domain(struct access_context *c, const struct step *s)
{
    (void)s;
    return c->sender.p ? reject_unknown_domain(c, c->sender, CLASS_SENDER) : DUNNO;
}

enum verdict reject_unknown_recipient_domain(struct access_context *c, const struct step *s)
{
    (void)s;
    return c->recipient.p ? reject_unknown_domain(c, c->recipient, CLASS_RECIPIENT) : DUNNO;
}
