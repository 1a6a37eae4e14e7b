/* match ... action NAME, match ... reject, current grammar. */
#include "smtpdconf/parse.h"

struct match {
    struct conf_rule *rule;
    VEC(const char *) said; /* options */
};

/* What options have in common: a word, the fact it is about, and how its list is called. */
enum list_use { NO_LIST, MAY_LIST, MUST_LIST };
struct option {
    const char *word;
    enum conf_fact fact;
    enum list_use list;
    const char *use;
};

static const struct option for_options[] = {{"any", FACT_ANY, NO_LIST, NULL},
                                            {"local", FACT_LOCAL_DOMAIN, NO_LIST, NULL},
                                            {"domain", FACT_DOMAIN, MUST_LIST, "'for'"},
                                            {"rcpt-to", FACT_RECIPIENT, MUST_LIST, "for"},
                                            {0}};
static const struct option from_options[] = {{"any", FACT_ANY, NO_LIST, NULL},
                                             {"local", FACT_LOCAL_CLIENT, NO_LIST, NULL},
                                             {"socket", FACT_SOCKET, NO_LIST, NULL},
                                             {"auth", FACT_AUTH, MAY_LIST, "from"},
                                             {"mail-from", FACT_SENDER, MUST_LIST, "from"},
                                             {"rdns", FACT_CLIENT_NAME, MAY_LIST, "rdns"},
                                             {"src", FACT_CLIENT, MUST_LIST, "from"},
                                             {0}};
static const struct option options[] = {{"auth", FACT_AUTH, MAY_LIST, "auth"},
                                        {"helo", FACT_HELO, MUST_LIST, "helo"},
                                        {"mail-from", FACT_SENDER, MUST_LIST, "mail-from"},
                                        {"rcpt-to", FACT_RECIPIENT, MUST_LIST, "rcpt-to"},
                                        {"tag", FACT_TAG, MUST_LIST, "tag"},
                                        {"tls", FACT_TLS, NO_LIST, NULL},
                                        {0}};

static const struct option *find(struct parser *p, const struct option *o)
{
    while (o->word && !parse_is_word(p, o->word))
        o++;
    return o->word ? o : NULL;
}

static bool has(const struct match *m, const char *what)
{
    for (size_t i = 0; i < m->said.n; i++)
        if (strcmp(m->said.v[i], what) == 0)
            return true;
    return false;
}

/* what: each may be said once, "for" and "from" whatever follows */
static bool one(struct parser *p, struct match *m, const struct option *o, const char *what,
                bool negated)
{
    struct conf_condition c = {.negated = negated};

    if (o == NULL)
        return parse_syntax_error(p);
    c.fact = o->fact;
    parse_advance(p);
    if (o->list == MUST_LIST ||
        (o->list == MAY_LIST && (parse_is_word(p, "regex") || parse_starts_table(p)))) {
        c.regex = parse_take_word(p, "regex");
        c.table = parse_want_table(p);
        if (c.table == NULL)
            return false;
    }
    if (has(m, what))
        return parse_error(p, "%s already specified for this rule", what);
    if (c.table && !parse_table_is(p, c.table, AS_LIST | AS_BACKEND, o->use))
        return false;
    vec_add(p->arena, &m->said, what);
    vec_add(p->arena, &m->rule->conditions, c);
    return true;
}

static bool option(struct parser *p, struct match *m)
{
    bool negated = parse_take_char(p, '!');
    const struct option *o;

    if (parse_take_word(p, "for"))
        return one(p, m, find(p, for_options), "for", negated);
    if (parse_take_word(p, "from")) {
        o = find(p, from_options);
        if (!one(p, m, o, "from", negated))
            return false;
        vec_add(p->arena, &m->said, o->word); /* "from auth auth" says it twice */
        return true;
    }
    o = find(p, options);
    return one(p, m, o, o ? o->word : "", negated);
}

bool parse_match(struct parser *p)
{
    struct match m = {.rule = arena_new_of(p->arena, struct conf_rule)};
    struct str name;

    parse_advance(p);
    m.rule->place = p->lexer.place;
    while (!parse_is_word(p, "action") && !parse_is_word(p, "reject"))
        if (!option(p, &m))
            return false;
    if (parse_take_word(p, "action")) {
        if (!parse_want_string(p, &name))
            return false;
        m.rule->action = conf_action_find(p->conf, name);
        if (m.rule->action == NULL)
            return parse_error(p, "no such dispatcher: " STR_FMT, STR_ARG(name));
    } else {
        parse_advance(p);
    }
    if (!has(&m, "from"))
        vec_add(p->arena, &m.rule->conditions, (struct conf_condition){.fact = FACT_LOCAL_CLIENT});
    if (!has(&m, "for"))
        vec_add(p->arena, &m.rule->conditions, (struct conf_condition){.fact = FACT_LOCAL_DOMAIN});
    vec_add(p->arena, &p->conf->rules, m.rule);
    return true;
}
