/* Paths of MAIL FROM and RCPT TO (RFC 5321 4.1.2), and the sloppy forms that occur in the wild. */
#include "global/address.h"

/* Length of what belongs to the path: up to a blank outside quotes, brackets and comments. */
static size_t path_length(struct str text)
{
    bool quoted = false;
    int angle = 0, comment = 0;
    size_t i;

    for (i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\\')
            i++;
        else if (quoted)
            quoted = c != '"';
        else if (c == '(')
            comment++;
        else if (c == ')' && comment)
            comment--;
        else if (comment)
            continue;
        else if (c == '"')
            quoted = true;
        else if (c == '<')
            angle++;
        else if (c == '>' && angle)
            angle--;
        else if (is_blank(c) && angle == 0)
            break;
    }
    return i < text.n ? i : text.n;
}

struct scan {
    struct str in;
    size_t at;
    bool utf8, strict;
    char *out; /* room for all of in */
    size_t n;
};

static enum rc bad(struct why *why, const char *what)
{
    return FAIL(why, RC_PERM, "bad address syntax: %s", what);
}

/* Skip blanks and comments; strict: there may be none. */
static enum rc skip(struct scan *s, struct why *why)
{
    int depth = 0;
    size_t start = s->at;

    for (; s->at < s->in.n; s->at++) {
        char c = s->in.p[s->at];
        if (depth && c == '\\')
            s->at++;
        else if (c == '(')
            depth++;
        else if (c == ')' && depth)
            depth--;
        else if (!depth && !is_blank(c))
            break;
    }
    if (s->at > s->in.n)
        s->at = s->in.n;
    if (depth)
        return bad(why, "unterminated comment");
    return s->strict && s->at > start ? bad(why, "blank or comment") : RC_OK;
}

static char peek(const struct scan *s)
{
    return s->at < s->in.n ? s->in.p[s->at] : '\0';
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 127;
}

static enum rc scan_quoted(struct scan *s, struct why *why)
{
    for (s->at++; s->at < s->in.n; s->at++) {
        char c = s->in.p[s->at];
        if (c == '"') {
            s->at++;
            return RC_OK;
        }
        if (c == '\\' && ++s->at < s->in.n)
            c = s->in.p[s->at];
        if (is_control(c) && c != '\t')
            return bad(why, "control character");
        s->out[s->n++] = c;
    }
    return bad(why, "unterminated quote");
}

/* One word: atom (a backslash protects a byte, an obsolete form) or quoted string. */
static enum rc scan_word(struct scan *s, bool domain, struct why *why)
{
    size_t start = s->n;

    if (peek(s) == '"')
        return scan_quoted(s, why);
    for (; s->at < s->in.n; s->at++) {
        char c = s->in.p[s->at];
        if (c == '\\' && !s->strict && !domain && s->at + 1 < s->in.n &&
            !is_control(s->in.p[s->at + 1]))
            c = s->in.p[++s->at];
        else if (!address_is_atom_byte(c))
            break;
        s->out[s->n++] = c;
    }
    return s->n > start ? RC_OK : bad(why, "unexpected character");
}

static enum rc scan_literal(struct scan *s, struct why *why)
{
    do {
        char c = peek(s);
        if (is_control(c) || c == '@')
            return bad(why, "malformed domain literal");
        s->out[s->n++] = c;
        s->at++;
    } while (s->out[s->n - 1] != ']');
    return RC_OK;
}

/* Words joined by '.', each with blanks around it where that is tolerated. */
static enum rc scan_dotted(struct scan *s, bool domain, struct why *why)
{
    for (;;) {
        TRY(skip(s, why));
        if (peek(s) == '.' && !s->strict) { /* leading, trailing or double: what others send */
            s->out[s->n++] = '.';
            s->at++;
            continue;
        }
        if (domain && peek(s) == '[')
            TRY(scan_literal(s, why));
        else if (address_is_atom_byte(peek(s)) || (!domain && (peek(s) == '"' || peek(s) == '\\')))
            TRY(scan_word(s, domain, why));
        else
            return s->strict ? bad(why, "missing word") : RC_OK;
        TRY(skip(s, why));
        if (peek(s) != '.')
            return RC_OK;
        s->out[s->n++] = '.';
        s->at++;
    }
}

/* "@a,@b:" (RFC 5321 appendix C) is dropped. */
static enum rc skip_route(struct scan *s, struct why *why)
{
    ssize_t colon;

    TRY(skip(s, why));
    if (peek(s) != '@')
        return RC_OK;
    colon = str_index(str_from(s->in, s->at), ':');
    if (s->strict || colon < 0)
        return bad(why, "source route");
    s->at += (size_t)colon + 1;
    return RC_OK;
}

static enum rc scan_address(struct scan *s, struct why *why)
{
    TRY(skip_route(s, why));
    if (s->at == s->in.n)
        return RC_OK; /* <> */
    TRY(scan_dotted(s, false, why));
    if (s->n == 0 && s->in.p[s->at ? s->at - 1 : 0] != '"')
        return bad(why, "no local part");
    if (peek(s) != '@' && memchr(s->out, '@', s->n))
        return bad(why, "no domain"); /* the internal form could not tell the quoted '@' */
    while (peek(s) == '@') {
        s->out[s->n++] = '@';
        s->at++;
        TRY(scan_dotted(s, true, why));
        if (s->strict)
            break;
    }
    TRY(skip(s, why));
    return s->at == s->in.n ? RC_OK : bad(why, "unexpected character");
}

/* "phrase <address> (comment)": what stands between the brackets; the whole when there are none. */
static enum rc inner(struct str path, bool strict, struct str *out, struct why *why)
{
    size_t open = path.n, close = path.n;
    bool quoted = false;

    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == '<' && !quoted && open == path.n)
            open = i;
        else if (c == '>' && !quoted && close == path.n)
            close = i;
    }
    if (open == path.n && close == path.n && !strict) {
        *out = path;
        return path.n ? RC_OK : bad(why, "no address");
    }
    if (open >= close || close == path.n)
        return bad(why, "unbalanced < >");
    if (strict && (open > 0 || close + 1 < path.n))
        return bad(why, "text outside < >");
    struct scan after = {.in = str_from(path, close + 1)};
    TRY(skip(&after, why));
    if (after.at < after.in.n)
        return bad(why, "text after >");
    *out = (struct str){path.p + open + 1, close - open - 1};
    return RC_OK;
}

enum rc address_parse_path(struct str text, bool strict, bool utf8, struct arena *a,
                           struct str *out, struct str *rest, struct why *why)
{
    struct str path = strict ? text : str_ltrim(text);
    struct scan s = {.utf8 = utf8, .strict = strict};
    struct str after;

    path = str_head(path, path_length(path));
    after = (struct str){path.p + path.n, (size_t)(text.p + text.n - path.p) - path.n};
    if (utf8 && !str_is_utf8(path))
        return bad(why, "malformed UTF-8");
    TRY(inner(path, strict, &s.in, why));
    s.out = arena_alloc(a, s.in.n + 1);
    TRY(scan_address(&s, why));
    *out = (struct str){s.out, s.n};
    *rest = str_ltrim(after);
    return RC_OK;
}
