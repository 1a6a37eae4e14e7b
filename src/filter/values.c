/* Values that a condition compares with: words with wild cards, networks, regular expressions. */
#include <fnmatch.h>

#include "filter/filter.h"
#include "util/file.h"
#include "util/regex.h"

enum { FILE_MAX_BYTES = 256 * 1024 * 1024, TEXT_MAX_BYTES = 1024 };

struct value {
    struct str text; /* lower case unless a regular expression; NUL-terminated */
    struct network network;
    const regex_t *regex;
};

struct filter_values {
    enum filter_kind kind;
    bool is_regex;
    VEC(struct value *) list;
};

static enum rc add(struct filter_values *v, struct str text, struct arena *a, struct why *why)
{
    struct value *x = arena_new_of(a, struct value);

    x->text = v->is_regex ? arena_copy(a, text) : arena_lower(a, text);
    if (v->is_regex) {
        TRY(regex_compile(a, x->text, &x->regex, why));
    } else if (v->kind == KIND_NETWORK && !str_eq(x->text, STR("local"))) {
        struct why words;
        if (network_parse(x->text, &x->network, &words) != RC_OK)
            return FAIL(why, RC_CONFIG, "%s", words.text);
    }
    vec_add(a, &v->list, x);
    return RC_OK;
}

/* A word in double quotes, in which a backslash takes the meaning of the next byte away. */
static struct str take_quoted(struct str *rest, struct arena *a)
{
    char *word = arena_alloc(a, rest->n + 1);
    size_t n = 0, i = 1;

    for (; i < rest->n && rest->p[i] != '"'; i++) {
        i += rest->p[i] == '\\' && i + 1 < rest->n;
        word[n++] = rest->p[i];
    }
    *rest = str_from(*rest, i + 1);
    return (struct str){word, n};
}

static enum rc read_inline(struct filter_values *v, struct str text, struct arena *a,
                           struct why *why)
{
    for (;;) {
        struct str word;
        while (text.n && strchr(LIST_SEPARATORS, text.p[0]))
            text = str_from(text, 1);
        if (text.n == 0)
            return RC_OK;
        if (text.p[0] == '"')
            word = take_quoted(&text, a);
        else if (!str_token(&text, LIST_SEPARATORS, &word))
            return RC_OK;
        TRY(add(v, word, a, why));
    }
}

static enum rc read_values(struct filter_values *v, struct str path, struct arena *a,
                           struct why *why)
{
    struct str text, line, word;
    struct why words;

    if (file_read(arena_text(a, path), FILE_MAX_BYTES, a, &text, &words) != RC_OK)
        return FAIL(why, RC_CONFIG, "%s", words.text);
    while (text.n) {
        line = str_cut(&text, '\n');
        line = str_trim(line);
        if (line.n && line.p[0] != '#' && str_token(&line, v->is_regex ? "\n" : " \t", &word))
            TRY(add(v, word, a, why));
    }
    return RC_OK;
}

enum rc filter_values_parse(struct str table, enum filter_kind kind, bool is_regex, struct arena *a,
                            struct filter_values **out, struct why *why)
{
    struct filter_values *v = arena_new_of(a, struct filter_values);

    v->kind = kind;
    v->is_regex = is_regex;
    if (table.n > 1 && table.p[0] == '{' && table.p[table.n - 1] == '}')
        TRY(read_inline(v, (struct str){table.p + 1, table.n - 2}, a, why));
    else if (table.n && table.p[0] == '/')
        TRY(read_values(v, table, a, why));
    else
        return FAIL(why, RC_CONFIG, "table \"" STR_FMT "\" is neither { ... } nor an absolute path",
                    STR_ARG(table));
    *out = v;
    return RC_OK;
}

/* "*" matches any bytes. Both are short: parts of a mail address. */
static bool is_like(struct str pattern, struct str text)
{
    char p[TEXT_MAX_BYTES], t[TEXT_MAX_BYTES];

    if (str_eq_nocase(pattern, text))
        return true;
    if (str_index(pattern, '*') < 0 || pattern.n >= sizeof p || text.n >= sizeof t)
        return false;
    memcpy(p, pattern.p, pattern.n);
    p[pattern.n] = '\0';
    if (text.n)
        memcpy(t, text.p, text.n);
    t[text.n] = '\0';
    return fnmatch(p, t, FNM_CASEFOLD | FNM_NOESCAPE) == 0;
}

/* user@domain, @domain, user, each with "*". */
static bool is_like_mail(struct str pattern, struct str text)
{
    ssize_t at = str_rindex(pattern, '@'), mine = str_rindex(text, '@');
    struct str user = mine < 0 ? text : str_head(text, (size_t)mine);
    struct str domain = mine < 0 ? STR_NONE : str_from(text, (size_t)mine + 1);

    if (str_eq(pattern, STR("*")))
        return true;
    if (at < 0)
        return is_like(pattern, user);
    return is_like(str_from(pattern, (size_t)at + 1), domain) &&
           (at == 0 || is_like(str_head(pattern, (size_t)at), user));
}

static bool has_regex(const struct value *x, struct str text)
{
    char copy[TEXT_MAX_BYTES];

    if (text.n >= sizeof copy)
        return false;
    if (text.n)
        memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return regexec(x->regex, copy, 0, NULL, 0) == 0;
}

bool filter_values_have(const struct filter_values *v, struct str text, const struct addr *address)
{
    for (size_t i = 0; i < v->list.n; i++) {
        const struct value *x = v->list.v[i];
        bool found;
        if (v->is_regex)
            found = has_regex(x, text);
        else if (v->kind == KIND_NETWORK)
            found = x->network.base.bytes ? address && network_has(&x->network, address)
                                          : str_eq(x->text, text);
        else if (v->kind == KIND_MAIL)
            found = is_like_mail(x->text, text);
        else
            found = is_like(x->text, text);
        if (found)
            return true;
    }
    return false;
}

static bool holds(const struct filter_condition *c, const struct filter_facts *f)
{
    char address[ADDR_TEXT_SIZE] = "";
    struct str text;

    switch (c->fact) {
    case FACT_FCRDNS: return f->fcrdns;
    case FACT_RDNS: text = f->rdns; break;
    case FACT_SRC:
        if (f->address)
            addr_format(f->address, address);
        text = str_of(address[0] ? address : "local");
        break;
    case FACT_HELO: text = f->helo; break;
    case FACT_AUTH: text = f->user; break;
    case FACT_MAIL_FROM: text = f->mail_from; break;
    case FACT_RCPT_TO: text = f->rcpt_to; break;
    }
    if (c->values == NULL)
        return text.n > 0;
    if ((c->fact == FACT_RDNS || c->fact == FACT_AUTH) && text.n == 0)
        return false;
    return filter_values_have(c->values, text, f->address);
}

bool filter_matches(const struct filter *f, const struct filter_facts *facts)
{
    for (size_t i = 0; i < f->n_conditions; i++)
        if (holds(&f->conditions[i], facts) == f->conditions[i].negated)
            return false;
    return true;
}
