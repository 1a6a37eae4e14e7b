#include "table/rules.h"

#include <stdarg.h>
#include <stdio.h>

#include "table/source.h"

enum rule_kind { RULE_MATCH, RULE_IF };

struct piece { /* of a result: a literal text, or a group */
    struct str literal;
    int group; /* -1: literal */
};

struct rule {
    enum rule_kind kind;
    bool negated;
    long line;
    void *compiled;
    size_t otherwise; /* RULE_IF: the rule behind the matching endif */
    struct piece *pieces;
    size_t n_pieces;
    int groups; /* the highest group in the result, -1: none */
};

struct rules {
    const struct rule_language *language;
    const struct rule *list;
    size_t n;
    struct str map; /* "regexp map /etc/postfix/x", for messages */
};

/* ---- results ---- */

typedef VEC(struct piece) piece_list;

static enum rc take_reference(struct str *text, struct str whole, int *group, struct why *why)
{
    struct str name;
    char open = text->n > 1 ? text->p[1] : '\0';
    long number;
    size_t i;

    if (open == '{' || open == '(') {
        ssize_t end = str_index(str_from(*text, 2), open == '{' ? '}' : ')');
        if (end < 0)
            return FAIL(why, RC_PERM, "truncated macro reference: \"" STR_FMT "\"", STR_ARG(whole));
        name = str_head(str_from(*text, 2), (size_t)end);
        *text = str_from(*text, (size_t)end + 3);
    } else {
        for (i = 1; i < text->n && (is_alnum(text->p[i]) || text->p[i] == '_'); i++)
            ;
        name = (struct str){text->p + 1, i - 1};
        *text = str_from(*text, i);
    }
    if (name.n == 0)
        return FAIL(why, RC_PERM, "empty macro name: \"" STR_FMT "\"", STR_ARG(whole));
    if (!str_is_digits(name))
        return FAIL(why, RC_PERM, "non-numeric replacement index \"" STR_FMT "\"", STR_ARG(name));
    if (!str_to_long(name, 1, RULE_GROUPS_MAX, &number))
        return FAIL(why, RC_PERM, "out of range replacement index \"" STR_FMT "\"", STR_ARG(name));
    *group = (int)number;
    return RC_OK;
}

/* Cut the result into literals and groups. "$$" is one dollar. */
static enum rc compile_result(struct rule *r, struct str text, struct arena *a, struct why *why)
{
    const struct str whole = text;
    piece_list pieces = {0};

    r->groups = -1;
    while (text.n) {
        ssize_t dollar = str_index(text, '$');
        struct str literal = dollar < 0 ? text : str_head(text, (size_t)dollar);
        int group;
        if (dollar >= 0 && (size_t)dollar + 1 < text.n && text.p[dollar + 1] == '$') {
            vec_add(a, &pieces, ((struct piece){str_head(text, (size_t)dollar + 1), -1}));
            text = str_from(text, (size_t)dollar + 2);
            continue;
        }
        if (literal.n)
            vec_add(a, &pieces, ((struct piece){literal, -1}));
        text = str_from(text, literal.n);
        if (dollar < 0)
            break;
        TRY(take_reference(&text, whole, &group, why));
        vec_add(a, &pieces, ((struct piece){STR_NONE, group}));
        if (group > r->groups)
            r->groups = group;
    }
    r->pieces = pieces.v;
    r->n_pieces = pieces.n;
    return RC_OK;
}

static struct str expand_result(const struct rule *r, struct str key, const struct rule_span *spans,
                                struct arena *a)
{
    size_t n = 0;
    char *out;

    if (r->n_pieces == 0)
        return STR("");
    if (r->n_pieces == 1 && r->groups < 0)
        return arena_copy(a, r->pieces[0].literal);
#define PIECE_TEXT(p)                                                                              \
    ((p)->group < 0 ? (p)->literal                                                                 \
     : spans[(p)->group].start < 0                                                                 \
         ? STR_NONE                                                                                \
         : str_head(str_from(key, (size_t)spans[(p)->group].start),                                \
                    (size_t)(spans[(p)->group].end - spans[(p)->group].start)))
    for (const struct piece *p = r->pieces; p < r->pieces + r->n_pieces; p++)
        n += PIECE_TEXT(p).n; /* NOLINT(clang-analyzer-core.NullDereference) */
    out = arena_alloc(a, n + 1);
    n = 0;
    for (const struct piece *p = r->pieces; p < r->pieces + r->n_pieces; p++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        struct str text = PIECE_TEXT(p);
        if (text.n)
            memcpy(out + n, text.p, text.n);
        n += text.n;
    }
#undef PIECE_TEXT
    return (struct str){out, n};
}

/* ---- loading ---- */

struct loader {
    const struct rule_language *language;
    struct driver_open *o;
    struct arena *a;
    struct str map;
    long line;
    VEC(struct rule) rules;
    VEC(size_t) open_ifs;
};

#define SKIP(l, ...) (loader_warn((l), __VA_ARGS__), false)

static void loader_warn(const struct loader *l, const char *format, ...) PRINTF_LIKE(2, 3);
static void loader_warn(const struct loader *l, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (l->o->env->log)
        log_warning(l->o->env->log, STR_FMT ", line %ld: %s", STR_ARG(l->map), l->line, text);
}

/* Take "[!...]/pattern/flags" off *rest. */
static bool take_pattern(struct loader *l, struct rule *r, struct str *rest, struct str *pattern,
                         struct str *flags)
{
    char delimiter;
    size_t i;

    while (rest->n && rest->p[0] == '!') {
        r->negated = !r->negated;
        *rest = str_ltrim(str_from(*rest, 1));
    }
    if (rest->n == 0)
        return SKIP(l, "no regexp: skipping this rule");
    delimiter = rest->p[0];
    for (i = 1; i < rest->n && rest->p[i] != delimiter; i++)
        if (rest->p[i] == '\\' && i + 1 < rest->n)
            i++;
    if (i >= rest->n)
        return SKIP(l, "no closing regexp delimiter \"%c\": skipping this rule", delimiter);
    *pattern = (struct str){rest->p + 1, i - 1};
    *rest = str_from(*rest, i + 1);
    for (i = 0; i < rest->n && !is_white(rest->p[i]) && rest->p[i] != '!'; i++)
        ;
    *flags = str_head(*rest, i);
    *rest = str_trim(str_from(*rest, i));
    return true;
}

static bool compile_pattern(struct loader *l, struct rule *r, struct str pattern, struct str flags)
{
    struct why why;
    int groups;

    if (l->language->compile(pattern, flags, r->groups, l->a, &r->compiled, &groups, &why) != RC_OK)
        return SKIP(l, "%s", why.text);
    if (r->groups > groups)
        return SKIP(l, "out of range replacement index \"%d\": skipping this rule", r->groups);
    return true;
}

static bool load_if(struct loader *l, struct rule *r, struct str rest)
{
    struct str pattern, flags;

    r->kind = RULE_IF;
    r->groups = -1;
    if (rest.n == 0 || is_alnum(rest.p[0]))
        return SKIP(l, "no regexp: skipping this rule");
    if (!take_pattern(l, r, &rest, &pattern, &flags))
        return false;
    if (rest.n) {
        loader_warn(l, "ignoring extra text after IF statement: \"" STR_FMT "\"", STR_ARG(rest));
        loader_warn(l, "do not prepend whitespace to statements between IF and ENDIF");
    }
    if (!compile_pattern(l, r, pattern, flags))
        return false;
    vec_add(l->a, &l->open_ifs, l->rules.n);
    return true;
}

static void load_endif(struct loader *l, struct str rest)
{
    if (l->open_ifs.n == 0) {
        loader_warn(l, "ignoring ENDIF without matching IF");
        return;
    }
    if (rest.n)
        loader_warn(l, "ignoring extra text after ENDIF");
    l->rules.v[l->open_ifs.v[--l->open_ifs.n]].otherwise = l->rules.n;
}

static bool load_match(struct loader *l, struct rule *r, struct str line)
{
    struct str pattern, flags, result = line, from_file;
    struct why why;

    if (!take_pattern(l, r, &result, &pattern, &flags))
        return false;
    if (result.n == 0)
        loader_warn(l, "no replacement text: using empty string");
    if (l->o->flags & TABLE_BASE64) {
        if (source_value_of_files(result, l->a, &from_file, &why) != RC_OK)
            return SKIP(l, "%s: skipping this rule", why.text);
        result = from_file;
    }
    if (compile_result(r, result, l->a, &why) != RC_OK) {
        loader_warn(l, "%s", why.text);
        return SKIP(l, "bad replacement syntax: skipping this rule");
    }
    if (r->groups > 0 && r->negated)
        return SKIP(l, "$number found in negative match replacement text: skipping this rule");
    if (r->groups > 0 && (l->o->flags & TABLE_NO_SUBSTITUTE))
        return SKIP(l, "regular expression substitution is not allowed: skipping this rule");
    return compile_pattern(l, r, pattern, flags);
}

static void load_line(struct loader *l, struct str line)
{
    struct rule r = {.line = l->line};
    bool fits;

    if (rule_is_keyword(line, STR("endif"))) {
        load_endif(l, str_trim(str_from(line, 5)));
        return;
    }
    if (rule_is_keyword(line, STR("if"))) {
        fits = load_if(l, &r, str_trim(str_from(line, 2)));
    } else if (is_alnum(line.p[0])) {
        loader_warn(l, "ignoring unrecognized request");
        return;
    } else {
        fits = load_match(l, &r, line);
    }
    if (fits)
        vec_add(l->a, &l->rules, r);
}

enum rc rules_open(const struct rule_language *language, struct driver_open *o, struct why *why)
{
    struct loader l = {.language = language, .o = o, .a = o->arena};
    struct rules *r;
    struct source source;
    struct str text, line;

    TRY(rule_text_read(o, &text, why));
    l.map = arena_printf(o->arena, "%s map " STR_FMT, language->type, STR_ARG(o->name));
    source_init(&source, text);
    while (source_next(&source, o->arena, &line)) {
        l.line = source.first_line;
        load_line(&l, str_ltrim(line));
    }
    while (l.open_ifs.n) {
        struct rule *open = &l.rules.v[l.open_ifs.v[--l.open_ifs.n]];
        l.line = open->line;
        loader_warn(&l, "IF has no matching ENDIF");
        open->otherwise = l.rules.n;
    }
    r = arena_new_of(o->arena, struct rules);
    *r = (struct rules){language, l.rules.v, l.rules.n, l.map};
    o->state = r;
    return RC_OK;
}

/* ---- lookup ---- */

enum rc rules_get(const struct rules *r, struct str key, struct arena *a, struct str *value,
                  struct why *why)
{
    for (size_t i = 0; i < r->n;) {
        const struct rule *rule = &r->list[i];
        size_t n = rule->groups > 0 ? (size_t)rule->groups + 1 : 0;
        struct rule_span *spans = n ? arena_array(a, struct rule_span, n) : NULL;
        enum rc rc = r->language->match(rule->compiled, key, spans, n, why);
        bool matches;

        if (rc != RC_OK && rc != RC_NONE) {
            why_prefix(why, STR_FMT ", line %ld", STR_ARG(r->map), rule->line);
            return RC_TEMP;
        }
        matches = (rc == RC_OK) != rule->negated;
        if (matches && rule->kind == RULE_MATCH) {
            *value = expand_result(rule, key, spans, a);
            return RC_OK;
        }
        i = rule->kind == RULE_IF && !matches ? rule->otherwise : i + 1;
    }
    return RC_NONE;
}
