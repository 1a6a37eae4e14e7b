/*
 * Partial keys of mail addresses: which parts are looked up, in which order. Pattern tables see
 * the whole address only.
 */
#include "table/table.h"
#include "util/buf.h"

struct search {
    struct maps *maps;
    const struct address_keys *how;
    struct arena *a;
    struct str *value;
    struct why *why;
    struct str local, domain; /* of the address; has_domain false: no '@' */
    bool has_domain;
    struct str user; /* local part without extension; n == 0: it has none */
};

/* ---- parts ---- */

static bool is_dot_atom(struct str local)
{
    static const char specials[] = "()<>@,;:\\\"[]";

    if (local.n == 0 || local.p[0] == '.' || local.p[local.n - 1] == '.')
        return false;
    for (size_t i = 0; i < local.n; i++) {
        unsigned char c = (unsigned char)local.p[i];
        if (c <= ' ' || c == 0x7f || strchr(specials, c) ||
            (c == '.' && local.p[i + 1] == '.')) /* a '.' is never the last byte */
            return false;
    }
    return true;
}

/* External form of local@rest (rest may be empty text, "@" or "@domain"). */
static struct str quoted(struct arena *a, struct str local, struct str rest)
{
    char *out;
    size_t n = 0;

    if (is_dot_atom(local))
        return arena_join(a, local, rest);
    out = arena_alloc(a, 2 * local.n + 2 + rest.n + 1);
    out[n++] = '"';
    for (size_t i = 0; i < local.n; i++) {
        if (local.p[i] == '"' || local.p[i] == '\\' || local.p[i] == '\r')
            out[n++] = '\\';
        out[n++] = local.p[i];
    }
    out[n++] = '"';
    if (rest.n)
        memcpy(out + n, rest.p, rest.n);
    return (struct str){out, n + rest.n};
}

/* Names whose delimiter is a part of them. */
static bool is_reserved(struct str local, struct str delimiters)
{
    if (str_eq_nocase(local, STR("double-bounce")) || str_eq_nocase(local, STR("mailer-daemon")))
        return true;
    return str_index(delimiters, '-') >= 0 && (str_has_prefix_nocase(local, STR("owner-")) ||
                                               str_has_suffix_nocase(local, STR("-request")));
}

static struct str user_of(struct str local, struct str delimiters)
{
    size_t at = 0;

    while (at < local.n && str_index(delimiters, local.p[at]) < 0)
        at++;
    if (at == 0 || at == local.n || is_reserved(local, delimiters))
        return STR_NONE;
    return str_head(local, at);
}

/* ---- lookups ---- */

static enum rc lookup(struct search *s, struct str key, bool whole)
{
    return whole ? maps_get(s->maps, key, s->a, s->value, s->why)
                 : maps_get_fixed(s->maps, key, s->a, s->value, s->why);
}

/* local and rest together, in external form, then as they stand. */
static enum rc both_forms(struct search *s, struct str local, struct str rest, bool whole)
{
    struct str outer = quoted(s->a, local, rest), inner = arena_join(s->a, local, rest);
    enum rc rc = lookup(s, outer, whole);

    return rc == RC_NONE && !str_eq(outer, inner) ? lookup(s, inner, whole) : rc;
}

/* With extension, then without. */
static enum rc with_and_without(struct search *s, struct str rest, bool whole,
                                struct str *extension)
{
    enum rc rc = both_forms(s, s->local, rest, whole);

    if (rc != RC_NONE || s->user.n == 0)
        return rc;
    *extension = str_from(s->local, s->user.n);
    rc = both_forms(s, s->user, rest, false);
    if (rc != RC_OK)
        *extension = STR("");
    return rc;
}

static enum rc domain_and_parents(struct search *s)
{
    struct str name = s->domain;
    enum rc rc = lookup(s, name, false);

    while (rc == RC_NONE && name.n && name.p[0] != '[') { /* no parents of address literals */
        ssize_t dot = str_index(str_from(name, 1), '.');
        if (dot < 0)
            break;
        name = str_from(name, (size_t)dot + 1); /* ".parent" */
        if (name.n < 2)
            break;
        rc = lookup(s, s->how->dot_parents ? name : str_from(name, 1), false);
    }
    return rc;
}

static enum rc only_domain(struct search *s)
{
    if (s->how->plain_domain)
        return domain_and_parents(s);
    if (!s->how->with_domain_only)
        return RC_NONE;
    return lookup(s, arena_join(s->a, STR("@"), s->domain), false);
}

static bool is_local(const struct search *s)
{
    return s->how->is_local && s->how->is_local(s->how->context, s->domain);
}

static enum rc partial(struct search *s, struct str *extension)
{
    enum rc rc = RC_NONE;

    if (s->how->plain_domain) { /* access, transport: domains before users */
        rc = only_domain(s);
        return rc == RC_NONE && s->how->user_at ? with_and_without(s, STR("@"), false, extension)
                                                : rc;
    }
    if (is_local(s))
        rc = with_and_without(s, STR(""), false, extension);
    if (rc == RC_NONE) {
        rc = only_domain(s);
        if (rc == RC_OK && s->user.n)
            *extension = str_from(s->local, s->user.n);
    }
    return rc;
}

enum rc maps_get_address(struct maps *m, struct str address, const struct address_keys *how,
                         struct arena *a, struct str *value, struct str *extension, struct why *why)
{
    ssize_t at = str_rindex(address, '@');
    struct search s = {.maps = m, .how = how, .a = a, .value = value, .why = why};
    struct str rest = STR("");
    enum rc rc;

    *extension = STR("");
    if (maps_empty(m) || address.n == 0)
        return RC_NONE;
    s.local = at < 0 ? address : str_head(address, (size_t)at);
    if (at >= 0) {
        rest = str_from(address, (size_t)at);
        s.domain = str_from(rest, 1);
        s.has_domain = true;
    }
    s.user = user_of(s.local, how->delimiters);
    rc = with_and_without(&s, rest, true, extension);
    return rc == RC_NONE && s.has_domain ? partial(&s, extension) : rc;
}
