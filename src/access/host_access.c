/* check_*_{a,mx,ns}_access: tables about the hosts behind a name. */
#include "access/restrictions.h"
#include "config/config.h"

bool host_addresses(struct access_context *c, struct str host, struct addr **addresses, size_t *n)
{
    static const int types[] = {DNS_A, DNS_AAAA};
    VEC(struct addr) found = {0};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct dns_answer answer = {0};
        if (dns_lookup(c->access->resolver, host, types[i], c->arena, &answer, NULL) != DNS_FOUND)
            continue;
        for (size_t k = 0; k < answer.n; k++)
            if (answer.records[k].type == types[i])
                vec_add(c->arena, &found, answer.records[k].address);
    }
    *addresses = found.v;
    *n = found.n;
    return found.n || dns_native(host, AF_UNSPEC, c->arena, addresses, n, NULL) == DNS_FOUND;
}

/* Look a host up by name and by its addresses. */
static enum verdict check_host(struct access_context *c, const struct step *s, struct str host,
                               bool by_name, struct str subject, const char *class)
{
    struct addr *addresses = NULL;
    bool found = false;
    size_t n = 0;
    enum verdict v = DUNNO;

    if (by_name)
        v = check_host_table(c, s->table, host, subject, class, &found);
    if (found)
        return v;
    if (!host_addresses(c, host, &addresses, &n))
        return DUNNO; /* nobody home: no rule can be about it */
    for (size_t i = 0; i < n; i++) {
        v = check_address_table(c, s->table, &addresses[i], subject, class, &found);
        if (found)
            return v;
    }
    return DUNNO;
}

/* Whoever owns a domain chooses these hosts, so they must not be able to permit anything. */
static enum verdict no_permit(struct access_context *c, const struct step *s, struct str name,
                              enum verdict v)
{
    if (v != PERMIT || c->actions.discard)
        return v;
    log_warning(c->log,
                "restriction " STR_FMT " returns OK for " STR_FMT
                "; this is not allowed for security reasons; use "
                "DUNNO instead of OK if you want to make an exception",
                STR_ARG(s->name), STR_ARG(name));
    return DUNNO;
}

static enum dns_status hosts_of(struct access_context *c, struct str *domain, int type,
                                struct dns_answer *answer)
{
    for (;;) {
        enum dns_status status =
            dns_lookup(c->access->resolver, *domain, type, c->arena, answer, NULL);
        ssize_t dot = str_index(*domain, '.');
        /* name servers are those of the closest parent that has some */
        if (type != DNS_NS || (status != DNS_NODATA && status != DNS_NXDOMAIN) || dot < 0 ||
            str_index(str_from(*domain, (size_t)dot + 1), '.') < 0)
            return status;
        *domain = str_from(*domain, (size_t)dot + 1);
    }
}

static enum verdict check_hosts(struct access_context *c, const struct step *s, struct str name,
                                int type, struct str subject, const char *class)
{
    struct dns_answer answer = {0};
    struct str domain = name;
    enum verdict v = DUNNO;
    enum dns_status status;

    if (name.n == 0 || name.p[0] == '[')
        return DUNNO;
    if (type == DNS_A)
        return no_permit(c, s, name, check_host(c, s, name, false, subject, class));
    status = hosts_of(c, &domain, type, &answer);
    if (type == DNS_MX && status == DNS_NODATA) /* the name is its own mail exchanger */
        return no_permit(c, s, name, check_host(c, s, name, true, subject, class));
    if (status != DNS_FOUND)
        return DUNNO;
    for (size_t i = 0; i < answer.n && v == DUNNO; i++)
        if (answer.records[i].type == type)
            v = check_host(c, s, answer.records[i].data, true, subject, class);
    return no_permit(c, s, name, v);
}

static enum verdict check_client(struct access_context *c, const struct step *s, int type)
{
    if (str_eq(c->client.name, STR("unknown")))
        return DUNNO;
    return check_hosts(c, s, c->client.name, type, c->client.label, CLASS_CLIENT);
}

static enum verdict check_reverse(struct access_context *c, const struct step *s, int type)
{
    if (str_eq(c->client.reverse_name, STR("unknown")))
        return DUNNO;
    return check_hosts(c, s, c->client.reverse_name, type, c->client.reverse_name, CLASS_REVERSE);
}

static enum verdict check_helo(struct access_context *c, const struct step *s, int type)
{
    return c->helo.p ? check_hosts(c, s, c->helo, type, c->helo, CLASS_HELO) : DUNNO;
}

static enum verdict check_address(struct access_context *c, const struct step *s,
                                  struct str address, const char *class, int type)
{
    const struct resolved *r;
    enum verdict v;

    if (address.n == 0)
        return DUNNO;
    v = resolve(c, address, &r);
    return v == DUNNO ? check_hosts(c, s, domain_of(r->recipient), type, address, class) : v;
}

#define HOST_RULE(name, call)                                                                      \
    enum verdict name(struct access_context *c, const struct step *s)                              \
    {                                                                                              \
        return call;                                                                               \
    }
HOST_RULE(check_client_a_access, check_client(c, s, DNS_A))
HOST_RULE(check_client_mx_access, check_client(c, s, DNS_MX))
HOST_RULE(check_client_ns_access, check_client(c, s, DNS_NS))
HOST_RULE(check_reverse_client_a_access, check_reverse(c, s, DNS_A))
HOST_RULE(check_reverse_client_mx_access, check_reverse(c, s, DNS_MX))
HOST_RULE(check_reverse_client_ns_access, check_reverse(c, s, DNS_NS))
HOST_RULE(check_helo_a_access, check_helo(c, s, DNS_A))
HOST_RULE(check_helo_mx_access, check_helo(c, s, DNS_MX))
HOST_RULE(check_helo_ns_access, check_helo(c, s, DNS_NS))
HOST_RULE(check_sender_a_access, check_address(c, s, c->sender, CLASS_SENDER, DNS_A))
HOST_RULE(check_sender_mx_access, check_address(c, s, c->sender, CLASS_SENDER, DNS_MX))
HOST_RULE(check_sender_ns_access, check_address(c, s, c->sender, CLASS_SENDER, DNS_NS))
HOST_RULE(check_recipient_a_access, check_address(c, s, c->recipient, CLASS_RECIPIENT, DNS_A))
HOST_RULE(check_recipient_mx_access, check_address(c, s, c->recipient, CLASS_RECIPIENT, DNS_MX))
HOST_RULE(check_recipient_ns_access, check_address(c, s, c->recipient, CLASS_RECIPIENT, DNS_NS))
