#include "tls/dane.h"

static const struct {
    struct str name;
    int matching;
    size_t bytes;
} digests_known[] = {
    {STR_INIT("sha256"), TLSA_SHA256, 32},
    {STR_INIT("sha512"), TLSA_SHA512, 64},
};

enum { DIGESTS_KNOWN = sizeof digests_known / sizeof *digests_known };

enum rc tlsa_digests_parse(struct str text, struct tlsa_digests *out, struct why *why)
{
    struct tlsa_digests d = {0};
    struct str word;

    while (str_token(&text, LIST_SEPARATORS, &word)) {
        struct str number = word, name = str_cut(&number, '=');
        long type = -1;
        int found = -1;
        for (int i = 0; i < DIGESTS_KNOWN; i++)
            if (str_eq_nocase(name, digests_known[i].name))
                found = digests_known[i].matching;
        if (found < 0)
            return FAIL(why, RC_CONFIG,
                        "tls_dane_digests: unknown digest \"" STR_FMT "\"; known: sha256 sha512",
                        STR_ARG(name));
        if (number.p && (!str_to_long(number, 0, 255, &type) || type != found))
            return FAIL(why, RC_CONFIG,
                        "tls_dane_digests: \"" STR_FMT "\": the number of this digest is %d",
                        STR_ARG(word), found);
        for (size_t i = 0; i < d.n; i++)
            if (d.matching[i] == found)
                return FAIL(why, RC_CONFIG, "tls_dane_digests: \"" STR_FMT "\" is named twice",
                            STR_ARG(name));
        if (d.n < TLSA_DIGESTS_MAX)
            d.matching[d.n++] = found;
    }
    if (d.n == 0)
        return FAIL(why, RC_CONFIG, "tls_dane_digests is empty; default: sha512 sha256");
    *out = d;
    return RC_OK;
}

enum rc tlsa_parse(struct str raw, struct tlsa *out, struct why *why)
{
    const unsigned char *p = (const unsigned char *)raw.p;

    if (raw.n < 4)
        return FAIL(why, RC_PERM, "TLSA record of %zu bytes", raw.n);
    *out = (struct tlsa){p[0], p[1], p[2], str_from(raw, 3)};
    return RC_OK;
}

/* Place in the order of preference; -1: not among the digests. Full data stands beside them. */
static int rank(const struct tlsa_digests *d, int matching)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->matching[i] == matching)
            return (int)i;
    return -1;
}

bool tlsa_is_usable(const struct tlsa *r, const struct tlsa_digests *digests, struct why *why)
{
    if (r->usage != TLSA_USAGE_TA && r->usage != TLSA_USAGE_EE) {
        why_set(why, RC_PERM, "certificate usage %d is not for SMTP", r->usage);
        return false;
    }
    if (r->selector != TLSA_CERTIFICATE && r->selector != TLSA_KEY) {
        why_set(why, RC_PERM, "unknown selector %d", r->selector);
        return false;
    }
    if (r->matching == TLSA_FULL)
        return true;
    if (rank(digests, r->matching) < 0) {
        why_set(why, RC_PERM, "matching type %d is not in tls_dane_digests", r->matching);
        return false;
    }
    for (int i = 0; i < DIGESTS_KNOWN; i++)
        if (digests_known[i].matching == r->matching && digests_known[i].bytes == r->data.n)
            return true;
    why_set(why, RC_PERM, "%zu bytes are no digest of matching type %d", r->data.n, r->matching);
    return false;
}

/* Is there a stronger digest of the same kind? */
static bool is_outranked(const struct tlsa *v, size_t n, size_t i, const struct tlsa_digests *d)
{
    for (size_t j = 0; v[i].matching != TLSA_FULL && j < n; j++)
        if (v[j].usage == v[i].usage && v[j].selector == v[i].selector &&
            v[j].matching != TLSA_FULL && rank(d, v[j].matching) < rank(d, v[i].matching))
            return true;
    return false;
}

size_t tlsa_choose(struct tlsa *v, size_t n, const struct tlsa_digests *digests,
                   const struct log *log, struct str name)
{
    size_t usable = 0, kept = 0;
    struct why why;

    for (size_t i = 0; i < n; i++) {
        if (tlsa_is_usable(&v[i], digests, &why))
            v[usable++] = v[i];
        else if (log)
            log_warning(log, "unusable TLSA record of " STR_FMT ": %d %d %d: %s", STR_ARG(name),
                        v[i].usage, v[i].selector, v[i].matching, why.text);
    }
    for (size_t i = 0; i < usable; i++) /* what was moved to the front still outranks: it is equal
                                           or stronger */
        if (!is_outranked(v, usable, i, digests))
            v[kept++] = v[i];
    return kept;
}

/* ---- lookups ---- */

enum finding { FOUND, UNUSABLE, NOTHING, TROUBLE };

struct search {
    const struct dane_options *options;
    const struct log *log;
    struct resolver *resolver;
    struct arena *arena;
    unsigned port;
    struct tlsa_list *out;
};

static enum finding look_up(const struct search *s, struct str base, struct why *why)
{
    struct str name = arena_printf(s->arena, "_%u._tcp." STR_FMT, s->port, STR_ARG(base));
    struct dns_answer answer;
    enum dns_status status = dns_lookup(s->resolver, name, DNS_TLSA, s->arena, &answer, why);
    struct tlsa_list list = {.base = base};

    if (status == DNS_NXDOMAIN || status == DNS_NODATA)
        return NOTHING;
    if (status != DNS_FOUND)
        return TROUBLE;
    if (!answer.authenticated)
        return NOTHING; /* anybody could have written them */
    list.v = arena_array(s->arena, struct tlsa, answer.n + 1);
    for (size_t i = 0; i < answer.n; i++)
        if (tlsa_parse(answer.records[i].raw, &list.v[list.n], NULL) == RC_OK)
            list.n++;
    list.n = tlsa_choose(list.v, list.n, &s->options->digests, s->log, name);
    *s->out = list;
    return list.n ? FOUND : UNUSABLE;
}

/* At the end of the alias first, then at the alias itself (RFC 7672 2.2.2). */
static enum finding find(const struct search *s, const struct dane_host *h, struct why *why)
{
    enum finding f;

    if (!h->secure && !s->options->force_insecure)
        return NOTHING;
    f = look_up(s, h->address, why);
    if (f == NOTHING && !str_eq_nocase(h->address, h->name))
        f = look_up(s, h->name, why);
    return f;
}

/* ---- consequences ---- */

/* Without usable records "dane" is less, and "dane-only" cannot go on. */
static enum rc fall_back(const struct tls_policy_settings *set, enum tls_level level,
                         const char *reason, struct tls_policy *p, struct why *why)
{
    if (p->level == TLS_LEVEL_DANE_ONLY)
        return FAIL(why, RC_PERM, "%s", reason);
    p->level = level;
    if (level == TLS_LEVEL_MAY) {
        if (str_eq(p->protocols, set->mandatory_protocols))
            p->protocols = set->protocols;
        if (str_eq(p->grade, set->mandatory_ciphers))
            p->grade = set->ciphers;
    }
    return RC_OK;
}

static enum rc cannot(const struct tls_policy_settings *set, const struct dane_host *host,
                      const char *reason, struct tls_policy *p, struct why *why)
{
    log_warning(set->log, "TLS level \"%s\" for " STR_FMT ": %s", tls_level_name(p->level),
                STR_ARG(host->name), reason);
    if (p->level == TLS_LEVEL_DANE_ONLY)
        return FAIL(why, RC_CONFIG, "client TLS configuration problem");
    return fall_back(set, TLS_LEVEL_MAY, reason, p, why);
}

static void add_name(struct arena *a, struct str_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq_nocase(list->v[i], name))
            return;
    list->v[list->n++] = arena_lower(a, name);
}

/* Names for DANE-TA(2), RFC 7672 3.2.2. A forged MX record must not lend its domain's name. */
static void set_names(const struct dane_host *h, const struct tlsa_list *list, struct arena *a,
                      struct tls_policy *p)
{
    p->match = (struct str_list){arena_array(a, struct str, 4), 0};
    add_name(a, &p->match, list->base);
    if (h->by_mx && h->mx_secure) {
        add_name(a, &p->match, h->mx_final);
        add_name(a, &p->match, h->mx_name);
    } else if (!h->by_mx) {
        add_name(a, &p->match, h->name);
    }
    p->tlsa = list;
    p->servername = list->base;
    p->trust_anchors = (struct str_list){0};
}

enum rc dane_settle(const struct dane_options *o, const struct tls_policy_settings *set,
                    struct resolver *r, const struct dane_host *host, struct arena *a,
                    struct tls_policy *p, struct why *why)
{
    struct tlsa_list *list = arena_new_of(a, struct tlsa_list);
    struct search s = {o, set->log, r, a, host->port, list};
    bool insecure_mx = host->by_mx && !host->mx_secure;
    struct why cause = {0};

    if (!o->dnssec)
        return cannot(set, host, o->why_not, p, why);
    if (insecure_mx && (p->level == TLS_LEVEL_DANE_ONLY || str_eq(o->insecure_mx, STR("may"))))
        return fall_back(set, TLS_LEVEL_MAY, "non DNSSEC destination", p, why);
    switch (find(&s, host, &cause)) {
    case TROUBLE:
        return FAIL(why, RC_TEMP, "TLSA lookup error for " STR_FMT ":%u", STR_ARG(host->name),
                    host->port);
    case NOTHING: return fall_back(set, TLS_LEVEL_MAY, "no TLSA records found", p, why);
    case UNUSABLE: return fall_back(set, TLS_LEVEL_ENCRYPT, "TLSA records unusable", p, why);
    case FOUND: break;
    }
    if (insecure_mx && str_eq(o->insecure_mx, STR("encrypt"))) {
        p->level = TLS_LEVEL_ENCRYPT;
        return RC_OK;
    }
    set_names(host, list, a, p);
    if (insecure_mx)
        p->level = TLS_LEVEL_HALF_DANE;
    return RC_OK;
}
