#include "global/mime_part.h"

#include "global/header.h"

struct scanner {
    struct str in;
    struct arena *arena;
};

static void skip_blanks(struct str *s)
{
    int depth = 0;

    while (s->n) {
        char c = s->p[0];
        if (depth && c == '\\' && s->n > 1)
            *s = str_from(*s, 1);
        else if (c == '(')
            depth++;
        else if (c == ')' && depth)
            depth--;
        else if (depth == 0 && !is_white(c))
            return;
        *s = str_from(*s, 1);
    }
}

/* Token, quoted string (without its quotes), or a single special byte. False at the end. */
static bool next_token(struct scanner *s, struct str *token)
{
    size_t n = 0;

    skip_blanks(&s->in);
    if (s->in.n == 0)
        return false;
    if (s->in.p[0] == '"') {
        char *p = arena_alloc(s->arena, s->in.n);
        size_t i = 1;
        for (; i < s->in.n && s->in.p[i] != '"'; i++) {
            if (s->in.p[i] == '\\' && i + 1 < s->in.n)
                i++;
            if (s->in.p[i] != '\n')
                p[n++] = s->in.p[i];
        }
        *token = (struct str){p, n};
        s->in = str_from(s->in, i + 1);
        return true;
    }
    while (n < s->in.n && !is_white(s->in.p[n]) &&
           memchr("()<>@,;:\\\"/[]=", s->in.p[n], 14) == NULL)
        n++;
    n = n ? n : 1;
    *token = str_head(s->in, n);
    s->in = str_from(s->in, n);
    return true;
}

static void content_type(struct mime_part *part, struct str body, struct arena *a)
{
    struct scanner s = {body, a};
    struct str type = STR_NONE, slash = STR_NONE, subtype = STR_NONE, token, previous = STR_NONE;

    part->kind = MIME_LEAF;
    part->boundary = STR_NONE;
    part->digest = false;
    if (!next_token(&s, &type) || !next_token(&s, &slash) || !str_eq(slash, STR("/")) ||
        !next_token(&s, &subtype))
        return;
    if (str_eq_nocase(type, STR("message"))) {
        if (str_eq_nocase(subtype, STR("rfc822")) || str_eq_nocase(subtype, STR("global")))
            part->kind = MIME_MESSAGE;
        return;
    }
    if (!str_eq_nocase(type, STR("multipart")))
        return;
    part->kind = MIME_MULTIPART;
    part->digest = str_eq_nocase(subtype, STR("digest"));
    while (next_token(&s, &token)) {
        if (str_eq(token, STR("=")) && str_eq_nocase(previous, STR("boundary")) &&
            part->boundary.n == 0 && next_token(&s, &token))
            part->boundary = arena_copy(a, str_rtrim(token));
        previous = token;
    }
}

static void content_encoding(struct mime_part *part, struct str body, struct arena *a)
{
    struct scanner s = {body, NULL};
    struct str token;

    skip_blanks(&s.in);
    part->encoded = false;
    part->domain = MIME_7BIT;
    if (s.in.n == 0 || s.in.p[0] == '"' || !next_token(&s, &token))
        return;
    if (str_eq_nocase(token, STR("8bit")))
        part->domain = MIME_8BIT;
    else if (str_eq_nocase(token, STR("binary")))
        part->domain = MIME_BINARY;
    else if (!str_eq_nocase(token, STR("7bit"))) {
        part->encoded = true;
        part->encoding = arena_copy(a, token);
    }
}

bool mime_part_header(struct mime_part *part, struct str header, struct arena *a)
{
    const struct header_field *f;

    if (to_lower(header.p[0]) != 'c')
        return false;
    f = header_find(str_head(header, header_name_length(header)));
    if (f && f->type == HEADER_IS_CONTENT_TYPE)
        content_type(part, header_body(header), a);
    else if (f && f->type == HEADER_IS_CONTENT_ENCODING)
        content_encoding(part, header_body(header), a);
    return f && f->type == HEADER_IS_CONTENT_ENCODING;
}

/* ---- quoted-printable ---- */

enum { QP_LINE_MAX = 76 };

static void qp_add(struct quoted_printable *q, const char *bytes, size_t n,
                   void (*put)(void *context, struct str line, bool more), void *context)
{
    if (q->column + n >= QP_LINE_MAX) { /* leave room for the '=' of a soft line break */
        q->line[q->column++] = '=';
        put(context, (struct str){q->line, q->column}, false);
        q->column = 0;
    }
    memcpy(q->line + q->column, bytes, n);
    q->column += n;
}

void quoted_printable_line(struct quoted_printable *q, struct str line, bool more,
                           void (*put)(void *context, struct str line, bool more), void *context)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];
        bool at_end = i + 1 == line.n; /* also before the rest of a long line: does no harm */
        if ((c >= '!' && c <= '~' && c != '=') || (is_blank((char)c) && !at_end)) {
            qp_add(q, &line.p[i], 1, put, context);
        } else {
            char code[3] = {'=', hex[c >> 4], hex[c & 15]};
            qp_add(q, code, sizeof code, put, context);
        }
    }
    if (!more) {
        put(context, (struct str){q->line, q->column}, false);
        q->column = 0;
    }
}
