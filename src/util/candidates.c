#include "util/candidates.h"

#include <limits.h>

enum kind { KIND_EXACT, KIND_SUFFIX, KIND_PREFIX, KIND_NETWORK };

struct postings { /* numbers of rules, ascending */
    unsigned *v;
    size_t n, cap;
};

struct key {
    unsigned char field, kind;
    size_t length;
    unsigned long rules; /* that could be filed under it */
    VEC(const struct postings *) filed;
};

struct clause {
    bool is_spoiled;
    VEC(struct key *) keys;
    unsigned long rules; /* that have it */
    unsigned long worst; /* the largest number of rules that one of its keys may find */
    long merit;          /* how telling the least telling of its keys is */
    struct postings *filed;
};

struct rule {
    unsigned number;
    struct clause **clauses;
    size_t n;
};

struct candidates {
    struct arena *arena;
    struct arena *scratch; /* until it is built */
    struct map texts;      /* field, kind, text -> key */
    struct networks networks[CANDIDATE_FIELDS];
    bool lengths[CANDIDATE_FIELDS][KIND_NETWORK][CANDIDATE_KEY_MAX + 1];
    struct postings always;
    VEC(struct clause *) clauses; /* in scratch, as the rules */
    VEC(struct rule) rules;
};

static void done(void *what)
{
    struct candidates *c = what;

    map_done(&c->texts);
    for (int i = 0; i < CANDIDATE_FIELDS; i++)
        networks_done(&c->networks[i]);
    arena_free(c->scratch);
}

struct candidates *candidates_new(struct arena *a)
{
    struct candidates *c = arena_new_of(a, struct candidates);

    c->arena = a;
    c->scratch = arena_new(16 * 1024);
    map_init(&c->texts);
    for (int i = 0; i < CANDIDATE_FIELDS; i++)
        networks_init(&c->networks[i]);
    arena_defer(a, done, c);
    return c;
}

/* ---- keys ---- */

enum { KEY_BYTES = CANDIDATE_KEY_MAX + 2 };

static struct str key_bytes(char out[KEY_BYTES], int field, enum kind kind, struct str text)
{
    out[0] = (char)('0' + field);
    out[1] = (char)('0' + kind);
    memcpy(out + 2, text.n ? text.p : "", text.n);
    return (struct str){out, text.n + 2};
}

static struct key *key_new(struct candidates *c, int field, enum kind kind, size_t length)
{
    struct key *k = arena_new_of(c->arena, struct key);

    *k = (struct key){.field = (unsigned char)field, .kind = (unsigned char)kind, .length = length};
    return k;
}

static void add_key(struct candidates *c, struct clause *l, struct key *k, long merit)
{
    if (l->keys.n && l->keys.v[l->keys.n - 1] == k)
        return;
    vec_add(c->scratch, &l->keys, k);
    if (merit < l->merit)
        l->merit = merit;
}

static void add_text(struct candidates *c, struct clause *l, int field, enum kind kind,
                     struct str text)
{
    char bytes[KEY_BYTES];
    struct str name;
    struct key *k;

    if (text.n > CANDIDATE_KEY_MAX || (text.n == 0 && kind != KIND_EXACT)) {
        clause_spoil(l);
        return;
    }
    name = key_bytes(bytes, field, kind, text);
    k = map_get(&c->texts, name);
    if (k == NULL) {
        k = key_new(c, field, kind, text.n);
        map_put(&c->texts, name, k);
    }
    add_key(c, l, k, kind == KIND_EXACT ? LONG_MAX : (long)text.n * 8);
}

void clause_add_pattern(struct candidates *c, struct clause *l, int field, struct str pattern)
{
    ssize_t first = str_index(pattern, '*'), last = str_rindex(pattern, '*');

    if (first < 0)
        add_text(c, l, field, KIND_EXACT, pattern);
    else if ((size_t)last + 1 < pattern.n)
        add_text(c, l, field, KIND_SUFFIX, str_from(pattern, (size_t)last + 1));
    else
        add_text(c, l, field, KIND_PREFIX, str_head(pattern, (size_t)first));
}

void clause_add_network(struct candidates *c, struct clause *l, int field,
                        const struct network *network)
{
    bool v4 = addr_family(&network->base) == AF_INET;
    struct key *k = networks_get(&c->networks[field], &network->base, network->bits);

    if (k == NULL) {
        k = key_new(c, field, KIND_NETWORK, 0);
        networks_put(&c->networks[field], network, k);
    }
    add_key(c, l, k, (long)network->bits * (v4 ? 4 : 1));
}

void clause_spoil(struct clause *l)
{
    l->is_spoiled = true;
}

struct clause *clause_new(struct candidates *c)
{
    struct clause *l = arena_new_of(c->scratch, struct clause);

    l->merit = LONG_MAX;
    vec_add(c->scratch, &c->clauses, l);
    return l;
}

/* ---- filing ---- */

void candidates_add(struct candidates *c, unsigned number, struct clause *const *clauses, size_t n)
{
    struct rule r = {number, arena_array(c->scratch, struct clause *, n), 0};

    for (size_t i = 0; i < n; i++)
        if (!clauses[i]->is_spoiled) {
            r.clauses[r.n++] = clauses[i];
            clauses[i]->rules++;
        }
    vec_add(c->scratch, &c->rules, r);
}

static void count_rules(struct candidates *c)
{
    for (size_t i = 0; i < c->clauses.n; i++)
        for (size_t k = 0; k < c->clauses.v[i]->keys.n; k++)
            c->clauses.v[i]->keys.v[k]->rules += c->clauses.v[i]->rules;
    for (size_t i = 0; i < c->clauses.n; i++) {
        struct clause *l = c->clauses.v[i];
        for (size_t k = 0; k < l->keys.n; k++)
            if (l->keys.v[k]->rules > l->worst)
                l->worst = l->keys.v[k]->rules;
    }
}

/* All its keys lead to the rules that will be filed under the clause. */
static void use_clause(struct candidates *c, struct clause *l)
{
    l->filed = arena_new_of(c->arena, struct postings);
    for (size_t i = 0; i < l->keys.n; i++) {
        struct key *k = l->keys.v[i];
        vec_add(c->arena, &k->filed, l->filed);
        if (k->kind != KIND_NETWORK)
            c->lengths[k->field][k->kind][k->length] = true;
    }
}

static void file_rule(struct candidates *c, const struct rule *r)
{
    struct clause *best = r->n ? r->clauses[0] : NULL;

    for (size_t i = 1; i < r->n; i++) {
        struct clause *l = r->clauses[i];
        if (l->worst < best->worst || (l->worst == best->worst && l->merit > best->merit))
            best = l;
    }
    if (best && best->filed == NULL)
        use_clause(c, best);
    vec_add(c->arena, best ? best->filed : &c->always, r->number);
}

void candidates_build(struct candidates *c)
{
    count_rules(c);
    for (size_t i = 0; i < c->rules.n; i++)
        file_rule(c, &c->rules.v[i]);
    arena_free(c->scratch);
    c->scratch = NULL;
}

/* ---- asking ---- */

static unsigned number_at(const struct candidate_search *s, size_t i)
{
    return *s->heap.v[i].at;
}

static void swap(struct candidate_search *s, size_t i, size_t j)
{
    struct cursor kept = s->heap.v[i];

    s->heap.v[i] = s->heap.v[j];
    s->heap.v[j] = kept;
}

static void add_cursor(struct candidate_search *s, const struct postings *p)
{
    size_t i = s->heap.n;

    if (p->n == 0)
        return;
    vec_add(s->arena, &s->heap, ((struct cursor){p->v, p->v + p->n}));
    for (; i && number_at(s, i) < number_at(s, (i - 1) / 2); i = (i - 1) / 2)
        swap(s, i, (i - 1) / 2);
}

static void sift_down(struct candidate_search *s)
{
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < s->heap.n && number_at(s, child + 1) < number_at(s, child))
            child++;
        if (child >= s->heap.n || number_at(s, i) <= number_at(s, child))
            return;
        swap(s, i, child);
        i = child;
    }
}

long search_next(struct candidate_search *s)
{
    unsigned number;

    if (s->heap.n == 0)
        return NO_CANDIDATE;
    number = number_at(s, 0);
    while (s->heap.n && number_at(s, 0) == number) {
        if (++s->heap.v[0].at == s->heap.v[0].end)
            s->heap.v[0] = s->heap.v[--s->heap.n];
        if (s->heap.n)
            sift_down(s);
    }
    return number;
}

static void add_all(struct candidate_search *s, const struct key *k)
{
    for (size_t i = 0; k && i < k->filed.n; i++)
        add_cursor(s, k->filed.v[i]);
}

void search_always(const struct candidates *c, struct candidate_search *s)
{
    add_cursor(s, &c->always);
}

static void look_up(const struct candidates *c, struct candidate_search *s, int field,
                    enum kind kind, struct str text)
{
    char bytes[KEY_BYTES];

    if (c->lengths[field][kind][text.n])
        add_all(s, map_get(&c->texts, key_bytes(bytes, field, kind, text)));
}

void search_text(const struct candidates *c, struct candidate_search *s, int field, struct str text)
{
    if (text.n <= CANDIDATE_KEY_MAX)
        look_up(c, s, field, KIND_EXACT, text);
    for (size_t n = 1; n <= text.n && n <= CANDIDATE_KEY_MAX; n++) {
        look_up(c, s, field, KIND_SUFFIX, str_tail(text, n));
        look_up(c, s, field, KIND_PREFIX, str_head(text, n));
    }
}

void search_address(const struct candidates *c, struct candidate_search *s, int field,
                    const struct addr *address)
{
    for (int bits = networks_max_bits(address); bits >= 0; bits--)
        add_all(s, networks_get(&c->networks[field], address, bits));
}
