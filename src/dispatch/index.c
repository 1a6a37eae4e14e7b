/* Match rules under the keys of util/candidates.h: which can hold for the facts at hand? A
 * condition that asks a list is a clause, shared by all rules that ask the same list about the same
 * fact. */
#include "dispatch/rules.h"

/* Networks, and "local" for mail of this machine. */
static void add_client(struct dispatch *d, struct clause *l, struct str entry)
{
    struct network network;

    if (str_eq_nocase(entry, STR("local")))
        clause_add_pattern(d->index, l, FACT_CLIENT, STR("local"));
    else if (network_parse(entry, &network, NULL) == RC_OK)
        clause_add_network(d->index, l, FACT_CLIENT, &network);
}

/* "x*@": the domain does not matter. */
static struct str pattern_of(struct arena *a, struct str entry)
{
    bool any_domain = entry.n > 1 && entry.p[entry.n - 1] == '@' && str_index(entry, '*') >= 0;

    return arena_lower(a, any_domain ? str_head(entry, entry.n - 1) : entry);
}

/* NULL: the condition may hold for anything. */
static struct clause *clause_of(struct dispatch *d, struct arena *scratch,
                                const struct condition *c)
{
    struct list *list = c->list;
    struct clause *l;

    if (c->negated || c->regex || list == NULL)
        return NULL;
    if (list->clauses[c->fact])
        return list->clauses[c->fact];
    l = list->clauses[c->fact] = clause_new(d->index);
    for (size_t i = 0; i < list->entries.n; i++) {
        if (c->fact == FACT_CLIENT)
            add_client(d, l, list->entries.v[i]);
        else
            clause_add_pattern(d->index, l, (int)c->fact, pattern_of(scratch, list->entries.v[i]));
        arena_reset(scratch);
    }
    return l;
}

static void file_rule(struct dispatch *d, struct arena *scratch, unsigned number)
{
    const struct rule *r = &d->rules.v[number];
    VEC(struct clause *) clauses = {0};
    AUTO_ARENA a = arena_new(512);

    for (size_t i = 0; i < r->conditions.n; i++) {
        struct clause *l = clause_of(d, scratch, &r->conditions.v[i]);
        if (l)
            vec_add(a, &clauses, l);
    }
    candidates_add(d->index, number, clauses.v, clauses.n);
}

void index_build(struct dispatch *d)
{
    AUTO_ARENA scratch = arena_new(4096);

    d->index = candidates_new(d->arena);
    for (size_t i = 0; i < d->rules.n; i++)
        file_rule(d, scratch, (unsigned)i);
    candidates_build(d->index);
}

/* ---- what is at hand ---- */

static void find(const struct dispatch *d, struct candidate_search *s, enum fact fact,
                 struct str text)
{
    search_text(d->index, s, (int)fact, arena_lower(s->arena, text));
}

/* The texts that an entry may be about. */
static void find_address(const struct dispatch *d, const struct dispatch_facts *f,
                         struct candidate_search *s, enum fact fact, struct str address)
{
    struct str local = address_local(address), domain = address_domain(f, address);

    if (address.n == 0) {
        find(d, s, fact, STR("<>"));
        return;
    }
    find(d, s, fact, arena_printf(s->arena, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(domain)));
    find(d, s, fact, local);
    find(d, s, fact, arena_join(s->arena, STR("@"), domain));
}

void index_find(const struct dispatch *d, const struct dispatch_facts *f,
                struct candidate_search *s)
{
    struct str domain = address_domain(f, f->recipient);

    search_always(d->index, s);
    if (f->is_submission)
        find(d, s, FACT_CLIENT, STR("local"));
    else
        search_address(d->index, s, FACT_CLIENT, &f->client);
    find(d, s, FACT_CLIENT_NAME, f->client_name);
    find(d, s, FACT_AUTH, f->user);
    find(d, s, FACT_HELO, f->helo);
    find(d, s, FACT_TAG, f->tag);
    find(d, s, FACT_DOMAIN, domain);
    find_address(d, f, s, FACT_SENDER, f->sender);
    find_address(d, f, s, FACT_RECIPIENT, f->recipient);
    find(d, s, FACT_VIRTUAL, domain);
    find_address(d, f, s, FACT_VIRTUAL, f->recipient);
}
