/* One condition of a rule. */
#include "dispatch/rules.h"
#include "global/address.h"

/* ---- text that a list knows ---- */

static bool expressions_match(const struct list *l, struct str text, struct arena *a)
{
    const char *line = arena_text(a, text);

    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    for (size_t i = 0; i < l->expressions.n; i++)
        if (regexec(l->expressions.v[i], line, 0, NULL, 0) == 0)
            return true;
    return false;
}

/* Is one of the ends of text among those of the list? */
static bool ends_have(const struct map *ends, struct str lower)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    for (size_t i = 0; ends->n && i <= lower.n; i++)
        if (map_get(ends, str_from(lower, i)))
            return true;
    return false;
}

static bool list_has(const struct list *l, struct str text, struct arena *a)
{
    struct str lower = arena_lower(a, text);

    if (map_get(&l->exact, lower) || ends_have(&l->ends, lower))
        return true;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    for (size_t i = 0; i < l->patterns.n; i++)
        if (str_fits(text, l->patterns.v[i]))
            return true;
    return false;
}

static enum rc table_has(struct table *t, struct str key, struct arena *a, struct why *why)
{
    struct str value;

    return key.n ? table_get(t, key, a, &value, why) : RC_NONE;
}

static enum rc name_in(const struct condition *c, struct str name, struct arena *a, struct why *why)
{
    if (c->table)
        return table_has(c->table, arena_lower(a, name), a, why);
    return (c->regex ? expressions_match(c->list, name, a) : list_has(c->list, name, a)) ? RC_OK
                                                                                         : RC_NONE;
}

/* Exactly, or as "*.parent" of a table. */
static enum rc domain_in(const struct condition *c, struct str domain, struct arena *a,
                         struct why *why)
{
    enum rc rc = name_in(c, domain, a, why);

    while (rc == RC_NONE && c->table && str_index(domain, '.') >= 0) {
        (void)str_cut(&domain, '.');
        rc = name_in(c, arena_join(a, STR("*."), domain), a, why);
    }
    return rc;
}

/* ---- addresses ---- */

struct str address_local(struct str address)
{
    ssize_t at = str_rindex(address, '@');

    return at < 0 ? address : str_head(address, (size_t)at);
}

struct str address_domain(const struct dispatch_facts *f, struct str address)
{
    ssize_t at = str_rindex(address, '@');

    return at < 0 ? f->domain : str_from(address, (size_t)at + 1);
}

/* user@domain, user, @domain; with patterns in either part. */
static enum rc address_in(const struct condition *c, const struct dispatch_facts *f,
                          struct str address, struct arena *a, struct why *why)
{
    struct str local = address_local(address), domain = address_domain(f, address);
    struct str keys[] = {arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(domain)),
                         local, arena_join(a, STR("@"), domain)};
    enum rc rc = RC_NONE;

    if (address.n == 0) /* the sender of bounces: only an entry of its own is for it */
        return c->list ? name_in(c, STR("<>"), a, why) : RC_NONE;
    if (c->regex)
        return expressions_match(c->list, keys[0], a) ? RC_OK : RC_NONE;
    for (size_t i = 0; rc == RC_NONE && i < 3; i++) {
        struct str key = arena_lower(a, keys[i]);
        rc = c->table ? table_has(c->table, key, a, why)
                      : (map_get(&c->list->exact, key) ? RC_OK : RC_NONE);
    }
    if (rc == RC_NONE && c->list &&
        (ends_have(&c->list->ends, arena_lower(a, local)) ||
         ends_have(&c->list->domain_ends, arena_lower(a, domain))))
        return RC_OK;
    for (size_t i = 0; rc == RC_NONE && c->list && i < c->list->patterns.n; i++)
        if (address_fits(local, domain, c->list->patterns.v[i]))
            rc = RC_OK;
    return rc;
}

/* ---- clients ---- */

static enum rc client_in(const struct condition *c, const struct dispatch_facts *f, struct arena *a,
                         struct why *why)
{
    char text[ADDR_TEXT_SIZE] = "local";

    if (!f->is_submission)
        addr_format(&f->client, text);
    if (c->table || c->regex)
        return name_in(c, str_of(text), a, why);
    if (f->is_submission)
        return map_get(&c->list->exact, STR("local")) ? RC_OK : RC_NONE;
    return networks_have(&c->list->networks, &f->client) ? RC_OK : RC_NONE;
}

static bool has_name(const struct dispatch_facts *f)
{
    return f->is_submission || (f->client_name.n && !str_eq(f->client_name, STR("unknown")));
}

static enum rc is_true(bool yes)
{
    return yes ? RC_OK : RC_NONE;
}

static enum rc virtual_in(const struct condition *c, const struct dispatch_facts *f,
                          struct arena *a, struct why *why)
{
    enum rc rc = domain_in(c, address_domain(f, f->recipient), a, why);

    return rc == RC_NONE ? address_in(c, f, f->recipient, a, why) : rc;
}

static enum rc holds(const struct condition *c, const struct dispatch_facts *f, struct arena *a,
                     struct why *why)
{
    bool is_asked = c->list || c->table;

    switch (c->fact) {
    case FACT_ANY: return RC_OK;
    case FACT_LOCAL: return is_true(f->is_submission);
    case FACT_CLIENT: return client_in(c, f, a, why);
    case FACT_CLIENT_NAME:
        if (!has_name(f) || (is_asked && f->is_submission))
            return RC_NONE;
        return is_asked ? domain_in(c, f->client_name, a, why) : RC_OK;
    case FACT_FCRDNS: return is_true(f->is_submission || f->name_is_confirmed);
    case FACT_AUTH:
        if (f->user.p == NULL && !f->is_submission)
            return RC_NONE;
        if (!is_asked)
            return RC_OK;
        return f->user.n ? name_in(c, f->user, a, why) : RC_NONE;
    case FACT_SENDER: return address_in(c, f, f->sender, a, why);
    case FACT_RECIPIENT: return address_in(c, f, f->recipient, a, why);
    case FACT_DOMAIN: return domain_in(c, address_domain(f, f->recipient), a, why);
    case FACT_VIRTUAL: return virtual_in(c, f, a, why);
    case FACT_HELO: return name_in(c, f->helo, a, why);
    case FACT_TAG: return name_in(c, f->tag, a, why);
    case FACT_TLS: return is_true(f->tls);
    }
    return RC_NONE;
}

enum rc condition_holds(const struct condition *c, const struct dispatch_facts *f, struct arena *a,
                        struct why *why)
{
    enum rc rc = holds(c, f, a, why);

    if (rc == RC_TEMP || !c->negated)
        return rc;
    return rc == RC_OK ? RC_NONE : RC_OK;
}
