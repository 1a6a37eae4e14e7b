#include "global/format.h"

#include <limits.h>

#include "util/buf.h"

enum { RESULT_MAX = 8192, NO_END = 1 << 20 };

struct part { /* what stands between the braces */
    struct str name;
    long begin, end; /* inclusive; NO_END: all that is left */
    struct str modifiers;
};

bool format_is_used(struct str text)
{
    return str_find(text, STR("%{")) >= 0;
}

static enum rc parse_range(struct str range, struct part *p, struct why *why)
{
    struct str end = range, begin = str_cut(&end, ':');
    bool single = end.p == NULL;

    if (begin.n && !str_to_long(begin, -NO_END, NO_END, &p->begin))
        return FAIL(why, RC_PERM, "bad range [" STR_FMT "]", STR_ARG(range));
    if (single)
        p->end = p->begin;
    else if (end.n && !str_to_long(end, -NO_END, NO_END, &p->end))
        return FAIL(why, RC_PERM, "bad range [" STR_FMT "]", STR_ARG(range));
    return RC_OK;
}

static enum rc parse(struct str text, struct part *p, struct why *why)
{
    ssize_t end = str_index_any(text, "[:");

    *p = (struct part){.name = end < 0 ? text : str_head(text, (size_t)end), .end = NO_END};
    if (end < 0)
        return RC_OK;
    text = str_from(text, (size_t)end);
    if (text.p[0] == '[') {
        struct str rest = str_from(text, 1), range = str_cut(&rest, ']');
        if (rest.p == NULL)
            return FAIL(why, RC_PERM, "']' is missing in " STR_FMT, STR_ARG(text));
        TRY(parse_range(range, p, why));
        text = rest;
    }
    if (text.n == 0)
        return RC_OK;
    if (text.p[0] != ':')
        return FAIL(why, RC_PERM, "unexpected " STR_FMT, STR_ARG(text));
    p->modifiers = str_from(text, 1);
    return RC_OK;
}

/* user+ext@domain without +ext */
static struct str strip(struct arena *a, struct str value, struct str delimiters)
{
    ssize_t at = str_rindex(value, '@');
    struct str user = at < 0 ? value : str_head(value, (size_t)at);
    ssize_t cut = delimiters.n ? str_index_any(user, delimiters.p) : -1;

    if (cut <= 0)
        return value;
    user = str_head(user, (size_t)cut);
    return at < 0 ? user : arena_join(a, user, str_from(value, (size_t)at));
}

static enum rc modify(struct arena *a, struct str modifiers, struct str delimiters,
                      struct str *value, bool *raw, struct why *why)
{
    struct str word;

    while (modifiers.p) {
        word = str_cut(&modifiers, '|');
        if (str_eq(word, STR("lowercase"))) {
            *value = arena_lower(a, *value);
        } else if (str_eq(word, STR("uppercase"))) {
            *value = arena_copy(a, *value);
            str_upper_bytes((char *)value->p, value->n);
        } else if (str_eq(word, STR("strip"))) {
            *value = strip(a, *value, delimiters);
        } else if (str_eq(word, STR("raw"))) {
            *raw = true;
        } else {
            return FAIL(why, RC_PERM, "unknown modifier " STR_FMT, STR_ARG(word));
        }
    }
    return RC_OK;
}

static bool is_safe(char c)
{
    return is_alnum(c) || (c & 0x80) || (c != '\0' && strchr("@._+=,:-", c) != NULL);
}

static struct str make_safe(struct arena *a, struct str value)
{
    char *text = arena_text(a, value);

    for (size_t i = 0; i < value.n; i++)
        if (!is_safe(text[i]))
            text[i] = ':';
    return (struct str){text, value.n};
}

static enum rc cut(const struct part *p, struct str *value, struct why *why)
{
    long n = (long)value->n, begin = p->begin, end = p->end;

    if (n == 0)
        return RC_OK;
    if (end >= n)
        end = n - 1;
    if (begin < 0)
        begin += n;
    if (end < 0)
        end += p->begin == p->end ? n : n - 1;
    if (begin < 0 || begin >= n || end < begin)
        return FAIL(why, RC_PERM, "%%{" STR_FMT "}: \"" STR_FMT "\" has no such part",
                    STR_ARG(p->name), STR_ARG(*value));
    *value = (struct str){value->p + begin, (size_t)(end - begin + 1)};
    return RC_OK;
}

static enum rc expand_one(struct arena *a, struct str text, format_lookup *lookup, void *context,
                          struct str delimiters, struct buf *out, struct why *why)
{
    struct part p;
    struct str value;
    bool raw = false;

    TRY(parse(text, &p, why));
    value = lookup(context, p.name, &raw);
    if (value.p == NULL)
        return FAIL(why, RC_PERM, "unknown name %%{" STR_FMT "}", STR_ARG(p.name));
    TRY(modify(a, p.modifiers, delimiters, &value, &raw, why));
    if (!raw)
        value = make_safe(a, value);
    TRY(cut(&p, &value, why));
    buf_add(out, value);
    return RC_OK;
}

enum rc format_expand(struct arena *a, struct str text, format_lookup *lookup, void *context,
                      struct str delimiters, struct str *out, struct why *why)
{
    AUTO_BUF b;

    buf_init(&b, RESULT_MAX);
    while (text.n) {
        ssize_t start = str_find(text, STR("%{"));
        struct str rest;
        if (start < 0)
            break;
        buf_add(&b, str_head(text, (size_t)start));
        rest = str_from(text, (size_t)start + 2);
        text = str_cut(&rest, '}');
        if (rest.p == NULL)
            return FAIL(why, RC_PERM, "'}' is missing");
        TRY(expand_one(a, text, lookup, context, delimiters, &b, why));
        text = rest;
    }
    buf_add(&b, text);
    if (b.over)
        return FAIL(why, RC_PERM, "longer than %d bytes", RESULT_MAX);
    *out = arena_copy(a, buf_str(&b));
    return RC_OK;
}
