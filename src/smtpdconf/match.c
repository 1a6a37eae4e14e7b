/* match ... action NAME, match ... reject, current grammar. */
#include "smtpdconf/parse.h"

struct match {
    struct conf_rule *rule;
    bool has_for, has_from, has_auth, has_helo, has_mail_from, has_rcpt_to, has_tag, has_tls;
};

static void add(struct parser *p, struct match *m, enum conf_fact fact, bool negated, bool regex,
                struct conf_table *table)
{
    vec_add(p->arena, &m->rule->conditions, ((struct conf_condition){fact, negated, regex, table}));
}

static bool want_list(struct parser *p, bool *regex, struct conf_table **t, const char *use)
{
    *regex = parse_take_word(p, "regex");
    *t = parse_want_table(p);
    if (*t == NULL)
        return false;
    if ((*t)->kind == TABLE_IS_MAP)
        return parse_error(p, "table \"" STR_FMT "\" may not be used for %s lookups",
                           STR_ARG((*t)->name), use);
    return true;
}

/* fact [R] */
static bool optional_list(struct parser *p, struct match *m, enum conf_fact fact, bool negated,
                          const char *use)
{
    struct conf_table *t = NULL;
    bool regex = false;

    if ((parse_is_word(p, "regex") || parse_starts_table(p)) && !want_list(p, &regex, &t, use))
        return false;
    add(p, m, fact, negated, regex, t);
    return true;
}

static bool list(struct parser *p, struct match *m, enum conf_fact fact, bool negated,
                 const char *use)
{
    struct conf_table *t;
    bool regex;

    if (!want_list(p, &regex, &t, use))
        return false;
    add(p, m, fact, negated, regex, t);
    return true;
}

static bool once(struct parser *p, bool *before, const char *what)
{
    if (*before)
        return parse_error(p, "%s already specified for this rule", what);
    *before = true;
    return true;
}

static bool option_for(struct parser *p, struct match *m, bool negated)
{
    if (parse_take_word(p, "any"))
        add(p, m, FACT_ANY, negated, false, NULL);
    else if (parse_take_word(p, "local"))
        add(p, m, FACT_LOCAL_DOMAIN, negated, false, NULL);
    else if (parse_take_word(p, "domain")) {
        if (!list(p, m, FACT_DOMAIN, negated, "'for'"))
            return false;
    } else if (parse_take_word(p, "rcpt-to")) {
        if (!list(p, m, FACT_RECIPIENT, negated, "for"))
            return false;
    } else {
        return parse_syntax_error(p);
    }
    return once(p, &m->has_for, "for");
}

static bool option_from(struct parser *p, struct match *m, bool negated)
{
    bool ok = true;

    if (parse_take_word(p, "any"))
        add(p, m, FACT_ANY, negated, false, NULL);
    else if (parse_take_word(p, "local"))
        add(p, m, FACT_LOCAL_CLIENT, negated, false, NULL);
    else if (parse_take_word(p, "socket"))
        add(p, m, FACT_SOCKET, negated, false, NULL);
    else if (parse_take_word(p, "auth"))
        ok = optional_list(p, m, FACT_AUTH, negated, "from");
    else if (parse_take_word(p, "mail-from"))
        ok = list(p, m, FACT_SENDER, negated, "from");
    else if (parse_take_word(p, "rdns"))
        ok = optional_list(p, m, FACT_CLIENT_NAME, negated, "rdns");
    else if (parse_take_word(p, "src"))
        ok = list(p, m, FACT_CLIENT, negated, "from");
    else
        return parse_syntax_error(p);
    return ok && once(p, &m->has_from, "from");
}

static bool option(struct parser *p, struct match *m)
{
    bool negated = parse_take_char(p, '!');

    if (parse_take_word(p, "for"))
        return option_for(p, m, negated);
    if (parse_take_word(p, "from"))
        return option_from(p, m, negated);
    if (parse_take_word(p, "auth"))
        return optional_list(p, m, FACT_AUTH, negated, "auth") && once(p, &m->has_auth, "auth");
    if (parse_take_word(p, "helo"))
        return list(p, m, FACT_HELO, negated, "helo") && once(p, &m->has_helo, "helo");
    if (parse_take_word(p, "mail-from"))
        return list(p, m, FACT_SENDER, negated, "mail-from") &&
               once(p, &m->has_mail_from, "mail-from");
    if (parse_take_word(p, "rcpt-to"))
        return list(p, m, FACT_RECIPIENT, negated, "rcpt-to") &&
               once(p, &m->has_rcpt_to, "rcpt-to");
    if (parse_take_word(p, "tag"))
        return list(p, m, FACT_TAG, negated, "tag") && once(p, &m->has_tag, "tag");
    if (parse_take_word(p, "tls")) {
        add(p, m, FACT_TLS, negated, false, NULL);
        return once(p, &m->has_tls, "tls");
    }
    return parse_syntax_error(p);
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
    if (!m.has_from)
        add(p, &m, FACT_LOCAL_CLIENT, false, false, NULL);
    if (!m.has_for)
        add(p, &m, FACT_LOCAL_DOMAIN, false, false, NULL);
    vec_add(p->arena, &p->conf->rules, m.rule);
    return true;
}
