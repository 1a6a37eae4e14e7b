#include "config/expand.h"

#include <limits.h>

#include "config/functions.h"

/* A place in a text between ${ and }. */
struct cursor {
    struct str rest;
};

struct run {
    const struct expander *e;
    struct why *why;
    int depth;
};

static enum rc expand(struct run *r, struct str text, struct buf *out);

static bool is_name_byte(char c)
{
    return is_alnum(c) || c == '_';
}

static struct str take_name(struct cursor *c)
{
    size_t n = 0;
    struct str name;

    while (n < c->rest.n && is_name_byte(c->rest.p[n]))
        n++;
    name = str_head(c->rest, n);
    c->rest = str_from(c->rest, n);
    return name;
}

static void skip_blanks(struct cursor *c)
{
    c->rest = str_ltrim(c->rest);
}

static bool at(const struct cursor *c, char wanted)
{
    return c->rest.n > 0 && c->rest.p[0] == wanted;
}

/* text begins with an opening bracket: bytes up to and including the matching one; 0 when there is
 * none. */
static size_t balanced(struct str text)
{
    char opening = text.p[0], closing = opening == '{' ? '}' : ')';
    size_t level = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == opening)
            level++;
        else if (text.p[i] == closing && --level == 0)
            return i + 1;
    }
    return 0;
}

/* Take "{payload}" and the blanks behind it. */
static enum rc take_braced(struct run *r, struct cursor *c, struct str *payload)
{
    size_t n = balanced(c->rest);

    if (n == 0)
        return FAIL(r->why, RC_PERM, "no closing brace for \"" STR_FMT "\"", STR_ARG(c->rest));
    *payload = (struct str){c->rest.p + 1, n - 2};
    c->rest = str_from(c->rest, n);
    skip_blanks(c);
    return RC_OK;
}

static enum rc unexpected(struct run *r, struct cursor *c, const char *wanted)
{
    return FAIL(r->why, RC_PERM, "%s at \"" STR_FMT "\"", wanted, STR_ARG(c->rest));
}

/* What follows a condition: "?text", "?{one}:other", ":text" or nothing. is_braced: "?" alone has
 * two forms. */
static enum rc expand_branch(struct run *r, struct cursor *c, bool condition, struct buf *out)
{
    bool on_true = at(c, '?');
    struct str one, other = STR("");

    c->rest = str_from(c->rest, 1);
    if (str_ltrim(c->rest).n == 0 || str_ltrim(c->rest).p[0] != '{') {
        /* no braces: all that follows is the text, blanks included */
        return condition == on_true ? expand(r, c->rest, out) : RC_OK;
    }
    skip_blanks(c);
    TRY(take_braced(r, c, &one));
    if (!on_true) {
        if (c->rest.n)
            return unexpected(r, c, "unexpected text");
        return condition ? RC_OK : expand(r, one, out);
    }
    if (c->rest.n && !at(c, ':'))
        return unexpected(r, c, "\":\" expected");
    if (c->rest.n) {
        c->rest = str_from(c->rest, 1);
        other = c->rest;
        skip_blanks(c);
        if (at(c, '{')) {
            TRY(take_braced(r, c, &other));
            if (c->rest.n)
                return unexpected(r, c, "unexpected text");
        } else {
            other = c->rest;
        }
    }
    return expand(r, condition ? one : other, out);
}

enum comparison { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GE, OP_GT };

static const struct {
    struct str text;
    enum comparison op;
} operators[] = {
    {STR_INIT("=="), OP_EQ}, {STR_INIT("!="), OP_NE}, {STR_INIT("<="), OP_LE},
    {STR_INIT(">="), OP_GE}, {STR_INIT("<"), OP_LT},  {STR_INIT(">"), OP_GT},
};

static enum rc take_operator(struct run *r, struct cursor *c, enum comparison *op, bool *is_level)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!str_has_prefix(c->rest, operators[i].text))
            continue;
        c->rest = str_from(c->rest, operators[i].text.n);
        *op = operators[i].op;
        *is_level = str_has_prefix(c->rest, STR("level"));
        if (*is_level)
            c->rest = str_from(c->rest, 5);
        skip_blanks(c);
        return RC_OK;
    }
    return unexpected(r, c, "one of == != < <= >= > expected");
}

static bool holds(enum comparison op, int order)
{
    switch (op) {
    case OP_EQ: return order == 0;
    case OP_NE: return order != 0;
    case OP_LT: return order < 0;
    case OP_LE: return order <= 0;
    case OP_GE: return order >= 0;
    case OP_GT: return order > 0;
    }
    return false;
}

static int compare_values(struct str a, struct str b)
{
    long x, y;

    if (str_is_digits(a) && str_is_digits(b) && str_to_long(a, 0, LONG_MAX, &x) &&
        str_to_long(b, 0, LONG_MAX, &y))
        return (x > y) - (x < y);
    return str_cmp(a, b);
}

/* c stands at "{x} OP {y}". */
static enum rc take_comparison(struct run *r, struct cursor *c, bool *result)
{
    struct str left, right;
    AUTO_BUF a, b;
    enum comparison op;
    bool is_level;
    int order = 0;

    buf_init(&a, EXPAND_MAX);
    buf_init(&b, EXPAND_MAX);
    TRY(take_braced(r, c, &left));
    TRY(take_operator(r, c, &op, &is_level));
    if (!at(c, '{'))
        return unexpected(r, c, "\"{\" expected");
    TRY(take_braced(r, c, &right));
    TRY(expand(r, left, &a));
    TRY(expand(r, right, &b));
    if (is_level)
        TRY(level_compare(buf_str(&a), buf_str(&b), &order, r->why));
    else
        order = compare_values(buf_str(&a), buf_str(&b));
    *result = holds(op, order);
    return RC_OK;
}

static enum rc expand_comparison(struct run *r, struct cursor *c, struct buf *out)
{
    bool result;

    TRY(take_comparison(r, c, &result));
    if (c->rest.n == 0) {
        if (result)
            buf_add(out, STR("true"));
        return RC_OK;
    }
    if (!at(c, '?') && !at(c, ':'))
        return unexpected(r, c, "\"?\" or \":\" expected");
    return expand_branch(r, c, result, out);
}

static enum rc look_up(struct run *r, struct str name, struct str *value);

static enum rc expand_function(struct run *r, struct str name, struct cursor *c, struct buf *out)
{
    struct str argument, directory = STR("");
    AUTO_BUF text;

    buf_init(&text, EXPAND_MAX);
    TRY(take_braced(r, c, &argument));
    if (c->rest.n)
        return unexpected(r, c, "unexpected text");
    TRY(expand(r, argument, &text));
    TRY(look_up(r, STR("config_directory"), &directory));
    return function_call(name, buf_str(&text), directory, out, r->why);
}

static enum rc look_up(struct run *r, struct str name, struct str *value)
{
    enum rc rc = r->e->lookup(r->e->context, name, value, r->why);

    if (rc == RC_NONE) {
        *value = STR("");
        rc = RC_OK;
    }
    return rc;
}

/* The inside of ${...} or $(...). */
static enum rc expand_bracketed(struct run *r, struct str inside, struct buf *out)
{
    struct cursor c = {str_ltrim(inside)};
    struct str name, value;

    if (at(&c, '{'))
        return expand_comparison(r, &c, out);
    name = take_name(&c);
    if (name.n == 0)
        return FAIL(r->why, RC_PERM, "no name in \"${" STR_FMT "}\"", STR_ARG(inside));
    if (at(&c, '{'))
        return expand_function(r, name, &c, out);
    skip_blanks(&c);
    if (c.rest.n && !at(&c, '?') && !at(&c, ':'))
        return unexpected(r, &c, "a name has letters, digits and _ only; wrong");
    TRY(look_up(r, name, &value));
    if (c.rest.n)
        return expand_branch(r, &c, value.n > 0, out);
    buf_add(out, value);
    return RC_OK;
}

static enum rc expand_dollar(struct run *r, struct str *rest, struct buf *out)
{
    struct str whole = *rest, value;
    struct cursor c = {str_from(*rest, 1)};

    if (at(&c, '$')) {
        *rest = str_from(c.rest, 1);
        buf_addc(out, '$');
        return RC_OK;
    }
    if (at(&c, '{') || at(&c, '(')) {
        size_t n = balanced(c.rest);
        if (n == 0)
            return FAIL(r->why, RC_PERM, "no closing bracket for \"" STR_FMT "\"", STR_ARG(whole));
        *rest = str_from(c.rest, n);
        return expand_bracketed(r, (struct str){c.rest.p + 1, n - 2}, out);
    }
    value = take_name(&c);
    if (value.n == 0)
        return FAIL(r->why, RC_PERM,
                    "no name after $ in \"" STR_FMT "\"; write $$ for a plain dollar sign",
                    STR_ARG(whole));
    *rest = c.rest;
    TRY(look_up(r, value, &value));
    buf_add(out, value);
    return RC_OK;
}

static enum rc expand(struct run *r, struct str text, struct buf *out)
{
    ssize_t dollar;

    if (++r->depth > EXPAND_DEPTH)
        return FAIL(r->why, RC_PERM, "braces nested more than %d deep", EXPAND_DEPTH);
    while ((dollar = str_index(text, '$')) >= 0) {
        buf_add(out, str_head(text, (size_t)dollar));
        text = str_from(text, (size_t)dollar);
        TRY(expand_dollar(r, &text, out));
        if (out->over)
            return FAIL(r->why, RC_PERM, "longer than %d bytes", EXPAND_MAX);
    }
    buf_add(out, text);
    r->depth--;
    return RC_OK;
}

enum rc expand_text(const struct expander *e, struct str text, struct buf *out, struct why *why)
{
    struct run r = {.e = e, .why = why};

    TRY(expand(&r, text, out));
    if (out->over)
        return FAIL(why, RC_PERM, "longer than %zu bytes", out->max);
    return RC_OK;
}

bool expand_is_needed(struct str text)
{
    return str_index(text, '$') >= 0;
}

void expand_names(struct str text, void (*found)(void *context, struct str name), void *context)
{
    ssize_t dollar;

    while ((dollar = str_index(text, '$')) >= 0) {
        struct cursor c = {str_from(text, (size_t)dollar + 1)};
        struct str name;

        if (at(&c, '$')) {
            text = str_from(c.rest, 1);
            continue;
        }
        if (at(&c, '{') || at(&c, '('))
            c.rest = str_ltrim(str_from(c.rest, 1));
        name = take_name(&c);
        if (name.n && !at(&c, '{'))
            found(context, name);
        text = c.rest;
    }
}

/* "3", "3.6", "3.11.2" as numbers; missing ones are 0. */
static bool level_parse(struct str text, long level[3])
{
    int n = 0;

    level[0] = level[1] = level[2] = 0;
    while (text.p && n < 3) {
        struct str part = str_cut(&text, '.');
        if (!str_is_digits(part) || !str_to_long(part, 0, 1023, &level[n++]))
            return false;
    }
    return n > 0 && text.p == NULL;
}

enum rc level_compare(struct str a, struct str b, int *order, struct why *why)
{
    long x[3], y[3];
    struct str bad = a;

    if (!level_parse(a, x) || (bad = b, !level_parse(b, y)))
        return FAIL(why, RC_PERM,
                    "malformed compatibility level \"" STR_FMT "\"; write for example 3.6",
                    STR_ARG(bad));
    *order = 0;
    for (int i = 0; i < 3 && *order == 0; i++)
        *order = (x[i] > y[i]) - (x[i] < y[i]);
    return RC_OK;
}
