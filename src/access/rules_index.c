/* Check rules under the keys of util/candidates.h: which can fit the client and the addresses at
 * hand? What stands before EXCEPT must match in any case, so that is a rule's clause. */
#include "access/rule.h"

static struct str literal_of(const struct text_pattern *p)
{
    return p->kind == TEXT_EXACT || p->kind == TEXT_WILD ? p->text : STR("*");
}

/* "left@right" */
static struct str address_pattern(struct arena *a, const struct token *t)
{
    struct str left = t->user == USER_TEXT ? literal_of(&t->user_text) : STR("*");
    struct str right = t->kind == TOKEN_TEXT ? literal_of(&t->text) : STR("*");

    return arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(left), STR_ARG(right));
}

static void add_token(struct rules *r, struct arena *scratch, struct clause *l,
                      enum rule_field field, const struct token *t)
{
    if (t->kind == TOKEN_NETWORK)
        clause_add_network(r->index, l, field, t->network);
    else if (field != FIELD_SOURCE && t->user != USER_NONE)
        clause_add_pattern(r->index, l, field, address_pattern(scratch, t));
    else if (t->kind == TOKEN_NULL_SENDER)
        clause_add_pattern(r->index, l, field, STR(""));
    else if (t->kind == TOKEN_TEXT)
        clause_add_pattern(r->index, l, field, literal_of(&t->text));
    else
        clause_spoil(l);
}

static void file_rule(struct rules *r, struct arena *scratch, unsigned number)
{
    struct clause *clauses[FIELDS];

    for (int f = 0; f < FIELDS; f++) {
        const struct token_group *g = &r->list.v[number].lists[f].groups[0];
        clauses[f] = clause_new(r->index);
        for (size_t i = 0; i < g->n; i++)
            add_token(r, scratch, clauses[f], f, &g->tokens[i]);
    }
    candidates_add(r->index, number, clauses, FIELDS);
}

void rules_index_build(struct rules *r)
{
    AUTO_ARENA scratch = arena_new(16 * 1024);

    r->index = candidates_new(r->arena);
    for (size_t i = 0; i < r->list.n; i++) {
        file_rule(r, scratch, (unsigned)i);
        arena_reset(scratch);
    }
    candidates_build(r->index);
}

void rules_index_find(const struct rules *r, const struct rule_query *q, struct candidate_search *s)
{
    search_always(r->index, s);
    search_text(r->index, s, FIELD_SOURCE, q->name);
    search_text(r->index, s, FIELD_SOURCE, q->address_text);
    search_address(r->index, s, FIELD_SOURCE, &q->c->client.address);
    if (q->from.is_given)
        search_text(r->index, s, FIELD_FROM, q->from.whole);
    if (q->to.is_given)
        search_text(r->index, s, FIELD_TO, q->to.whole);
}
