/* What check rules ask DNS: NS= (the servers of a domain) and RBL. (lists of addresses). */
#include "access/restrictions.h"
#include "access/rule.h"
#include "config/config.h"

enum { SERVER_ADDRESSES_MAX = 500, FAILURES_MAX = 3 };

struct ns_servers {
    struct ns_servers *next;
    struct str domain;
    int failures;     /* questions that DNS did not answer */
    bool has_address; /* the domain itself */
    bool found;       /* there are NS or MX records, perhaps of a parent */
    bool of_domain;   /* of the domain itself */
    bool has_addresses;
    VEC(struct str) names;
    VEC(struct addr) addresses;
};

static bool is_trouble(enum dns_status status)
{
    return status == DNS_RETRY || status == DNS_BOGUS || status == DNS_INVALID;
}

static enum dns_status ask(struct rule_query *q, struct ns_servers *s, struct str name, int type,
                           struct dns_answer *answer)
{
    enum dns_status status =
        dns_lookup(q->c->access->resolver, name, type, q->c->arena, answer, NULL);

    s->failures += is_trouble(status);
    return status;
}

static bool has_address(struct rule_query *q, struct ns_servers *s, struct str name)
{
    struct dns_answer answer = {0};

    return ask(q, s, name, DNS_A, &answer) == DNS_FOUND ||
           ask(q, s, name, DNS_AAAA, &answer) == DNS_FOUND;
}

static void add_names(struct rule_query *q, struct ns_servers *s, const struct dns_answer *answer,
                      int type)
{
    size_t max = (size_t)access_config(q->c)->check_rules_dns_limit;

    for (size_t i = 0; i < answer->n; i++) {
        if (answer->records[i].type != type)
            continue;
        if (s->names.n == max) {
            log_warning(q->c->log,
                        "NS= " STR_FMT ": more than %zu servers; see check_rules_dns_limit",
                        STR_ARG(s->domain), max);
            return;
        }
        vec_add(q->c->arena, &s->names, arena_lower(q->c->arena, answer->records[i].data));
    }
}

/* The records of the domain, or else of the closest parent that is no top-level domain. */
static void find_names(struct rule_query *q, struct ns_servers *s)
{
    static const int types[] = {DNS_NS, DNS_MX};
    struct str domain = s->domain;

    while (!s->found && str_index(domain, '.') > 0) {
        for (int i = 0; i < 2; i++) {
            struct dns_answer answer = {0};
            enum dns_status status = ask(q, s, domain, types[i], &answer);
            s->found = s->found || status == DNS_FOUND || status == DNS_NULL_MX;
            if (status == DNS_FOUND)
                add_names(q, s, &answer, types[i]);
        }
        s->of_domain = s->found && domain.n == s->domain.n;
        str_cut(&domain, '.');
    }
}

static void add_addresses(struct rule_query *q, struct ns_servers *s, struct str name)
{
    static const int types[] = {DNS_A, DNS_AAAA};

    for (int i = 0; i < 2; i++) {
        struct dns_answer answer = {0};
        if (ask(q, s, name, types[i], &answer) != DNS_FOUND)
            continue;
        for (size_t k = 0; k < answer.n; k++) {
            if (answer.records[k].type != types[i])
                continue;
            if (s->addresses.n == SERVER_ADDRESSES_MAX) {
                log_warning(q->c->log, "NS= " STR_FMT ": more than %d addresses of its servers",
                            STR_ARG(s->domain), SERVER_ADDRESSES_MAX);
                return;
            }
            vec_add(q->c->arena, &s->addresses, answer.records[k].address);
        }
    }
}

/* Who has named a hundred servers that do not answer must not keep us for minutes. */
static void find_addresses(struct rule_query *q, struct ns_servers *s)
{
    for (size_t i = 0; !s->has_addresses && i < s->names.n && s->failures < FAILURES_MAX; i++)
        if (s->addresses.n < SERVER_ADDRESSES_MAX)
            add_addresses(q, s, s->names.v[i]);
    s->has_addresses = true;
}

static struct ns_servers *servers_of(struct rule_query *q, struct str domain)
{
    struct ns_servers *s;

    if (domain.n && domain.p[domain.n - 1] == '.')
        domain.n--;
    for (s = q->ns; s; s = s->next)
        if (str_eq(s->domain, domain))
            return s;
    s = arena_new_of(q->c->arena, struct ns_servers);
    s->next = q->ns;
    s->domain = domain;
    q->ns = s;
    if (domain.n == 0 || !dns_name_is_valid(domain)) {
        s->has_address = domain.n && domain.p[0] == '['; /* an address is known as it stands */
        return s;
    }
    s->has_address = has_address(q, s, domain);
    find_names(q, s);
    return s;
}

/* Names first: for them nobody is asked any more. */
static bool any_server_matches(struct rule_query *q, const struct token *t, struct ns_servers *s)
{
    bool trouble = false, matches = false;

    for (size_t i = 0; !matches && t->ns == NS_TEXT && i < s->names.n; i++)
        matches = text_matches(&t->text, s->names.v[i], &trouble);
    if (!matches)
        find_addresses(q, s);
    for (size_t i = 0; !matches && i < s->addresses.n; i++) {
        char text[ADDR_TEXT_SIZE];
        addr_format(&s->addresses.v[i], text);
        matches = t->ns == NS_NETWORK ? network_has(t->network, &s->addresses.v[i])
                                      : text_matches(&t->text, str_of(text), &trouble);
    }
    s->failures += trouble;
    return matches;
}

enum rc ns_matches(struct rule_query *q, const struct token *t, struct str domain)
{
    struct ns_servers *s;
    bool found; /* what was not answered cannot change that */

    if (t->ns == NS_ALL)
        return RC_OK;
    s = servers_of(q, domain);
    if (t->ns == NS_KNOWN || t->ns == NS_UNKNOWN)
        found = s->has_address || s->of_domain;
    else
        found = any_server_matches(q, t, s);
    if (!found && s->failures)
        return FAIL(q->why, RC_TEMP, "no answer from DNS about the servers of " STR_FMT,
                    STR_ARG(domain));
    return found != (t->ns == NS_UNKNOWN) ? RC_OK : RC_NONE;
}

struct str client_domain(struct rule_query *q)
{
    struct str zone =
        addr_family(&q->c->client.address) == AF_INET6 ? STR("ip6.arpa") : STR("in-addr.arpa");

    return q->name_is_known ? q->name : dns_list_query(q->c, zone);
}

/* A list that does not answer has no opinion: as for reject_rbl_client, with a warning. */
enum rc rbl_matches(struct rule_query *q, const struct token *t)
{
    struct str name = dns_list_query(q->c, t->zone);
    struct dns_answer answer = {0};
    enum dns_status status;

    if (name.n == 0)
        return RC_NONE;
    status = dns_lookup(q->c->access->resolver, name, DNS_A, q->c->arena, &answer, NULL);
    if (is_trouble(status))
        log_warning(q->c->log, STR_FMT ": RBL lookup error: no answer from the name server",
                    STR_ARG(name));
    return status == DNS_FOUND ? RC_OK : RC_NONE;
}
