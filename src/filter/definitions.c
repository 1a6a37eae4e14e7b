/* The file with the definitions of filters; see smtpd_filters(5). */
#include <stdio.h>

#include "config/snapshot.h"
#include "filter/filter.h"

enum { FILE_MAX_BYTES = 16 * 1024 * 1024, CHAIN_DEPTH = 10, FILTERS_MAX = 1000 };

struct word {
    struct str text;
    bool quoted;
};

struct definition {
    struct str name;
    struct filter filter;
    VEC(struct str) chain; /* names; n == 0: no chain */
    long line;
};

struct parser {
    const char *path;
    struct arena *arena;
    VEC(struct definition *) list;
    long line; /* where the current logical line began */
    struct word *words;
    size_t n, next;
};

static const struct {
    struct str name;
    enum filter_fact fact;
    enum filter_kind kind;
    bool needs_table, may_have_table;
} facts[] = {
    {STR_INIT("fcrdns"), FACT_FCRDNS, KIND_STRING, false, false},
    {STR_INIT("rdns"), FACT_RDNS, KIND_DOMAIN, false, true},
    {STR_INIT("src"), FACT_SRC, KIND_NETWORK, true, true},
    {STR_INIT("helo"), FACT_HELO, KIND_DOMAIN, true, true},
    {STR_INIT("auth"), FACT_AUTH, KIND_STRING, false, true},
    {STR_INIT("mail-from"), FACT_MAIL_FROM, KIND_MAIL, true, true},
    {STR_INIT("rcpt-to"), FACT_RCPT_TO, KIND_MAIL, true, true},
};

/* What is known in which phase. */
static const struct {
    enum filter_phase phase;
    enum filter_fact latest;
} phases[] = {
    {FILTER_CONNECT, FACT_SRC},         {FILTER_HELO, FACT_HELO},
    {FILTER_EHLO, FACT_HELO},           {FILTER_AUTH, FACT_AUTH},
    {FILTER_MAIL_FROM, FACT_MAIL_FROM}, {FILTER_RCPT_TO, FACT_RCPT_TO},
    {FILTER_DATA, FACT_MAIL_FROM},      {FILTER_COMMIT, FACT_MAIL_FROM},
};

static enum rc wrong(const struct parser *p, struct why *why, const char *format, ...)
    PRINTF_LIKE(3, 4);

static enum rc wrong(const struct parser *p, struct why *why, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return FAIL(why, RC_CONFIG, "%s, line %ld: %s", p->path, p->line, text);
}

/* ---- words ---- */

static enum rc take_quoted(const struct parser *p, struct str *rest, struct buf *b, struct why *why)
{
    size_t i = 1;

    while (i < rest->n && rest->p[i] != '"') {
        if (rest->p[i] == '\\' && i + 1 < rest->n)
            i++;
        buf_addc(b, rest->p[i++]);
    }
    if (i >= rest->n)
        return wrong(p, why, "quote is not closed");
    *rest = str_from(*rest, i + 1);
    return RC_OK;
}

/* Where { ... } ends; braces in quotes do not count. 0: nowhere. */
static size_t end_of_braces(struct str text)
{
    bool quoted = false;

    for (size_t i = 1; i < text.n; i++) {
        if (quoted && text.p[i] == '\\')
            i++;
        else if (text.p[i] == '"')
            quoted = !quoted;
        else if (text.p[i] == '}' && !quoted)
            return i + 1;
    }
    return 0;
}

/* { ... } is one word. */
static enum rc take_plain(const struct parser *p, struct str *rest, struct buf *b, struct why *why)
{
    ssize_t blank = str_index_any(*rest, " \t");
    size_t n = blank < 0 ? rest->n : (size_t)blank;

    if (rest->p[0] == '{')
        n = end_of_braces(*rest);
    if (n == 0)
        return wrong(p, why, "brace is not closed");
    buf_add(b, str_head(*rest, n));
    *rest = str_from(*rest, n);
    return RC_OK;
}

static enum rc split(struct parser *p, struct str line, struct why *why)
{
    VEC(struct word) list = {0};

    while ((line = str_ltrim(line)).n) {
        struct word w = {.quoted = line.p[0] == '"'};
        AUTO_BUF b;
        buf_init(&b, FILE_MAX_BYTES);
        TRY(w.quoted ? take_quoted(p, &line, &b, why) : take_plain(p, &line, &b, why));
        w.text = arena_copy(p->arena, buf_str(&b));
        vec_add(p->arena, &list, w);
    }
    p->words = list.v;
    p->n = list.n;
    p->next = 0;
    return RC_OK;
}

static struct str next(struct parser *p)
{
    return p->next < p->n ? p->words[p->next++].text : STR_NONE;
}

static struct str ahead(const struct parser *p)
{
    return p->next < p->n && !p->words[p->next].quoted ? p->words[p->next].text : STR_NONE;
}

/* ---- definitions ---- */

static bool is_table(struct str word)
{
    return word.n && (word.p[0] == '{' || word.p[0] == '/');
}

static enum rc take_condition(struct parser *p, struct filter *f, enum filter_fact latest,
                              struct why *why)
{
    struct str word = next(p);
    bool negated = word.n && word.p[0] == '!', is_regex = false;
    VEC(struct filter_condition) list = {f->conditions, f->n_conditions, f->n_conditions};
    struct filter_condition c = {.negated = negated};
    size_t i = 0;

    if (negated && word.n == 1)
        word = next(p);
    else
        word = str_from(word, negated);
    while (i < sizeof facts / sizeof *facts && !str_eq(word, facts[i].name))
        i++;
    if (i == sizeof facts / sizeof *facts)
        return wrong(p, why, "unknown condition \"" STR_FMT "\"", STR_ARG(word));
    c.fact = facts[i].fact;
    if (c.fact > latest)
        return wrong(p, why, "condition " STR_FMT " is not known in phase %s", STR_ARG(word),
                     filter_phase_name(f->phase));
    if (facts[i].may_have_table && str_eq(ahead(p), STR("regex"))) {
        is_regex = true;
        (void)next(p);
    }
    if (facts[i].may_have_table && is_table(ahead(p))) {
        struct why words;
        if (filter_values_parse(next(p), facts[i].kind, is_regex, p->arena, &c.values, &words) !=
            RC_OK)
            return wrong(p, why, "%s", words.text);
    } else if (facts[i].needs_table || is_regex) {
        return wrong(p, why, "condition " STR_FMT " needs a table: { ... } or a path",
                     STR_ARG(word));
    }
    vec_add(p->arena, &list, c);
    f->conditions = list.v;
    f->n_conditions = list.n;
    return RC_OK;
}

static enum rc check_text(const struct parser *p, const struct filter *f, struct why *why)
{
    struct str t = f->text;

    if ((f->decision == DECIDE_REJECT || f->decision == DECIDE_DISCONNECT) &&
        (t.n < 4 || (t.p[0] != '4' && t.p[0] != '5') || !is_digit(t.p[1]) || !is_digit(t.p[2]) ||
         t.p[3] != ' '))
        return wrong(p, why, "%s text must begin with 4NN or 5NN",
                     filter_decision_name(f->decision));
    if (f->decision == DECIDE_JUNK && f->phase == FILTER_COMMIT)
        return wrong(p, why, "junk is not possible in phase commit");
    if (f->decision == DECIDE_REWRITE &&
        (f->phase == FILTER_CONNECT || f->phase == FILTER_DATA || f->phase == FILTER_COMMIT))
        return wrong(p, why, "rewrite is not possible in phase %s", filter_phase_name(f->phase));
    return RC_OK;
}

static bool find_decision(struct str word, enum filter_decision *out)
{
    for (int d = DECIDE_JUNK; d < FILTER_DECISIONS; d++)
        if (str_eq(word, str_of(filter_decision_name(d)))) {
            *out = d;
            return true;
        }
    return false;
}

static enum rc take_phase(struct parser *p, struct filter *f, struct why *why)
{
    struct str word = next(p);
    size_t i = 0;

    while (i < sizeof phases / sizeof *phases &&
           !str_eq(word, str_of(filter_phase_name(phases[i].phase))))
        i++;
    if (i == sizeof phases / sizeof *phases)
        return wrong(p, why, "unknown phase \"" STR_FMT "\"", STR_ARG(word));
    f->phase = phases[i].phase;
    if (!str_eq(next(p), STR("match")))
        return wrong(p, why, "\"match\" is missing after the phase");
    do
        TRY(take_condition(p, f, phases[i].latest, why));
    while (p->next < p->n && !find_decision(ahead(p), &f->decision));
    word = next(p);
    if (word.n == 0)
        return wrong(p, why, "decision is missing");
    if (f->decision != DECIDE_JUNK && f->decision != DECIDE_BYPASS) {
        if (p->next == p->n)
            return wrong(p, why, STR_FMT " needs a text", STR_ARG(word));
        f->text = next(p);
    }
    return check_text(p, f, why);
}

static struct definition *find(const struct parser *p, struct str name)
{
    for (size_t i = 0; i < p->list.n; i++)
        if (str_eq(p->list.v[i]->name, name))
            return p->list.v[i];
    return NULL;
}

static enum rc take_definition(struct parser *p, struct why *why)
{
    struct definition *d = arena_new_of(p->arena, struct definition);
    struct str kind;

    d->name = next(p);
    d->line = p->line;
    d->filter.name = d->name;
    if (find(p, d->name))
        return wrong(p, why, "filter " STR_FMT " is defined twice", STR_ARG(d->name));
    kind = next(p);
    if (str_eq(kind, STR("proc"))) {
        d->filter.is_program = true;
        d->filter.service = next(p);
        if (d->filter.service.n == 0 || str_index_any(d->filter.service, "/.") >= 0)
            return wrong(p, why, "proc needs the name of a service of master.cf");
    } else if (str_eq(kind, STR("chain"))) {
        while (p->next < p->n)
            vec_add(p->arena, &d->chain, next(p));
        if (d->chain.n == 0)
            return wrong(p, why, "chain of what?");
    } else if (str_eq(kind, STR("phase"))) {
        TRY(take_phase(p, &d->filter, why));
    } else {
        return wrong(p, why, "filter " STR_FMT " is neither proc nor chain nor phase",
                     STR_ARG(d->name));
    }
    if (p->next < p->n)
        return wrong(p, why, "superfluous word \"" STR_FMT "\"", STR_ARG(p->words[p->next].text));
    vec_add(p->arena, &p->list, d);
    return RC_OK;
}

/* Lines that begin with a blank belong to the one before. */
static enum rc take_lines(struct parser *p, struct str text, struct why *why)
{
    long number = 0;
    AUTO_BUF joined;

    buf_init(&joined, FILE_MAX_BYTES);
    while (text.n || joined.n) {
        bool has_line = text.n > 0;
        struct str line = str_cut(&text, '\n');
        number += has_line;
        if (has_line && (str_trim(line).n == 0 || str_ltrim(line).p[0] == '#'))
            continue;
        if (joined.n && !(has_line && is_blank(line.p[0]))) {
            TRY(split(p, buf_str(&joined), why));
            TRY(take_definition(p, why));
            buf_reset(&joined);
        }
        if (!has_line)
            break;
        if (joined.n == 0)
            p->line = number;
        else
            buf_addc(&joined, ' ');
        buf_add(&joined, str_trim(line));
    }
    return RC_OK;
}

/* ---- what smtpd_filters names ---- */

struct set {
    struct parser *p;
    VEC(const struct filter *) list;
};

static enum rc add(struct set *s, struct str name, int depth, struct why *why)
{
    struct definition *d = find(s->p, name);

    if (d == NULL)
        return FAIL(why, RC_CONFIG, "%s: no filter with the name " STR_FMT, s->p->path,
                    STR_ARG(name));
    s->p->line = d->line;
    if (depth > CHAIN_DEPTH)
        return wrong(s->p, why, "chain " STR_FMT " contains itself", STR_ARG(name));
    if (d->chain.n == 0 && s->list.n == FILTERS_MAX)
        return wrong(s->p, why, "more than %d filters", FILTERS_MAX);
    for (size_t i = 0; i < d->chain.n; i++)
        TRY(add(s, d->chain.v[i], depth + 1, why));
    if (d->chain.n == 0)
        vec_add(s->p->arena, &s->list, &d->filter);
    return RC_OK;
}

enum rc filter_set_parse(struct str text, const char *path, struct str names, struct arena *a,
                         struct filter_set *out, struct why *why)
{
    struct parser p = {.path = path, .arena = a};
    struct set s = {.p = &p};
    struct str name;

    TRY(take_lines(&p, text, why));
    while (str_token(&names, LIST_SEPARATORS, &name))
        TRY(add(&s, name, 0, why));
    *out = (struct filter_set){s.list.v, s.list.n};
    return RC_OK;
}

struct reading {
    const char *path;
    struct str names;
    struct arena *arena;
    struct filter_set *set;
};

static enum rc parse(void *context, struct str text, struct why *why)
{
    struct reading *r = context;

    return filter_set_parse(text, r->path, r->names, r->arena, r->set, why);
}

enum rc filter_set_load(const char *path, struct str names, const struct log *log, struct arena *a,
                        struct filter_set *out, struct why *why)
{
    struct reading r = {path, names, a, out};
    enum rc rc = snapshot_parse_file(path, FILE_MAX_BYTES, false, log, a, parse, &r, why);

    if (rc == RC_OK)
        return RC_OK;
    why_prefix(why, "smtpd_filter_definitions");
    return RC_CONFIG;
}
