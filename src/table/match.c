/*
 * Match lists. Patterns become steps: consecutive literals of one polarity are one step with a
 * hash of names and a list of networks, tables are steps of their own. First match wins, and
 * within a step order makes no difference.
 */
#include "config/config.h"
#include "table/settings.h"
#include "table/source.h"
#include "table/table.h"
#include "util/file.h"
#include "util/map.h"

enum { MATCH_FILE_MAX = 64 * 1024 * 1024, MATCH_NESTED_MAX = 10 };

struct step {
    bool negated;
    struct map names;
    VEC(struct network) networks;
    struct table *table; /* NULL: literals */
};

struct match_list {
    struct arena *arena;
    const char *parameter;
    enum match_kind kind;
    bool parents; /* a domain matches its subdomains; else only ".domain" does */
    bool utf8;
    struct table_env env;
    VEC(struct step *) steps;
};

/* ---- making ---- */

static enum rc add_list(struct match_list *m, struct str spec, bool negated, int depth,
                        struct why *why);

static struct step *new_step(struct match_list *m, bool negated, struct table *table)
{
    struct step *s = arena_new_of(m->arena, struct step);

    s->negated = negated;
    s->table = table;
    vec_add(m->arena, &m->steps, s);
    return s;
}

static struct step *literal_step(struct match_list *m, bool negated)
{
    struct step *last = m->steps.n ? m->steps.v[m->steps.n - 1] : NULL;

    return last && last->table == NULL && last->negated == negated ? last
                                                                   : new_step(m, negated, NULL);
}

static enum rc add_network(struct match_list *m, struct str pattern, bool negated, struct why *why)
{
    struct step *s = literal_step(m, negated);
    struct network network;

    if (network_parse(pattern, &network, why) != RC_OK)
        return RC_CONFIG;
    vec_add(m->arena, &s->networks, network);
    return RC_OK;
}

static enum rc add_literal(struct match_list *m, struct str pattern, bool negated, struct why *why)
{
    struct addr address;
    struct step *s;

    if (m->kind == MATCH_CLIENT && (pattern.p[0] == '[' || str_index(pattern, '/') >= 0 ||
                                    addr_parse(pattern, 0, &address, NULL) == RC_OK))
        return add_network(m, pattern, negated, why);
    s = literal_step(m, negated);
    map_put(&s->names, fold_case(m->arena, pattern, m->utf8), s);
    return RC_OK;
}

static enum rc add_file(struct match_list *m, struct str path, bool negated, int depth,
                        struct why *why)
{
    struct str text, line;
    struct source source;
    enum rc rc;

    if (depth >= MATCH_NESTED_MAX)
        return FAIL(why, RC_CONFIG, STR_FMT ": files include each other", STR_ARG(path));
    rc = file_read(arena_text(m->arena, path), MATCH_FILE_MAX, m->arena, &text, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG, "open file " STR_FMT ": No such file or directory",
                    STR_ARG(path));
    if (rc != RC_OK)
        return RC_CONFIG;
    source_init(&source, text);
    while (source_next(&source, m->arena, &line)) {
        rc = add_list(m, line, negated, depth + 1, why);
        if (rc != RC_OK) {
            why_prefix(why, STR_FMT ", line %ld", STR_ARG(path), source.first_line);
            return rc;
        }
    }
    return RC_OK;
}

static enum rc add_table(struct match_list *m, struct str type_name, bool negated, struct why *why)
{
    struct table *t;

    TRY(table_open(type_name, 0, &m->env, &t, why));
    new_step(m, negated, t);
    return RC_OK;
}

static enum rc add_pattern(struct match_list *m, struct str pattern, bool negated, int depth,
                           struct why *why)
{
    while (pattern.n && pattern.p[0] == '!') {
        negated = !negated;
        pattern = str_ltrim(str_from(pattern, 1));
    }
    if (pattern.n == 0)
        return FAIL(why, RC_CONFIG, "no pattern after '!'");
    if (pattern.p[0] == '/')
        return add_file(m, pattern, negated, depth, why);
    if (pattern.p[0] != '[' && str_index(pattern, ':') >= 0)
        return add_table(m, pattern, negated, why);
    return add_literal(m, pattern, negated, why);
}

static enum rc add_list(struct match_list *m, struct str spec, bool negated, int depth,
                        struct why *why)
{
    struct str pattern;

    while (str_token_braced(&spec, LIST_SEPARATORS, &pattern))
        TRY(add_pattern(m, pattern, negated, depth, why));
    return RC_OK;
}

enum rc match_open(const char *parameter, struct str spec, enum match_kind kind, bool parents,
                   const struct table_env *env, struct match_list **out, struct why *why)
{
    struct arena *arena = arena_new(512);
    struct match_list *m = arena_new_of(arena, struct match_list);
    enum rc rc;

    m->arena = arena;
    m->parameter = arena_text(arena, str_of(parameter));
    m->kind = kind;
    m->parents = parents;
    m->utf8 = settings_utf8(env);
    m->env = *env;
    rc = add_list(m, spec, false, 0, why);
    if (rc != RC_OK) {
        why_prefix(why, "%s", parameter);
        match_close(m);
        return rc;
    }
    *out = m;
    return RC_OK;
}

void match_close(struct match_list *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->steps.n; i++) {
        map_done(&m->steps.v[i]->names);
        table_close(m->steps.v[i]->table);
    }
    arena_free(m->arena);
}

bool match_has_changed(struct match_list *m)
{
    for (size_t i = 0; m && i < m->steps.n; i++)
        if (m->steps.v[i]->table && table_has_changed(m->steps.v[i]->table))
            return true;
    return false;
}

unsigned long match_stamp(struct match_list *m)
{
    unsigned long stamp = 0;

    for (size_t i = 0; m && i < m->steps.n; i++)
        if (m->steps.v[i]->table)
            stamp = stamp * 31 + table_stamp(m->steps.v[i]->table);
    return stamp;
}

bool match_empty(const struct match_list *m)
{
    return m == NULL || m->steps.n == 0;
}

/* ---- matching ---- */

/* One question, with the folded name. */
struct question {
    struct arena *a;
    struct str name;
    const struct addr *address; /* NULL: names only */
    struct str address_text;
};

/* Call probe for the name and, for domains, its parents as keys of the list look. */
static enum rc each_name(const struct match_list *m, const struct step *s, const struct question *q,
                         enum rc (*probe)(const struct step *s, const struct question *q,
                                          struct str name, struct why *why),
                         struct why *why)
{
    struct str name = q->name;
    enum rc rc = probe(s, q, name, why);

    if (m->kind == MATCH_STRING || (s->table && table_is_pattern(s->table)))
        return rc;
    while (rc == RC_NONE && name.n > 1) {
        ssize_t dot = str_index(str_from(name, 1), '.');
        if (dot < 0)
            break;
        name = str_from(name, (size_t)dot + 1);
        if (name.n > 1)
            rc = probe(s, q, m->parents ? str_from(name, 1) : name, why);
    }
    return rc;
}

static enum rc in_names(const struct step *s, const struct question *q, struct str name,
                        struct why *why)
{
    (void)q;
    (void)why;
    return map_get(&s->names, name) ? RC_OK : RC_NONE;
}

static enum rc in_table(const struct step *s, const struct question *q, struct str name,
                        struct why *why)
{
    struct str value;

    return table_get(s->table, name, q->a, &value, why);
}

static enum rc in_networks(const struct step *s, const struct question *q)
{
    for (size_t i = 0; i < s->networks.n; i++)
        if (network_has(&s->networks.v[i], q->address))
            return RC_OK;
    return RC_NONE;
}

static enum rc match_step(const struct match_list *m, const struct step *s,
                          const struct question *q, struct why *why)
{
    enum rc rc;

    if (s->table) {
        rc = q->name.n || q->address == NULL ? each_name(m, s, q, in_table, why) : RC_NONE;
        return rc == RC_NONE && q->address ? in_table(s, q, q->address_text, why) : rc;
    }
    rc = s->names.n && q->name.n ? each_name(m, s, q, in_names, why) : RC_NONE;
    return rc == RC_NONE && q->address ? in_networks(s, q) : rc;
}

static enum rc match(const struct match_list *m, const struct question *q, struct why *why)
{
    for (size_t i = 0; i < m->steps.n; i++) {
        enum rc rc = match_step(m, m->steps.v[i], q, why);
        if (rc == RC_OK)
            return m->steps.v[i]->negated ? RC_NONE : RC_OK;
        if (rc != RC_NONE) {
            why_prefix(why, "%s", m->parameter);
            return RC_TEMP;
        }
    }
    return RC_NONE;
}

enum rc match_get(struct match_list *m, struct str text, struct why *why)
{
    AUTO_ARENA a = NULL;
    struct question q = {0};

    if (match_empty(m))
        return RC_NONE;
    a = arena_new(512);
    q.a = a;
    q.name = fold_case(a, text, m->utf8);
    return match(m, &q, why);
}

enum rc match_client(struct match_list *m, struct str name, const struct addr *address,
                     struct why *why)
{
    char text[ADDR_TEXT_SIZE];
    AUTO_ARENA a = NULL;
    struct question q = {.address = address};

    if (match_empty(m))
        return RC_NONE;
    a = arena_new(512);
    q.a = a;
    q.name = fold_case(a, name, m->utf8);
    addr_format(address, text);
    q.address_text = str_of(text);
    return match(m, &q, why);
}

bool match_parents(const struct config *config, const char *parameter)
{
    struct str list = config->parent_domain_matches_subdomains, name;

    while (str_token(&list, LIST_SEPARATORS, &name))
        if (str_eq_nocase(name, str_of(parameter)))
            return true;
    return false;
}
