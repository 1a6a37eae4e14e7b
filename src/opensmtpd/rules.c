/* match_rules(5): lists, then one rule for each rule of smtpd.conf. */
#include "opensmtpd/generate.h"

/* ---- lists ---- */

static struct str list_name(struct generator *g, const struct conf_table *t)
{
    struct str key = {(const char *)&t, sizeof t};
    struct str *name = map_get(&g->lists, key);

    if (name)
        return *name;
    name = arena_new_of(g->arena, struct str);
    *name = arena_printf(g->arena, "l%zu", ++g->n_lists);
    map_put(&g->lists, key, name);
    buf_addf(g->rules, "# " STR_FMT "%s" STR_FMT "\nlist " STR_FMT "\n",
             STR_ARG(generate_place(g, &t->place)), t->name.n ? ", table " : "", STR_ARG(t->name),
             STR_ARG(*name));
    for (size_t i = 0; i < t->entries.n; i++)
        buf_addf(g->rules, " " STR_FMT "\n", STR_ARG(t->entries.v[i].key));
    return *name;
}

static void standard_lists(struct generator *g)
{
    struct str_vec own = {0};

    buf_addf(g->rules, "list localnames\n localhost\n " STR_FMT "\n", STR_ARG(g->hostname));
    buf_add(g->rules, STR("list localhost\n local\n 127.0.0.0/8\n ::1\n"));
    if (g->conf->grammar != GRAMMAR_2011)
        own = own_addresses(g);
    for (size_t i = 0; i < own.n; i++)
        buf_addf(g->rules, " " STR_FMT "\n", STR_ARG(own.v[i]));
}

/* ---- conditions ---- */

static const char *fact_name(enum conf_fact fact)
{
    switch (fact) {
    case FACT_ANY: return "any";
    case FACT_LOCAL_CLIENT: return "client=localhost";
    case FACT_SOCKET: return "local";
    case FACT_LOCAL_DOMAIN: return "domain=localnames";
    case FACT_DOMAIN: return "domain";
    case FACT_RECIPIENT: return "recipient";
    case FACT_SENDER: return "sender";
    case FACT_CLIENT: return "client";
    case FACT_CLIENT_NAME: return "client-name";
    case FACT_FCRDNS: return "fcrdns";
    case FACT_AUTH: return "auth";
    case FACT_HELO: return "helo";
    case FACT_TAG: return "tag";
    case FACT_TLS: return "tls";
    case FACT_VIRTUAL: return "virtual";
    }
    return "any";
}

static struct str condition(struct generator *g, const struct conf_condition *c)
{
    struct str text = arena_printf(g->arena, " %s%s", c->negated ? "!" : "", fact_name(c->fact));
    struct str list;

    if (c->table == NULL)
        return text;
    list = c->table->kind == TABLE_IS_BACKEND ? table_backend(g, c->table) : list_name(g, c->table);
    if (list.p == NULL)
        return text;
    if (c->regex && c->table->kind == TABLE_IS_BACKEND)
        complain(g, &c->table->place,
                 "expressions in table " STR_FMT " must stand in a list or file",
                 STR_ARG(c->table->name));
    return arena_printf(g->arena, STR_FMT "%c" STR_FMT, STR_ARG(text), c->regex ? '~' : '=',
                        STR_ARG(list));
}

/* ---- rules ---- */

static void rule_line(struct generator *g, const struct conf_rule *r, struct str conditions)
{
    buf_addf(g->rules, "# " STR_FMT "\nmatch" STR_FMT, STR_ARG(generate_place(g, &r->place)),
             STR_ARG(conditions));
    if (r->action)
        buf_addf(g->rules, " action " STR_FMT "\n", STR_ARG(action_name(g, r->action)));
    else
        buf_add(g->rules, STR(" reject\n"));
}

/* In 2011 a client who had logged in counted as local. */
static void each_client(struct generator *g, const struct conf_rule *r, struct str conditions)
{
    ssize_t at = str_find(conditions, STR(" client=localhost"));

    rule_line(g, r, conditions);
    if (g->conf->grammar == GRAMMAR_2011 && at >= 0)
        rule_line(
            g, r,
            arena_join(g->arena, STR(" auth"),
                       arena_join(g->arena, str_head(conditions, (size_t)at),
                                  str_from(conditions, (size_t)at + strlen(" client=localhost")))));
}

static void one_rule(struct generator *g, const struct conf_rule *r)
{
    struct str all = STR("");

    for (size_t i = 0; i < r->conditions.n; i++)
        all = arena_join(g->arena, all, condition(g, &r->conditions.v[i]));
    if (r->any_of.n == 0)
        each_client(g, r, all);
    for (size_t i = 0; i < r->any_of.n; i++)
        each_client(g, r, arena_join(g->arena, all, condition(g, &r->any_of.v[i])));
}

void generate_rules(struct generator *g)
{
    standard_lists(g);
    for (size_t i = 0; i < g->conf->rules.n; i++)
        one_rule(g, g->conf->rules.v[i]);
}
