#include "global/mime.h"

#include "global/header.h"
#include "global/mime_part.h"
#include "util/buf.h"

enum state { IN_PRIMARY, IN_PART_HEADER, IN_NESTED_HEADER, IN_BODY };

struct boundary {
    struct boundary *outer;
    struct str text;
    bool digest; /* its parts are messages when they do not say otherwise */
    long depth;
};

struct mime_state {
    struct mime_options o;
    struct mime_events e;
    void *context;
    struct arena *arena;
    enum state state;
    unsigned errors;
    struct buf header; /* the logical header so far */
    bool partial;      /* the line continues in the next call */
    struct boundary *boundaries;
    long depth;
    struct mime_part part; /* that the header being read describes, then the one being read */
    size_t part_offset;
    bool plain; /* nothing to look at any more: body lines pass through */
    struct quoted_printable qp;
};

static void free_header(void *m)
{
    buf_done(&((struct mime_state *)m)->header);
}

struct mime_state *mime_new(struct arena *a, const struct mime_options *o,
                            const struct mime_events *e, void *context)
{
    struct mime_state *m = arena_new_of(a, struct mime_state);

    *m = (struct mime_state){.o = *o, .e = *e, .context = context, .arena = a};
    buf_init(&m->header, o->header_size_limit > 0 ? (size_t)o->header_size_limit : 102400);
    arena_defer(a, free_header, m);
    return m;
}

size_t mime_part_offset(const struct mime_state *m)
{
    return m->part_offset;
}

static bool has_8bit(struct str s)
{
    return !str_is_ascii(s);
}

static void report(struct mime_state *m, enum mime_error error, struct str text)
{
    m->errors |= error;
    if (m->e.error)
        m->e.error(m->context, error, text);
}

/* ---- output ---- */

static void put_body(void *context, struct str line, bool more)
{
    struct mime_state *m = context;

    if (m->e.body)
        m->e.body(m->context, line, more);
    m->part_offset += line.n + !more;
}

static void put_header(struct mime_state *m, struct str header)
{
    static const enum mime_header_class classes[] = {MIME_HEADER_PRIMARY, MIME_HEADER_MIME,
                                                     MIME_HEADER_NESTED};

    if (m->e.header)
        m->e.header(m->context, classes[m->state], header);
}

/* Is this part converted to quoted-printable, or its label for its parts? */
static bool recodes(const struct mime_state *m)
{
    return m->o.downgrade && m->part.domain != MIME_7BIT;
}

/* ---- headers ---- */

static void header_done(struct mime_state *m)
{
    struct str header = buf_str(&m->header);

    if (header.n == 0)
        return;
    if (m->header.over) {
        header = str_rtrim(header); /* a cut may leave an empty last line */
        report(m, MIME_TRUNCATED_HEADER, header);
    }
    if ((m->o.strict_8bitmime || m->o.strict_7bit_headers) && has_8bit(header))
        report(m, MIME_8BIT_IN_HEADER, header);
    if (!m->o.parse_nested || !mime_part_header(&m->part, header, m->arena) || !recodes(m))
        put_header(m, header); /* else another Content-Transfer-Encoding follows at the end */
    buf_reset(&m->header);
}

static void header_start(struct mime_state *m, struct str line, size_t name_length)
{
    size_t colon = name_length;

    header_done(m);
    while (line.p[colon] != ':')
        colon++;
    buf_add(&m->header, str_head(line, name_length));
    buf_add(&m->header, str_from(line, colon));
}

static void part_start(struct mime_state *m, enum state state, bool message_by_default)
{
    m->state = state;
    m->part = (struct mime_part){.kind = message_by_default ? MIME_MESSAGE : MIME_LEAF};
}

static void push_boundary(struct mime_state *m)
{
    struct boundary *b;

    if (m->depth >= m->o.nesting_limit) {
        report(m, MIME_NESTING, m->part.boundary);
        return;
    }
    b = arena_new_of(m->arena, struct boundary);
    *b = (struct boundary){m->boundaries, str_head(m->part.boundary, (size_t)m->o.boundary_limit),
                           m->part.digest, ++m->depth};
    m->boundaries = b;
}

static void check_domain(struct mime_state *m)
{
    if (m->o.strict_encoding_domain && m->part.kind != MIME_LEAF && m->part.encoded)
        report(m, MIME_ENCODING_DOMAIN, m->part.encoding);
}

/* The header is complete; what follows the empty line? */
static void header_end(struct mime_state *m)
{
    header_done(m);
    m->part_offset = 0;
    if (m->o.parse_nested) {
        check_domain(m);
        if (recodes(m))
            put_header(m, m->part.kind == MIME_LEAF
                              ? STR("Content-Transfer-Encoding: quoted-printable")
                              : STR("Content-Transfer-Encoding: 7bit"));
    }
    if (m->state == IN_PRIMARY && m->e.end_of_header)
        m->e.end_of_header(m->context);
    m->state = IN_BODY;
    if (m->o.parse_nested && m->part.kind == MIME_MULTIPART && m->part.boundary.n)
        push_boundary(m);
    m->plain =
        !m->o.parse_nested || (m->boundaries == NULL && m->part.kind != MIME_MESSAGE &&
                               !recodes(m) && !m->o.strict_8bitmime && !m->o.strict_8bitmime_body);
}

/* After the empty line of a message/rfc822 part comes the header of a message. */
static void enter_message(struct mime_state *m)
{
    if (!m->o.parse_nested || m->part.kind != MIME_MESSAGE || m->part.encoded)
        return;
    if (++m->depth > m->o.nesting_limit)
        report(m, MIME_NESTING, STR("message/rfc822"));
    else
        part_start(m, IN_NESTED_HEADER, false);
}

/* ---- body ---- */

static bool is_boundary(struct mime_state *m, struct str line)
{
    if (!str_has_prefix(line, STR("--")))
        return false;
    for (struct boundary *b = m->boundaries; b; b = b->outer) {
        if (!str_has_prefix(str_from(line, 2), b->text))
            continue;
        m->boundaries = b; /* inner ones may not have been closed */
        m->depth = b->depth;
        if (str_has_prefix(str_from(line, 2 + b->text.n), STR("--"))) {
            m->boundaries = b->outer;
            m->depth--;
            m->part = (struct mime_part){.kind = MIME_LEAF}; /* epilogue */
            m->state = IN_BODY;
        } else {
            part_start(m, IN_PART_HEADER, b->digest);
        }
        m->part_offset = 0;
        return true;
    }
    return false;
}

static void body_line(struct mime_state *m, struct str line, bool more)
{
    if (m->plain) {
        put_body(m, line, more);
        return;
    }
    if (!m->partial && m->boundaries && is_boundary(m, line)) {
        put_body(m, line, more);
        m->part_offset = 0;
        return;
    }
    if (m->part.domain == MIME_7BIT && (m->o.strict_8bitmime || m->o.strict_8bitmime_body) &&
        has_8bit(line))
        report(m, MIME_8BIT_IN_7BIT_BODY, line);
    if (recodes(m) && m->part.kind == MIME_LEAF)
        quoted_printable_line(&m->qp, line, more, put_body, m);
    else
        put_body(m, line, more);
}

/* ---- input ---- */

static void header_line(struct mime_state *m, struct str line, bool more)
{
    bool primary = m->state == IN_PRIMARY;
    size_t name;

    if (line.n == 0 && !more) {
        header_end(m);
        put_body(m, line, false);
        m->part_offset = 0;
        enter_message(m);
        return;
    }
    if (!primary && m->boundaries && str_has_prefix(line, STR("--"))) {
        enum state before = m->state;
        m->state = IN_BODY;
        if (is_boundary(m, line)) {
            enum state after = m->state;
            struct mime_part part = m->part;
            m->state = before; /* what was read belongs to the part before */
            header_done(m);
            m->state = after;
            m->part = part;
            put_body(m, line, more);
            m->part_offset = 0;
            return;
        }
        m->state = before;
    }
    if (is_blank(line.p[0]) && m->header.n) {
        buf_addc(&m->header, '\n');
        buf_add(&m->header, line);
    } else if ((name = header_name_length(line)) > 0) {
        header_start(m, line, name);
    } else {
        header_done(m);
        if (primary && m->e.unterminated)
            m->e.unterminated(m->context, line);
        header_end(m);
        if (primary)
            put_body(m, STR(""), false);
        m->part_offset = 0;
        enter_message(m);
        if (m->state == IN_BODY)
            body_line(m, line, more);
        else
            header_line(m, line, more);
    }
}

unsigned mime_line(struct mime_state *m, struct str line, bool more)
{
    if (line.n == 0 && more)
        return m->errors;
    if (m->state == IN_BODY)
        body_line(m, line, more);
    else if (m->partial)
        buf_add(&m->header, line);
    else
        header_line(m, line, more);
    m->partial = more;
    return m->errors;
}

unsigned mime_end(struct mime_state *m)
{
    if (m->state != IN_BODY)
        header_end(m);
    if (m->e.end)
        m->e.end(m->context);
    return m->errors;
}

static const struct {
    unsigned error;
    const char *dsn, *text;
} errors[] = {
    {MIME_NESTING, "5.6.0", "MIME nesting exceeds safety limit"},
    {MIME_TRUNCATED_HEADER, "5.6.0", "message header length exceeds safety limit"},
    {MIME_8BIT_IN_HEADER, "5.6.0", "improper use of 8-bit data in message header"},
    {MIME_8BIT_IN_7BIT_BODY, "5.6.0", "improper use of 8-bit data in message body"},
    {MIME_ENCODING_DOMAIN, "5.6.0", "invalid message/* or multipart/* encoding domain"},
};

const char *mime_error_text(unsigned error)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error & error)
            return errors[i].text;
    return "MIME error";
}

const char *mime_error_dsn(unsigned error)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error & error)
            return errors[i].dsn;
    return "5.6.0";
}
