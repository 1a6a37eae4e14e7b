#include "global/text.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#include "util/buf.h"

void text_printable(char *p, size_t n, char replacement, bool utf8)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < ' ' || c == 127 || (c > 126 && !utf8))
            p[i] = replacement;
    }
}

/* ---- templates ---- */

enum { EXPAND_MAX = 256 * 1024, EXPAND_DEPTH = 20 };

struct expansion {
    struct arena *arena;
    struct buf *out;
    bool (*lookup)(void *context, struct str name, struct str *value);
    void *context;
    const char *allowed;
};

static bool is_name_byte(char c)
{
    return is_alnum(c) || c == '_';
}

static void add_value(struct expansion *x, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        bool fine = x->allowed == NULL || (c != '\0' && strchr(x->allowed, c));
        buf_addc(x->out, fine ? c : '_');
    }
}

/* Length of "{...}" or "(...)" at the start of s, brackets included; 0 when it does not end. */
static size_t bracketed(struct str s)
{
    char open = s.p[0], close = open == '{' ? '}' : ')';
    int depth = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == open)
            depth++;
        else if (s.p[i] == close && --depth == 0)
            return i + 1;
    }
    return 0;
}

static void expand(struct expansion *x, struct str t, int depth);

/* A branch of ${name?branch} may stand in braces of its own. */
static void expand_branch(struct expansion *x, struct str branch, int depth)
{
    struct str t = str_trim(branch);

    if (t.n && t.p[0] == '{' && bracketed(t) == t.n)
        branch = (struct str){t.p + 1, t.n - 2};
    expand(x, branch, depth + 1);
}

static void expand_conditional(struct expansion *x, struct str name, char kind, struct str rest,
                               int depth)
{
    struct str value = STR_NONE, yes = rest, no = STR_NONE, t = str_trim(rest);
    bool is_set = x->lookup(x->context, name, &value) && value.n > 0;

    if (kind == '?' && t.n && t.p[0] == '{') {
        size_t n = bracketed(t);
        struct str after = str_ltrim(str_from(t, n));
        if (n && after.n && after.p[0] == ':') {
            yes = str_head(t, n);
            no = str_from(after, 1);
        }
    }
    if (kind == '?' && is_set)
        expand_branch(x, yes, depth);
    else if (kind == '?')
        expand_branch(x, no, depth);
    else if (is_set)
        add_value(x, value);
    else
        expand_branch(x, rest, depth);
}

static void expand_named(struct expansion *x, struct str inside, int depth)
{
    struct str name = inside, value = STR_NONE;
    size_t n = 0;

    while (n < inside.n && is_name_byte(inside.p[n]))
        n++;
    name.n = n;
    while (n < inside.n && is_blank(inside.p[n]))
        n++;
    if (n == inside.n) {
        if (x->lookup(x->context, name, &value))
            add_value(x, value);
    } else if (inside.p[n] == '?' || inside.p[n] == ':') {
        expand_conditional(x, name, inside.p[n], str_from(inside, n + 1), depth);
    }
}

static void expand(struct expansion *x, struct str t, int depth)
{
    if (depth > EXPAND_DEPTH)
        return;
    while (t.n) {
        ssize_t at = str_index(t, '$');
        size_t n;
        if (at < 0 || (size_t)at + 1 >= t.n) {
            buf_add(x->out, t);
            return;
        }
        buf_add(x->out, str_head(t, (size_t)at));
        t = str_from(t, at + 1);
        if (t.p[0] == '$') {
            buf_addc(x->out, '$');
            n = 1;
        } else if ((t.p[0] == '{' || t.p[0] == '(') && (n = bracketed(t)) > 0) {
            expand_named(x, (struct str){t.p + 1, n - 2}, depth);
        } else {
            for (n = 0; n < t.n && is_name_byte(t.p[n]); n++)
                continue;
            if (n)
                expand_named(x, str_head(t, n), depth);
            else
                buf_addc(x->out, '$');
        }
        t = str_from(t, n);
    }
}

struct str text_expand(struct arena *a, struct str template,
                       bool (*lookup)(void *context, struct str name, struct str *value),
                       void *context, const char *allowed)
{
    AUTO_BUF out;
    struct expansion x = {a, &out, lookup, context, allowed};

    buf_init(&out, EXPAND_MAX);
    if (memchr(template.p ? template.p : "", '$', template.n) == NULL)
        return template;
    expand(&x, template, 0);
    return arena_copy(a, buf_str(&out));
}

/* ---- IDNA ---- */

/*
 * libidn2 is opened only by the process that meets a name beyond ASCII: its tables are large. The
 * handle is never closed; opening again only counts.
 */
struct str domain_to_ascii(struct arena *a, struct str domain)
{
    struct str out = domain;
    int (*to_ascii)(const char *, char **, int) = NULL;
    char *result = NULL;
    void *library;

    if (str_is_ascii(domain) || memchr(domain.p, '\0', domain.n))
        return domain;
    library = dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library)
        *(void **)&to_ascii = dlsym(library, "idn2_lookup_u8");
    if (to_ascii && to_ascii(arena_text(a, domain), &result, 8 /* IDN2_NONTRANSITIONAL */) == 0)
        out = arena_copy(a, str_of(result));
    free(result); /* libidn2 allocates with malloc */
    if (library)
        dlclose(library);
    return out;
}
