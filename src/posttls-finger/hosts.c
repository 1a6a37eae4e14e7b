#include <stdlib.h>

#include "global/text.h"
#include "posttls-finger/finger.h"

struct finding {
    struct finger *f;
    VEC(struct finger_host) hosts;
    struct why *why;
};

static void add(struct finding *s, const struct dane_host *like, const struct addr *address,
                int preference)
{
    struct finger_host h = {.dane = *like, .address = *address, .preference = preference};

    addr_set_port(&h.address, like->port);
    vec_add(s->f->arena, &s->hosts, h);
}

static void add_by_dns(struct finding *s, struct dane_host like, int preference)
{
    static const int types[] = {DNS_A, DNS_AAAA};
    struct str name = like.name;

    for (int i = 0; i < 2; i++) {
        struct dns_answer answer;
        if (dns_lookup(s->f->resolver, name, types[i], s->f->arena, &answer, s->why) != DNS_FOUND)
            continue;
        like.secure = answer.authenticated;
        like.address = answer.cname.n ? answer.cname : name;
        for (size_t j = 0; j < answer.n; j++)
            add(s, &like, &answer.records[j].address, preference);
    }
}

static void add_host(struct finding *s, struct dane_host like, int preference)
{
    struct str lookup = s->f->config->smtp_host_lookup, word;
    size_t before = s->hosts.n;
    struct addr literal, *found;

    like.address = like.name;
    if (addr_parse(like.name, like.port, &literal, NULL) == RC_OK) {
        add(s, &like, &literal, preference);
        return;
    }
    while (s->hosts.n == before && str_token(&lookup, LIST_SEPARATORS, &word)) {
        size_t n = 0;
        if (str_eq_nocase(word, STR("dns")))
            add_by_dns(s, like, preference);
        else if (dns_native(like.name, AF_UNSPEC, s->f->arena, &found, &n, s->why) == DNS_FOUND)
            for (size_t i = 0; i < n; i++)
                add(s, &like, &found[i], preference);
    }
}

/* MX or SRV records. False: there are none, the domain is the host. */
static enum rc add_targets(struct finding *s, struct str domain, bool srv)
{
    struct finger *f = s->f;
    struct str name = srv ? arena_printf(f->arena, "_smtp._tcp." STR_FMT, STR_ARG(domain)) : domain;
    struct dns_answer answer;
    enum dns_status status =
        dns_lookup(f->resolver, name, srv ? DNS_SRV : DNS_MX, f->arena, &answer, s->why);
    struct dane_host like = {
        .by_mx = true, .mx_secure = answer.authenticated, .mx_name = domain, .port = f->port};

    if (status == DNS_NXDOMAIN || status == DNS_NODATA)
        return RC_NONE;
    if (status != DNS_FOUND)
        return RC_TEMP;
    like.mx_final = answer.cname.n ? answer.cname : domain;
    for (size_t i = 0; i < answer.n; i++) {
        like.name = answer.records[i].data;
        if (srv)
            like.port = (unsigned)answer.records[i].port;
        if (like.name.n)
            add_host(s, like, answer.records[i].preference);
    }
    return RC_OK;
}

static int in_order(const void *x, const void *y)
{
    const struct finger_host *a = x, *b = y;

    return (a->preference > b->preference) - (a->preference < b->preference);
}

static enum rc parse(struct finger *f, struct why *why)
{
    struct str text = f->o.destination, port;

    if (f->o.lmtp && str_has_prefix(text, STR("unix:"))) {
        f->path = str_from(text, 5);
        return RC_OK;
    }
    if (str_has_prefix(text, STR("inet:")))
        text = str_from(text, 5);
    f->bracketed = text.n && text.p[0] == '[';
    TRY(host_port_split(text, &f->host, &port, why));
    if (str_has_prefix_nocase(f->host, STR("IPv6:")))
        f->host = str_from(f->host, 5);
    f->host = domain_to_ascii(f->arena, f->host);
    f->port = f->o.lmtp ? 24 : 25;
    if (port.n && (f->port = port_of(port)) == 0)
        return FAIL(why, RC_PERM, "unknown service \"" STR_FMT "\"", STR_ARG(port));
    return f->host.n ? RC_OK : FAIL(why, RC_PERM, "no host name");
}

/* What -a leaves; the preferred family first among equals. */
static size_t of_family(const struct finger *f, struct finger_host *v, size_t n)
{
    int family = str_eq(f->o.family, STR("ipv4"))   ? AF_INET
                 : str_eq(f->o.family, STR("ipv6")) ? AF_INET6
                                                    : AF_UNSPEC;
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (family == AF_UNSPEC || addr_family(&v[i].address) == family)
            v[kept++] = v[i];
    return kept;
}

enum rc finger_find_hosts(struct finger *f, struct why *why)
{
    struct finding s = {.f = f, .why = why};
    enum rc rc = RC_NONE;

    TRY(parse(f, why));
    if (f->path.n) {
        add(&s, &(struct dane_host){.name = f->config->myhostname}, &(struct addr){0}, 0);
    } else {
        if (!f->bracketed && !f->o.lmtp)
            rc = add_targets(&s, f->host, f->o.srv);
        if (rc == RC_NONE)
            add_host(&s, (struct dane_host){.name = f->host, .port = f->port}, 0);
    }
    f->hosts = s.hosts.v;
    f->n_hosts = of_family(f, s.hosts.v, s.hosts.n);
    if (f->n_hosts) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
        qsort(f->hosts, f->n_hosts, sizeof *f->hosts, in_order);
        return RC_OK;
    }
    if (why->text[0] == '\0')
        why_set(why, RC_PERM, "no address of family " STR_FMT, STR_ARG(f->o.family));
    return RC_TEMP;
}
