#include "wire/server.h"

void wire_content_begin(struct wire_content *c, struct wire_server *w)
{
    *c = (struct wire_content){.wire = w, .previous_crlf = true};
    buf_init(&c->partial, w->line_limit + 1); /* and a CR that may turn out to end the line */
}

void wire_content_done(struct wire_content *c)
{
    buf_done(&c->partial);
}

/* A "." alone: the end of the data, or text of a client that sends bare LF? */
static bool ends_data(const struct wire_content *c, bool crlf)
{
    return c->wire->bare_lf == BARE_LF_ALLOW || (crlf && c->previous_crlf);
}

/* Lines count with CRLF, whatever ended them. */
static void count(struct wire_content *c, struct str line, bool more)
{
    c->bytes += (long)line.n + (more ? 0 : 2);
}

enum rc wire_data_line(struct wire_content *c, struct str *line, bool *more, struct why *why)
{
    struct wire_server *w = c->wire;

    for (;;) {
        bool crlf, start = !c->continued, ends;
        enum rc rc = stream_line(&w->stream, w->line_limit, line, &crlf, why);
        if (rc != RC_OK && rc != RC_PERM)
            return rc;
        *more = c->continued = rc == RC_PERM;
        if (!*more && !crlf)
            w->saw_bare_lf = true;
        ends = start && !*more && line->n == 1 && line->p[0] == '.';
        if (ends && ends_data(c, crlf))
            return RC_NONE;
        if (start && line->n && line->p[0] == '.')
            *line = str_from(*line, 1); /* RFC 5321 4.5.2 */
        if (!*more)
            c->previous_crlf = crlf;
        if (ends) /* a false end is no text either */
            continue;
        count(c, *line, *more);
        return RC_OK;
    }
}

void wire_chunk_begin(struct wire_content *c, size_t size, bool last)
{
    c->left = size;
    c->last = last;
}

/* Consume what was used of the input. */
static void take(struct wire_content *c, size_t n)
{
    stream_consume(&c->wire->stream, n);
    c->left -= n;
}

/* A line as it stands in the input, or, when it is too long, its first part. */
static void give(struct wire_content *c, struct str piece, bool has_lf, struct str *line,
                 bool *more)
{
    size_t limit = c->wire->line_limit;
    bool crlf = has_lf && piece.n && piece.p[piece.n - 1] == '\r';

    *line = str_head(piece, piece.n - crlf);
    *more = line->n > limit;
    if (*more)
        *line = str_head(*line, limit);
    else if (has_lf && !crlf)
        c->wire->saw_bare_lf = true;
    c->continued = *more;
    count(c, *line, *more);
}

/* A CR at the end may belong to the line end. */
static size_t text_length(const struct buf *b)
{
    return b->n - (b->n && b->p[b->n - 1] == '\r');
}

/* The line has a part in c->partial already, or its end was not read yet. */
static enum rc give_joined(struct wire_content *c, struct str piece, bool has_lf, struct str *line,
                           bool *more)
{
    size_t room = c->partial.max - c->partial.n;
    size_t used = piece.n < room ? piece.n : room;
    bool fits, whole;

    buf_add(&c->partial, str_head(piece, used));
    fits = used == piece.n && text_length(&c->partial) <= c->wire->line_limit;
    whole = fits && has_lf;
    take(c, used + whole);
    if (fits && !has_lf)
        return RC_NONE;
    give(c, buf_str(&c->partial), whole, line, more);
    c->given = true;
    return RC_OK;
}

/* Forget what the latest call handed out; keep the byte behind a part that was cut at the limit. */
static void forget_given(struct wire_content *c)
{
    size_t limit = c->wire->line_limit;
    bool keep = c->continued && c->partial.n > limit;
    char byte = keep ? c->partial.p[limit] : '\0';

    c->given = false;
    buf_reset(&c->partial);
    if (keep)
        buf_addc(&c->partial, byte);
}

/* After the last chunk: a line without line end. */
static enum rc give_rest(struct wire_content *c, struct str *line, bool *more)
{
    if (!c->last || (c->partial.n == 0 && !c->continued))
        return RC_NONE;
    *line = buf_str(&c->partial);
    *more = c->continued = false;
    c->given = true;
    count(c, *line, false);
    return RC_OK;
}

enum rc wire_chunk_line(struct wire_content *c, struct str *line, bool *more, struct why *why)
{
    if (c->given)
        forget_given(c);
    while (c->left) {
        struct str have;
        const char *lf;
        TRY(stream_fill(&c->wire->stream, &have, why));
        have = str_head(have, c->left);
        lf = memchr(have.p, '\n', have.n);
        if (lf)
            have.n = (size_t)(lf - have.p);
        if (c->partial.n || lf == NULL) {
            if (give_joined(c, have, lf != NULL, line, more) == RC_OK)
                return RC_OK;
            continue;
        }
        give(c, have, true, line, more);
        take(c, *more ? line->n : have.n + 1);
        return RC_OK;
    }
    return give_rest(c, line, more);
}

enum rc wire_chunk_skip(struct wire_content *c, struct why *why)
{
    while (c->left) {
        struct str have;
        TRY(stream_fill(&c->wire->stream, &have, why));
        take(c, have.n < c->left ? have.n : c->left);
    }
    return RC_OK;
}
