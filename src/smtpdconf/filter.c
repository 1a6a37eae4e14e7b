/* filter and proc, current grammar. */
#include "smtpdconf/parse.h"

struct conf_filter *conf_filter_find(const struct conf *conf, struct str name)
{
    for (size_t i = 0; i < conf->filters.n; i++)
        if (str_eq(conf->filters.v[i]->name, name))
            return conf->filters.v[i];
    return NULL;
}

static struct conf_proc *find_proc(const struct conf *conf, struct str name)
{
    for (size_t i = 0; i < conf->procs.n; i++)
        if (str_eq(conf->procs.v[i]->name, name))
            return conf->procs.v[i];
    return NULL;
}

/* { user U | group G | chroot D } */
static bool proc_options(struct parser *p, struct conf_proc *proc)
{
    while (!parse_at_line_end(p)) {
        const struct {
            const char *word, *message;
            struct str *to;
        } options[] = {{"user", "user already specified for this processor", &proc->user},
                       {"group", "group already specified for this processor", &proc->group},
                       {"chroot", "chroot already specified for this processor", &proc->chroot}};
        size_t i = 0;
        while (i < 3 && !parse_is_word(p, options[i].word))
            i++;
        /* "group" and "chroot" are keywords of the original only here */
        if (i == 3)
            return parse_syntax_error(p);
        parse_advance(p);
        if (!parse_once(p, options[i].to->n, options[i].message) ||
            !parse_want_string(p, options[i].to))
            return false;
    }
    return true;
}

bool parse_proc(struct parser *p)
{
    struct conf_proc *proc = arena_new_of(p->arena, struct conf_proc);

    parse_advance(p);
    proc->place = p->lexer.place;
    if (!parse_want_string(p, &proc->name))
        return false;
    if (find_proc(p->conf, proc->name))
        return parse_error(p, "processor already exists with that name: " STR_FMT,
                           STR_ARG(proc->name));
    if (!parse_want_string(p, &proc->command) || !proc_options(p, proc))
        return false;
    vec_add(p->arena, &p->conf->procs, proc);
    return true;
}

/* { a, b }; members are no chains themselves */
static bool members(struct parser *p, struct conf_filter *f)
{
    if (!parse_want_char(p, '{'))
        return false;
    do {
        struct conf_filter *member;
        struct str name;
        parse_skip_lines(p);
        if (!parse_want_string(p, &name))
            return false;
        member = conf_filter_find(p->conf, name);
        if (member == NULL)
            return parse_error(p, "no filter exist with that name: " STR_FMT, STR_ARG(name));
        if (member->chain.n)
            return parse_error(p, "no filter chain allowed within a filter chain: " STR_FMT,
                               STR_ARG(name));
        for (size_t i = 0; i < f->chain.n; i++)
            if (f->chain.v[i] == member)
                return parse_error(p, "no filter allowed twice within a filter chain: " STR_FMT,
                                   STR_ARG(name));
        vec_add(p->arena, &f->chain, member);
        parse_skip_lines(p);
    } while (parse_take_char(p, ','));
    return parse_want_char(p, '}');
}

/* ---- built-in filters ---- */

enum { NEEDS_HELO = 1, NEEDS_AUTH = 2, NEEDS_SENDER = 4, NEEDS_RECIPIENT = 8 };

static const struct phase {
    const char *name;
    unsigned knows;
} phases[] = {
    {"connect", 0},
    {"helo", NEEDS_HELO},
    {"ehlo", NEEDS_HELO},
    {"auth", NEEDS_HELO | NEEDS_AUTH},
    {"mail-from", NEEDS_HELO | NEEDS_AUTH | NEEDS_SENDER},
    {"rcpt-to", NEEDS_HELO | NEEDS_AUTH | NEEDS_SENDER | NEEDS_RECIPIENT},
    {"data", NEEDS_HELO | NEEDS_AUTH | NEEDS_SENDER},
    {"commit", NEEDS_HELO | NEEDS_AUTH | NEEDS_SENDER},
};

static const struct {
    const char *word;
    enum conf_fact fact;
    unsigned needs;
    enum { NO_LIST, MAY_LIST, MUST_LIST } list;
} conditions[] = {
    {"fcrdns", FACT_FCRDNS, 0, NO_LIST},
    {"rdns", FACT_CLIENT_NAME, 0, MAY_LIST},
    {"src", FACT_CLIENT, 0, MUST_LIST},
    {"helo", FACT_HELO, NEEDS_HELO, MUST_LIST},
    {"auth", FACT_AUTH, NEEDS_AUTH, MAY_LIST},
    {"mail-from", FACT_SENDER, NEEDS_SENDER, MUST_LIST},
    {"rcpt-to", FACT_RECIPIENT, NEEDS_RECIPIENT, MUST_LIST},
};

static bool condition(struct parser *p, struct conf_filter *f, const struct phase *phase)
{
    struct conf_condition c = {.negated = parse_take_char(p, '!')};
    size_t i = 0, n = sizeof conditions / sizeof *conditions;

    while (i < n && !parse_is_word(p, conditions[i].word))
        i++;
    if (i == n || (conditions[i].needs & ~phase->knows))
        return parse_syntax_error(p);
    parse_advance(p);
    c.fact = conditions[i].fact;
    c.regex = conditions[i].list != NO_LIST && parse_take_word(p, "regex");
    if (conditions[i].list == MUST_LIST || c.regex ||
        (conditions[i].list == MAY_LIST && parse_starts_table(p))) {
        c.table = parse_want_table(p);
        if (c.table == NULL)
            return false;
    }
    vec_add(p->arena, &f->conditions, c);
    return true;
}

static bool is_condition(const struct parser *p)
{
    if (parse_is_char(p, '!'))
        return true;
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        if (parse_is_word(p, conditions[i].word))
            return true;
    return false;
}

static bool check_reply(struct parser *p, struct str text)
{
    if (text.n >= 3 && (text.p[0] == '4' || text.p[0] == '5') && is_digit(text.p[1]) &&
        is_digit(text.p[2]))
        return true;
    return parse_error(p, "text must begin with a 4xx or 5xx code: " STR_FMT, STR_ARG(text));
}

static bool decision(struct parser *p, struct conf_filter *f, const struct phase *phase)
{
    static const struct {
        const char *word;
        enum conf_decision decision;
        bool has_text;
    } decisions[] = {
        {"bypass", DECIDE_BYPASS, false},  {"disconnect", DECIDE_DISCONNECT, true},
        {"junk", DECIDE_JUNK, false},      {"reject", DECIDE_REJECT, true},
        {"rewrite", DECIDE_REWRITE, true}, {"report", DECIDE_REPORT, true},
    };
    size_t i = 0, n = sizeof decisions / sizeof *decisions;

    while (i < n && !parse_is_word(p, decisions[i].word))
        i++;
    if (i == n)
        return parse_syntax_error(p);
    f->decision = decisions[i].decision;
    if (f->decision == DECIDE_JUNK && strcmp(phase->name, "commit") == 0)
        return parse_syntax_error(p);
    parse_advance(p);
    if (decisions[i].has_text && !parse_want_string(p, &f->text))
        return false;
    return (f->decision != DECIDE_REJECT && f->decision != DECIDE_DISCONNECT) ||
           check_reply(p, f->text);
}

static bool builtin(struct parser *p, struct conf_filter *f)
{
    size_t i = 0, n = sizeof phases / sizeof *phases;

    while (i < n && !parse_is_word(p, phases[i].name))
        i++;
    if (i == n)
        return parse_syntax_error(p);
    f->phase = str_of(phases[i].name);
    parse_advance(p);
    if (!parse_want_word(p, "match"))
        return false;
    do {
        if (!condition(p, f, &phases[i]))
            return false;
    } while (is_condition(p));
    return decision(p, f, &phases[i]);
}

static bool kind(struct parser *p, struct conf_filter *f)
{
    struct str name;

    if (parse_take_word(p, "chain"))
        return members(p, f);
    if (parse_take_word(p, "phase"))
        return builtin(p, f);
    if (parse_take_word(p, "proc")) {
        if (!parse_want_string(p, &name))
            return false;
        f->proc = find_proc(p->conf, name);
        return f->proc ||
               parse_error(p, "no processor exist with that name: " STR_FMT, STR_ARG(name));
    }
    if (!parse_want_word(p, "proc-exec"))
        return false;
    f->proc = arena_new_of(p->arena, struct conf_proc);
    f->proc->place = p->lexer.place;
    f->proc->name = f->name;
    if (!parse_want_string(p, &f->proc->command) || !proc_options(p, f->proc))
        return false;
    vec_add(p->arena, &p->conf->procs, f->proc);
    return true;
}

bool parse_filter(struct parser *p)
{
    struct conf_filter *f = arena_new_of(p->arena, struct conf_filter);

    parse_advance(p);
    f->place = p->lexer.place;
    if (!parse_want_string(p, &f->name))
        return false;
    if (conf_filter_find(p->conf, f->name))
        return parse_error(p, "filter already exists with that name: " STR_FMT, STR_ARG(f->name));
    if (!kind(p, f))
        return false;
    vec_add(p->arena, &p->conf->filters, f);
    return true;
}

bool parse_filter_reference(struct parser *p, struct str *name)
{
    struct conf_filter *chain;

    if (!parse_is_char(p, '{')) {
        if (!parse_want_string(p, name))
            return false;
        return conf_filter_find(p->conf, *name) ||
               parse_error(p, "no filter exist with that name: " STR_FMT, STR_ARG(*name));
    }
    chain = arena_new_of(p->arena, struct conf_filter);
    chain->place = p->lexer.place;
    chain->name = arena_printf(p->arena, "<dynchain:%zu>", p->conf->filters.n);
    if (!members(p, chain))
        return false;
    vec_add(p->arena, &p->conf->filters, chain);
    *name = chain->name;
    return true;
}

/* Names that may be declared after their use. */
void parse_check_references(struct parser *p)
{
    const struct conf *c = p->conf;

    for (size_t i = 0; i < c->listens.n; i++) {
        const struct conf_listen *l = c->listens.v[i];
        if (l->pki.n && !conf_pki_find(c, l->pki))
            parse_complaint(p, "pki name not found: " STR_FMT, STR_ARG(l->pki));
        for (size_t k = 0; k < l->other_pkis.n; k++)
            if (!conf_pki_find(c, l->other_pkis.v[k]))
                parse_complaint(p, "pki name not found: " STR_FMT, STR_ARG(l->other_pkis.v[k]));
        if (l->ca.n && !conf_ca_find(c, l->ca))
            parse_complaint(p, "ca name not found: " STR_FMT, STR_ARG(l->ca));
    }
    for (size_t i = 0; i < c->actions.n; i++) {
        const struct conf_action *a = c->actions.v[i];
        p->lexer.place = a->place;
        if (a->pki.n && !conf_pki_find(c, a->pki))
            (void)parse_error(p, "pki name not found: " STR_FMT, STR_ARG(a->pki));
        if (a->ca.n && !conf_ca_find(c, a->ca))
            (void)parse_error(p, "ca name not found: " STR_FMT, STR_ARG(a->ca));
    }
}
