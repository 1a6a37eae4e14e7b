/*
 * Which rules can fit the client and the addresses at hand?
 *
 * A rule is filed under one of its fields: the one where each token of the first group (what stands
 * before EXCEPT must match in any case) asks for a literal text, a literal beginning or end, or a
 * network. Looked up are the subject's texts: the whole, each beginning and end of a length that
 * some rule has, each network size that some rule has. What cannot be filed is always looked at.
 * Filing only finds candidates; the rule itself is evaluated afterwards, in file order.
 */
#include "access/rule.h"

struct key {
    enum key_kind kind;
    struct str text; /* KEY_NETWORK: unused */
    const struct network *network;
};

/* ---- from tokens to keys ---- */

static bool key_of_text(struct str text, struct key *key)
{
    ssize_t first = str_index(text, '*'), last = str_rindex(text, '*');

    if (first < 0) {
        *key = (struct key){KEY_EXACT, text, NULL};
        return text.n <= RULES_TOKEN_MAX;
    }
    if ((size_t)last + 1 < text.n)
        *key = (struct key){KEY_SUFFIX, str_from(text, (size_t)last + 1), NULL};
    else
        *key = (struct key){KEY_PREFIX, str_head(text, (size_t)first), NULL};
    return key->text.n > 0 && key->text.n <= RULES_TOKEN_MAX;
}

static struct str literal_of(const struct text_pattern *p)
{
    return p->kind == TEXT_EXACT || p->kind == TEXT_WILD ? p->text : STR("*");
}

/* "left@right": what surely stands at the end, or in front, of the whole address */
static bool key_of_address(struct arena *a, const struct token *t, struct key *key)
{
    struct str left = t->user == USER_TEXT ? literal_of(&t->user_text) : STR("*");
    struct str right = t->kind == TOKEN_TEXT ? literal_of(&t->text) : STR("*");

    return key_of_text(arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(left), STR_ARG(right)), key);
}

static bool key_of_token(struct arena *a, enum rule_field field, const struct token *t,
                         struct key *key)
{
    if (t->kind == TOKEN_NETWORK) {
        *key = (struct key){KEY_NETWORK, STR_NONE, t->network};
        return true;
    }
    if (field != FIELD_SOURCE && t->user != USER_NONE)
        return key_of_address(a, t, key);
    if (t->kind == TOKEN_NULL_SENDER) {
        *key = (struct key){KEY_EXACT, STR(""), NULL};
        return true;
    }
    return t->kind == TOKEN_TEXT && t->text.kind != TEXT_REGEX &&
           key_of_text(literal_of(&t->text), key);
}

/* How few rules such a key leaves, roughly. */
static long merit(const struct key *k)
{
    if (k->kind == KEY_EXACT)
        return 1000;
    if (k->kind == KEY_NETWORK)
        return k->network->bits * (addr_family(&k->network->base) == AF_INET ? 4 : 1);
    return (long)k->text.n * 8;
}

/* The worst token's merit; 0 when one of them cannot be filed. */
static long field_merit(struct arena *a, const struct rule *rule, enum rule_field field)
{
    const struct token_group *g = &rule->lists[field].groups[0];
    long worst = 1000;

    for (size_t i = 0; i < g->n; i++) {
        struct key key;
        long m = key_of_token(a, field, &g->tokens[i], &key) ? merit(&key) : 0;
        worst = m < worst ? m : worst;
    }
    return worst;
}

/* ---- the index itself ---- */

enum { KEY_MAX = RULES_TOKEN_MAX + 4 };

static struct str key_bytes(char out[KEY_MAX], enum rule_field field, enum key_kind kind,
                            struct str text)
{
    out[0] = (char)('0' + field);
    out[1] = (char)('0' + kind);
    memcpy(out + 2, text.n ? text.p : "", text.n);
    return (struct str){out, text.n + 2};
}

static void add_posting(struct rules *r, struct postings *p, unsigned number)
{
    if (p->n == 0 || p->v[p->n - 1] != number)
        vec_add(r->arena, p, number);
}

static struct postings *postings_of_text(struct rules *r, struct str key)
{
    struct postings *p = map_get(&r->index.map, key);

    if (p == NULL) {
        p = arena_new_of(r->arena, struct postings);
        map_put(&r->index.map, key, p);
    }
    return p;
}

static struct postings *postings_of_network(struct rules *r, const struct network *network)
{
    struct postings *p = networks_get(&r->index.networks, &network->base, network->bits);

    if (p == NULL) {
        p = arena_new_of(r->arena, struct postings);
        networks_put(&r->index.networks, network, p);
    }
    return p;
}

static void file_under(struct rules *r, enum rule_field field, const struct key *key,
                       unsigned number)
{
    char bytes[KEY_MAX];

    if (key->kind == KEY_NETWORK) {
        add_posting(r, postings_of_network(r, key->network), number);
        return;
    }
    r->index.lengths[field][key->kind][key->text.n] = true;
    add_posting(r, postings_of_text(r, key_bytes(bytes, field, key->kind, key->text)), number);
}

static void file_rule(struct rules *r, struct arena *scratch, unsigned number)
{
    const struct rule *rule = &r->list.v[number];
    long best = 0;
    enum rule_field field = FIELD_SOURCE;

    for (int f = 0; f < FIELDS; f++) {
        long m = field_merit(scratch, rule, f);
        if (m > best) {
            best = m;
            field = f;
        }
    }
    if (best == 0) {
        vec_add(r->arena, &r->index.always, number);
        return;
    }
    for (size_t i = 0; i < rule->lists[field].groups[0].n; i++) {
        struct key key;
        if (key_of_token(scratch, field, &rule->lists[field].groups[0].tokens[i], &key))
            file_under(r, field, &key, number);
    }
}

void rules_index_build(struct rules *r)
{
    AUTO_ARENA scratch = arena_new(16 * 1024);

    map_init(&r->index.map);
    networks_init(&r->index.networks);
    for (size_t i = 0; i < r->list.n; i++) {
        file_rule(r, scratch, (unsigned)i);
        arena_reset(scratch);
    }
}

/* ---- looking up ---- */

static void add_cursor(const struct rule_query *q, const struct postings *p, rule_cursors *out)
{
    if (p)
        vec_add(q->c->arena, out, ((struct rule_cursor){p->v, p->v + p->n}));
}

static void add_text(const struct rules *r, const struct rule_query *q, enum rule_field field,
                     enum key_kind kind, struct str text, rule_cursors *out)
{
    char bytes[KEY_MAX];

    if (r->index.lengths[field][kind][text.n])
        add_cursor(q, map_get(&r->index.map, key_bytes(bytes, field, kind, text)), out);
}

static void find_text(const struct rules *r, const struct rule_query *q, enum rule_field field,
                      struct str text, rule_cursors *out)
{
    if (text.n <= RULES_TOKEN_MAX)
        add_text(r, q, field, KEY_EXACT, text, out);
    for (size_t n = 1; n <= text.n && n <= RULES_TOKEN_MAX; n++) {
        add_text(r, q, field, KEY_SUFFIX, str_tail(text, n), out);
        add_text(r, q, field, KEY_PREFIX, str_head(text, n), out);
    }
}

static void find_networks(const struct rules *r, const struct rule_query *q, rule_cursors *out)
{
    const struct addr *a = &q->c->client.address;

    for (int bits = networks_max_bits(a); bits >= 0; bits--)
        add_cursor(q, networks_get(&r->index.networks, a, bits), out);
}

void rules_index_find(const struct rules *r, const struct rule_query *q, rule_cursors *out)
{
    const struct postings *always = &r->index.always;

    if (always->n)
        add_cursor(q, always, out);
    find_text(r, q, FIELD_SOURCE, q->name, out);
    find_text(r, q, FIELD_SOURCE, q->address_text, out);
    find_networks(r, q, out);
    if (q->from.is_given)
        find_text(r, q, FIELD_FROM, q->from.whole, out);
    if (q->to.is_given)
        find_text(r, q, FIELD_TO, q->to.whole, out);
}
