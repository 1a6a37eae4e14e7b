#include "global/address.h"

struct address_parts address_split(struct str internal)
{
    ssize_t at = str_rindex(internal, '@');

    if (at < 0)
        return (struct address_parts){.local = internal};
    return (struct address_parts){str_head(internal, (size_t)at), str_from(internal, at + 1), true};
}

struct str address_join(struct arena *a, struct str local, struct str domain)
{
    char *p = arena_alloc(a, local.n + domain.n + 2);

    if (local.n)
        memcpy(p, local.p, local.n);
    p[local.n] = '@';
    if (domain.n)
        memcpy(p + local.n + 1, domain.p, domain.n);
    return (struct str){p, local.n + 1 + domain.n};
}

/* RFC 5322 3.2.3 atext, and every byte above 127 (RFC 6531). */
bool address_fits(struct str local, struct str domain, struct str pattern)
{
    ssize_t at = str_rindex(pattern, '@');
    struct str user = at < 0 ? pattern : str_head(pattern, (size_t)at);
    struct str where = at < 0 ? STR("") : str_from(pattern, (size_t)at + 1);

    return (user.n == 0 || str_fits(local, user)) && (where.n == 0 || str_fits(domain, where));
}

bool address_is_atom_byte(char c)
{
    unsigned char u = (unsigned char)c;

    return u > ' ' && u != 127 && memchr("()<>[]:;@\\,.\"", c, 13) == NULL;
}

static bool is_dot_string(struct str local)
{
    bool after_dot = true; /* or at the start */

    for (size_t i = 0; i < local.n; i++) {
        if (local.p[i] == '.') {
            if (after_dot)
                return false;
            after_dot = true;
        } else if (address_is_atom_byte(local.p[i])) {
            after_dot = false;
        } else {
            return false;
        }
    }
    return !after_dot;
}

/* RFC 5321 4.1.2 wants a backslash also before bytes that are no printable ASCII. */
static struct str quote(struct arena *a, struct str internal, bool smtp)
{
    struct address_parts parts = address_split(internal);
    struct str local = parts.local;
    char *p;
    size_t n = 0;

    if (internal.n == 0 || is_dot_string(local))
        return internal;
    p = arena_alloc(a, internal.n + local.n + 3);
    p[n++] = '"';
    for (size_t i = 0; i < local.n; i++) {
        unsigned char c = (unsigned char)local.p[i];
        if (c == '"' || c == '\\' || c == '\r' || (smtp && (c < ' ' || c == 127)))
            p[n++] = '\\';
        p[n++] = local.p[i];
    }
    p[n++] = '"';
    if (parts.has_domain)
        p[n++] = '@';
    if (parts.domain.n)
        memcpy(p + n, parts.domain.p, parts.domain.n);
    return (struct str){p, n + parts.domain.n};
}

struct str address_quote(struct arena *a, struct str internal)
{
    return quote(a, internal, true);
}

struct str address_quote_822(struct arena *a, struct str internal)
{
    return quote(a, internal, false);
}

/* Where the domain starts: behind the last '@' that no quote covers; length when there is none. */
static size_t domain_start(struct str external)
{
    size_t start = external.n;
    bool quoted = false;

    for (size_t i = 0; i < external.n; i++) {
        char c = external.p[i];
        if (c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == '@' && !quoted)
            start = i;
    }
    return start;
}

struct str address_unquote(struct arena *a, struct str external)
{
    size_t start = domain_start(external), n = 0;
    char *p;

    if (str_index_any(str_head(external, start), "\"\\") < 0)
        return external;
    p = arena_alloc(a, external.n + 1);
    for (size_t i = 0; i < start; i++) {
        if (external.p[i] == '"')
            continue;
        if (external.p[i] == '\\' && i + 1 < start)
            i++;
        p[n++] = external.p[i];
    }
    if (start < external.n)
        memcpy(p + n, external.p + start, external.n - start);
    return (struct str){p, n + external.n - start};
}

/* Names that an extension never belongs to: whoever splits them sends bounces to nowhere. */
static bool is_whole_name(struct str local, struct str delimiters)
{
    if (str_eq_nocase(local, STR("mailer-daemon")) || str_eq_nocase(local, STR("double-bounce")))
        return true;
    return str_index(delimiters, '-') >= 0 && (str_has_prefix_nocase(local, STR("owner-")) ||
                                               str_has_suffix_nocase(local, STR("-request")));
}

bool address_extension(struct str local, struct str delimiters, struct str *user,
                       struct str *extension)
{
    size_t at = 0;

    if (delimiters.n == 0)
        return false;
    while (at < local.n && str_index(delimiters, local.p[at]) < 0)
        at++;
    if (at == 0 || at == local.n || is_whole_name(local, delimiters))
        return false;
    *user = str_head(local, at);
    *extension = str_from(local, at + 1);
    return true;
}

struct str address_strip_extension(struct arena *a, struct str internal, struct str delimiters,
                                   struct str *extension)
{
    struct address_parts parts = address_split(internal);
    struct str user;

    *extension = STR_NONE;
    if (!address_extension(parts.local, delimiters, &user, extension))
        return internal;
    *extension = str_from(parts.local, user.n); /* with its delimiter */
    return parts.has_domain ? address_join(a, user, parts.domain) : user;
}

bool address_domain_is_literal(struct str domain)
{
    return domain.n >= 2 && domain.p[0] == '[' && domain.p[domain.n - 1] == ']';
}
