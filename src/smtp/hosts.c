#include "smtp/hosts.h"

#include <stdlib.h>
#include <sys/random.h>

#include "global/text.h"

enum { SMTP_PORT = 25, PREFERENCE_NONE = 0 };

struct finding {
    struct smtp *smtp;
    struct arena *arena;
    unsigned port;
    VEC(struct host) hosts;
    struct trouble *trouble;
    struct host like; /* what the hosts that are found have in common */
    bool try_later;   /* trouble is of the kind that may pass: words of others do not replace it */
};

static const char *status_code(enum dns_status status)
{
    switch (status) {
    case DNS_NULL_MX: return "5.1.0";
    case DNS_RETRY: return "4.4.3";
    case DNS_BOGUS: return "4.7.0";
    default: return "5.4.4";
    }
}

static void note_trouble(struct finding *f, enum dns_status status, const struct why *why)
{
    if (f->try_later)
        return;
    f->try_later = status == DNS_RETRY || status == DNS_BOGUS;
    f->trouble->status = status_code(status);
    f->trouble->why = *why;
}

static enum rc trouble_set(struct trouble *t, const char *status, const struct why *why)
{
    t->status = status;
    t->why = *why;
    return RC_TEMP;
}

static unsigned long chance(void)
{
    unsigned long n = 0;

    return getrandom(&n, sizeof n, GRND_NONBLOCK) == sizeof n ? n : 0;
}

static void add_host(struct finding *f, struct str name, const struct addr *address, int preference)
{
    struct host h = f->like;

    h.name = name;
    h.address = *address;
    h.preference = preference;
    if (h.final.n == 0)
        h.final = name;
    if (addr_family(address) == AF_INET ? !f->smtp->ipv4 : !f->smtp->ipv6)
        return;
    addr_set_port(&h.address, f->port);
    h.order = f->smtp->set.randomize_addresses ? chance() : f->hosts.n;
    vec_add(f->arena, &f->hosts, h);
}

static void add_by_dns(struct finding *f, struct str name, int preference)
{
    static const int types[] = {DNS_A, DNS_AAAA};

    for (int i = 0; i < 2; i++) {
        struct dns_answer answer;
        struct why why = {0};
        enum dns_status status;
        if (types[i] == DNS_A ? !f->smtp->ipv4 : !f->smtp->ipv6)
            continue;
        status = dns_lookup(f->smtp->resolver, name, types[i], f->arena, &answer, &why);
        if (status != DNS_FOUND)
            note_trouble(f, status, &why);
        f->like.secure = answer.authenticated;
        f->like.final = answer.cname;
        for (size_t j = 0; status == DNS_FOUND && j < answer.n; j++)
            add_host(f, name, &answer.records[j].address, preference);
    }
    f->like.secure = false;
    f->like.final = STR_NONE;
}

static void add_by_system(struct finding *f, struct str name, int preference)
{
    int family = !f->smtp->ipv6 ? AF_INET : !f->smtp->ipv4 ? AF_INET6 : AF_UNSPEC;
    struct addr *found;
    struct why why = {0};
    size_t n = 0;
    enum dns_status status = dns_native(name, family, f->arena, &found, &n, &why);

    if (status == DNS_FOUND) {
        for (size_t i = 0; i < n; i++)
            add_host(f, name, &found[i], preference);
        return;
    }
    why_prefix(&why, "unable to look up host " STR_FMT, STR_ARG(name));
    note_trouble(f, status, &why);
}

/* The addresses of one host. True: there are some. */
static bool add_addresses(struct finding *f, struct str name, int preference)
{
    size_t before = f->hosts.n;
    struct addr literal;

    if (addr_parse(name, f->port, &literal, NULL) == RC_OK) {
        add_host(f, name, &literal, preference);
        return f->hosts.n > before;
    }
    if (f->smtp->host_dns)
        add_by_dns(f, name, preference);
    if (f->hosts.n == before && f->smtp->host_native)
        add_by_system(f, name, preference);
    return f->hosts.n > before;
}

static int by_preference(const void *x, const void *y)
{
    const struct dns_record *a = x, *b = y;

    return (a->preference > b->preference) - (a->preference < b->preference);
}

/* Addresses of MX or SRV targets, best first; stops when there are plenty. */
static void add_targets(struct finding *f, struct str domain, struct dns_answer *answer, bool srv)
{
    size_t enough =
        f->smtp->set.mx_address_limit > 0 ? 4 * (size_t)f->smtp->set.mx_address_limit : (size_t)-1;

    f->like.by_mx = true;
    f->like.mx_secure = answer->authenticated;
    f->like.mx_final = answer->cname.n ? answer->cname : domain;
    qsort(answer->records, answer->n, sizeof *answer->records, by_preference);
    for (size_t i = 0; i < answer->n; i++) {
        const struct dns_record *r = &answer->records[i];
        if (i > 0 && r->preference != r[-1].preference && f->hosts.n >= enough)
            break;
        if (r->data.n == 0)
            continue;
        if (srv)
            f->port = (unsigned)r->port;
        add_addresses(f, r->data, r->preference);
    }
}

static enum rc find_by_mx(struct finding *f, struct str domain, bool *by_mx)
{
    struct dns_answer answer;
    struct why why = {0};
    enum dns_status status = dns_lookup(f->smtp->resolver, domain, DNS_MX, f->arena, &answer, &why);

    switch (status) {
    case DNS_FOUND: break;
    case DNS_NXDOMAIN:
    case DNS_NODATA: add_addresses(f, domain, PREFERENCE_NONE); return RC_OK;
    case DNS_RETRY:
        if (f->smtp->config->ignore_mx_lookup_error) {
            add_addresses(f, domain, PREFERENCE_NONE);
            return RC_OK;
        }
        return trouble_set(f->trouble, "4.4.3", &why);
    default: return trouble_set(f->trouble, status_code(status), &why);
    }
    *by_mx = true;
    add_targets(f, domain, &answer, false);
    if (f->hosts.n)
        return RC_OK;
    log_warning(&f->smtp->log, "no MX host for " STR_FMT " has a valid address record",
                STR_ARG(domain));
    if (f->trouble->status == NULL)
        f->trouble->status = "5.4.4";
    if (f->smtp->set.defer_if_no_mx_address_found && f->trouble->status[0] == '5')
        f->trouble->status = "4.4.4";
    return RC_TEMP;
}

/* Among targets of the same priority the heavier ones come first more often (RFC 2782). */
static void order_by_weight(struct dns_record *v, size_t n)
{
    qsort(v, n, sizeof *v, by_preference);
    for (size_t i = 0; i < n; i++) {
        unsigned long sum = 0, pick;
        size_t end = i, j = i;
        struct dns_record chosen;
        while (end < n && v[end].preference == v[i].preference)
            sum += (unsigned long)v[end++].weight;
        pick = chance() % (sum + 1);
        while (j + 1 < end && pick > (unsigned long)v[j].weight)
            pick -= (unsigned long)v[j++].weight;
        chosen = v[j];
        memmove(v + i + 1, v + i, (j - i) * sizeof *v);
        v[i] = chosen;
    }
}

/* RC_NONE: there is no SRV record, and the configuration says to go on without. */
static enum rc find_by_srv(struct finding *f, const struct nexthop *hop, struct str domain)
{
    const struct config *c = f->smtp->config;
    struct dns_answer answer;
    struct why why = {0};
    struct str name =
        arena_printf(f->arena, "_" STR_FMT "._tcp." STR_FMT, STR_ARG(hop->port), STR_ARG(domain));
    enum dns_status status = dns_lookup(f->smtp->resolver, name, DNS_SRV, f->arena, &answer, &why);

    if ((status == DNS_NXDOMAIN || status == DNS_NODATA) && c->allow_srv_lookup_fallback)
        return RC_NONE;
    if (status == DNS_RETRY && c->ignore_srv_lookup_error)
        return RC_NONE;
    if (status != DNS_FOUND)
        return trouble_set(f->trouble, status_code(status), &why);
    order_by_weight(answer.records, answer.n);
    for (size_t i = 0; i < answer.n; i++)
        answer.records[i].preference = (int)i; /* the order is made: keep it */
    add_targets(f, domain, &answer, true);
    if (f->hosts.n)
        return RC_OK;
    if (f->trouble->status == NULL) {
        why_set(&why, RC_PERM, "Service " STR_FMT " is not offered", STR_ARG(name));
        return trouble_set(f->trouble, "5.4.4", &why);
    }
    return RC_TEMP;
}

static bool wants_srv(const struct smtp *s, const struct nexthop *hop)
{
    struct str list = s->config->use_srv_lookup, word;

    while (s->dns != DNS_USE_NO && !hop->bracketed && str_token(&list, LIST_SEPARATORS, &word))
        if (str_eq_nocase(word, hop->port))
            return true;
    return false;
}

static enum rc find(struct finding *f, const struct nexthop *hop, bool *by_mx)
{
    struct str domain = hop->host;
    enum rc rc = RC_NONE;

    if (!str_is_ascii(domain))
        domain = domain_to_ascii(f->arena, domain);
    if (wants_srv(f->smtp, hop))
        rc = find_by_srv(f, hop, domain);
    if (rc != RC_NONE)
        return rc;
    if (!hop->bracketed && !f->smtp->lmtp && f->smtp->dns != DNS_USE_NO)
        return find_by_mx(f, domain, by_mx);
    add_addresses(f, domain, PREFERENCE_NONE);
    return RC_OK;
}

bool hosts_cut_self(const struct smtp *s, struct host *v, size_t *n)
{
    size_t kept = 0;
    int worst = 0;
    bool found = false;

    for (size_t i = 0; i < *n; i++) {
        if (!own_address_has(s, &v[i].address) || (found && v[i].preference >= worst))
            continue;
        found = true;
        worst = v[i].preference;
    }
    if (!found)
        return false;
    for (size_t i = 0; i < *n; i++)
        if (v[i].preference < worst)
            v[kept++] = v[i];
    *n = kept;
    return true;
}

enum rc hosts_find(struct smtp *s, const struct nexthop *hop, struct arena *a,
                   struct host_list *out, struct trouble *trouble)
{
    struct finding f = {.smtp = s, .arena = a, .trouble = trouble};
    bool by_mx = false, we_are_mx = false;

    *trouble = (struct trouble){0};
    f.port = smtp_port(s, hop->port);
    if (f.port == 0) {
        why_set(&trouble->why, RC_CONFIG, "unknown service: " STR_FMT "/tcp", STR_ARG(hop->port));
        trouble->status = "4.3.5";
        return RC_TEMP;
    }
    if (!s->ipv4 && !s->ipv6) {
        why_set(&trouble->why, RC_CONFIG, "all network protocols are disabled");
        trouble->status = "4.4.4";
        return RC_TEMP;
    }
    TRY(find(&f, hop, &by_mx));
    if (f.hosts.n == 0) {
        if (trouble->status == NULL) {
            why_set(&trouble->why, RC_TEMP,
                    "host " STR_FMT " has no address of a protocol in inet_protocols",
                    STR_ARG(hop->host));
            trouble->status = "5.4.4";
        }
        return RC_TEMP;
    }
    hosts_sort(f.hosts.v, f.hosts.n, s->set.address_preference);
    if (f.port == SMTP_PORT && !s->lmtp)
        we_are_mx = hosts_cut_self(s, f.hosts.v, &f.hosts.n);
    if (f.hosts.n == 0) {
        *trouble = (struct trouble){.status = "5.4.6"};
        why_set(&trouble->why, RC_PERM, "mail for " STR_FMT " loops back to myself",
                STR_ARG(hop->host));
        return RC_PERM;
    }
    if (s->set.mx_address_limit > 0)
        f.hosts.n = hosts_limit(f.hosts.v, f.hosts.n, (size_t)s->set.mx_address_limit,
                                s->set.balance_inet_protocols);
    *out = (struct host_list){f.hosts.v, f.hosts.n, by_mx, we_are_mx};
    return RC_OK;
}
