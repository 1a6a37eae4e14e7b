/*
 * cidr: networks, first match wins; cidr_table(5).
 *
 * Rules become steps. Consecutive plain rules are one step with an index by prefix length, so a
 * list of ten thousand networks costs one hash lookup for each length that occurs in it. Steps are
 * not changed by lookups.
 */
#include <arpa/inet.h>

#include "table/driver.h"
#include "table/rules.h"
#include "table/source.h"
#include "util/map.h"
#include "util/net.h"

enum step_kind { STEP_BLOCK, STEP_NOT, STEP_IF };

struct block { /* index of plain rules of one address family */
    struct map by_prefix[129];
    unsigned char lengths[129]; /* those that occur */
    size_t n_lengths;
};

struct step {
    enum step_kind kind;
    bool negated;
    struct network network;
    struct str result;
    size_t otherwise; /* STEP_IF: step behind the endif */
    size_t open_line;
    struct block *v4, *v6; /* STEP_BLOCK */
};

struct plain_rule {
    struct str result;
    size_t order;
};

struct cidr {
    VEC(struct step) steps;
};

/* ---- addresses ---- */

static bool parse_address(struct str text, struct addr *out)
{
    char copy[INET6_ADDRSTRLEN + 1];
    struct addr a = {0};

    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.bytes = sizeof a.in;
    } else if (inet_pton(AF_INET6, copy, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6; /* ::ffff:192.0.2.1 stays IPv6 here */
        a.bytes = sizeof a.in6;
    } else {
        return false;
    }
    *out = a;
    return true;
}

static unsigned char *bytes_of(const struct addr *a, int *bits)
{
    *bits = addr_family(a) == AF_INET ? 32 : 128;
    return addr_family(a) == AF_INET ? (unsigned char *)&a->in.sin_addr
                                     : (unsigned char *)&a->in6.sin6_addr;
}

/* Clear what stands behind the prefix. False: nothing was there. */
static bool mask(unsigned char *bytes, int prefix, int bits)
{
    bool any = false;

    for (int i = prefix; i < bits; i++) {
        unsigned char bit = (unsigned char)(0x80 >> i % 8);
        any |= (bytes[i / 8] & bit) != 0;
        bytes[i / 8] &= (unsigned char)~bit;
    }
    return any;
}

/* "net", "net/len", "[net]/len", "[net/len]". */
static enum rc parse_pattern(struct str text, struct network *out, struct why *why)
{
    struct str whole = text, address, rest;
    struct network n;
    long length;
    int bits;

    if (text.n && text.p[0] == '[') {
        ssize_t end = str_index(text, ']');
        if (end < 0)
            return FAIL(why, RC_PERM, "missing ']' character after \"" STR_FMT "\"",
                        STR_ARG(whole));
        rest = str_from(text, (size_t)end + 1);
        text = (struct str){text.p + 1, (size_t)end - 1};
        if (rest.n && rest.p[0] != '/')
            return FAIL(why, RC_PERM, "garbage after \"]\": \"" STR_FMT "\"", STR_ARG(whole));
        rest = rest.n ? str_from(rest, 1) : STR_NONE;
        address = text;
        if (rest.p == NULL) {
            rest = text;
            address = str_cut(&rest, '/');
        }
    } else {
        rest = text;
        address = str_cut(&rest, '/');
    }
    if (!parse_address(address, &n.base))
        return FAIL(why, RC_PERM, "bad address pattern: \"" STR_FMT "\"", STR_ARG(whole));
    (void)bytes_of(&n.base, &bits);
    length = bits;
    if (rest.p && !str_is_digits(rest))
        return FAIL(why, RC_PERM, "bad mask value in \"" STR_FMT "\"", STR_ARG(whole));
    if (rest.p && !str_to_long(rest, 0, bits, &length))
        return FAIL(why, RC_PERM, "bad mask length in \"" STR_FMT "\"", STR_ARG(whole));
    n.bits = (int)length;
    if (mask(bytes_of(&n.base, &bits), n.bits, bits)) {
        char right[ADDR_TEXT_SIZE];
        addr_format(&n.base, right);
        return FAIL(why, RC_PERM,
                    "non-null host address bits in \"" STR_FMT "/%d\", perhaps you should use "
                    "\"%s/%d\" instead",
                    STR_ARG(address), n.bits, right, n.bits);
    }
    *out = n;
    return RC_OK;
}

/* ---- blocks ---- */

static void free_block(void *p)
{
    struct block *b = p;

    for (size_t i = 0; i < b->n_lengths; i++)
        map_done(&b->by_prefix[b->lengths[i]]);
}

static void block_add(struct block **b, const struct network *n, struct plain_rule *rule,
                      struct arena *a)
{
    struct map *m;
    struct str key;
    int bits;

    if (*b == NULL) {
        *b = arena_new_of(a, struct block);
        arena_defer(a, free_block, *b);
    }
    m = &(*b)->by_prefix[n->bits];
    key = (struct str){(const char *)bytes_of(&n->base, &bits), (size_t)(n->bits + 7) / 8};
    if (m->cap == 0)
        (*b)->lengths[(*b)->n_lengths++] = (unsigned char)n->bits;
    if (map_get(m, key) == NULL) /* the first one wins */
        map_put(m, key, rule);
}

static const struct plain_rule *block_get(const struct block *b, const struct addr *address)
{
    const struct plain_rule *best = NULL;

    for (size_t i = 0; b && i < b->n_lengths; i++) {
        struct addr masked = *address;
        int bits, length = b->lengths[i];
        unsigned char *bytes = bytes_of(&masked, &bits);
        const struct plain_rule *found;
        if (length % 8)
            bytes[length / 8] &= (unsigned char)(0xff00 >> length % 8);
        found = map_get(&b->by_prefix[length],
                        (struct str){(const char *)bytes, (size_t)(length + 7) / 8});
        if (found && (best == NULL || found->order < best->order))
            best = found;
    }
    return best;
}

/* ---- loading ---- */

struct loader {
    struct driver_open *o;
    struct cidr *cidr;
    VEC(size_t) open_ifs;
    size_t rules;
    bool block_ended; /* an if or endif came since the last plain rule */
};

static struct step *add_step(struct loader *l, enum step_kind kind)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    vec_add(l->o->arena, &l->cidr->steps, (struct step){.kind = kind});
    l->block_ended = kind != STEP_BLOCK;
    return &l->cidr->steps.v[l->cidr->steps.n - 1];
}

static void add_plain(struct loader *l, const struct network *network, struct str result)
{
    struct step *last = l->cidr->steps.n ? &l->cidr->steps.v[l->cidr->steps.n - 1] : NULL;
    struct plain_rule *rule = arena_new_of(l->o->arena, struct plain_rule);

    if (last == NULL || last->kind != STEP_BLOCK || l->block_ended)
        last = add_step(l, STEP_BLOCK);
    *rule = (struct plain_rule){result, l->rules++};
    block_add(addr_family(&network->base) == AF_INET ? &last->v4 : &last->v6, network, rule,
              l->o->arena);
}

/* Takes "!" off; RC_PERM: bad pattern. */
static enum rc take_pattern(struct str text, bool *negated, struct network *network,
                            struct why *why)
{
    *negated = false;
    while (text.n && text.p[0] == '!') {
        *negated = !*negated;
        text = str_ltrim(str_from(text, 1));
    }
    return parse_pattern(text, network, why);
}

static enum rc load_if(struct loader *l, struct str pattern, long line, struct why *why)
{
    struct network network;
    struct step *step;
    bool negated;

    TRY(take_pattern(pattern, &negated, &network, why));
    step = add_step(l, STEP_IF);
    step->negated = negated;
    step->network = network;
    step->open_line = (size_t)line;
    vec_add(l->o->arena, &l->open_ifs, l->cidr->steps.n - 1);
    return RC_OK;
}

static enum rc load_endif(struct loader *l, struct str rest, struct why *why)
{
    if (l->open_ifs.n == 0)
        return FAIL(why, RC_PERM, "ENDIF without IF");
    if (rest.n)
        return FAIL(why, RC_PERM, "garbage after ENDIF");
    l->cidr->steps.v[l->open_ifs.v[--l->open_ifs.n]].otherwise = l->cidr->steps.n;
    l->block_ended = true;
    return RC_OK;
}

static enum rc load_rule(struct loader *l, struct str line, struct why *why)
{
    struct network network;
    struct step *step;
    struct str result;
    bool negated = false;
    size_t i = 0;

    while (i < line.n && (line.p[i] == '!' || is_white(line.p[i])))
        i++;
    while (i < line.n && !is_white(line.p[i]))
        i++;
    result = str_trim(str_from(line, i));
    if (result.n == 0)
        return FAIL(why, RC_PERM, "no lookup result");
    TRY(take_pattern(str_head(line, i), &negated, &network, why));
    if (l->o->flags & TABLE_BASE64)
        TRY(source_value_of_files(result, l->o->arena, &result, why));
    if (!negated) {
        add_plain(l, &network, result);
        return RC_OK;
    }
    step = add_step(l, STEP_NOT);
    step->negated = true;
    step->network = network;
    step->result = result;
    return RC_OK;
}

static enum rc load_line(struct loader *l, struct str line, long number, struct why *why)
{
    if (rule_is_keyword(line, STR("if")))
        return load_if(l, str_trim(str_from(line, 2)), number, why);
    if (rule_is_keyword(line, STR("endif")))
        return load_endif(l, str_trim(str_from(line, 5)), why);
    return load_rule(l, line, why);
}

static enum rc cidr_open(struct driver_open *o, struct why *why)
{
    struct loader l = {.o = o, .cidr = arena_new_of(o->arena, struct cidr)};
    const struct log *log = o->env->log;
    struct str text, line;
    struct source source;

    TRY(rule_text_read(o, &text, why));
    source_init(&source, text);
    while (source_next(&source, o->arena, &line)) {
        struct why words;
        if (load_line(&l, str_ltrim(line), source.first_line, &words) != RC_OK && log)
            log_warning(log, "cidr map " STR_FMT ", line %ld: %s: skipping this rule",
                        STR_ARG(o->name), source.first_line, words.text);
    }
    while (l.open_ifs.n) {
        struct step *open = &l.cidr->steps.v[l.open_ifs.v[--l.open_ifs.n]];
        open->otherwise = l.cidr->steps.n;
        if (log)
            log_warning(log, "cidr map " STR_FMT ", line %zu: IF has no matching ENDIF",
                        STR_ARG(o->name), open->open_line);
    }
    o->state = l.cidr;
    return RC_OK;
}

/* ---- lookup ---- */

static enum rc cidr_get(void *state, struct str key, struct arena *a, struct str *value,
                        struct why *why)
{
    const struct cidr *c = state;
    struct addr address;

    (void)why;
    if (!parse_address(key, &address))
        return RC_NONE;
    for (size_t i = 0; i < c->steps.n;) {
        const struct step *s = &c->steps.v[i];
        const struct plain_rule *found = NULL;
        bool matches;
        if (s->kind == STEP_BLOCK) {
            found = block_get(addr_family(&address) == AF_INET ? s->v4 : s->v6, &address);
            if (found) {
                *value = arena_copy(a, found->result);
                return RC_OK;
            }
            i++;
            continue;
        }
        /* an address of the other family matches neither a network nor its negation */
        matches = addr_family(&s->network.base) == addr_family(&address) &&
                  network_has(&s->network, &address) != s->negated;
        if (s->kind == STEP_NOT && matches) {
            *value = arena_copy(a, s->result);
            return RC_OK;
        }
        i = s->kind == STEP_IF && !matches ? s->otherwise : i + 1;
    }
    return RC_NONE;
}

const struct table_driver table_driver_cidr = {
    .type = "cidr",
    .flags = DRIVER_WHOLE | DRIVER_THREADS,
    .open = cidr_open,
    .get = cidr_get,
};
