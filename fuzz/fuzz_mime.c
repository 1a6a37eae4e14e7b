/* MIME structure: without conversion, headers and body lines come out as they went in. */
#include "fuzz.h"
#include "global/mime.h"
#include "util/buf.h"

static void on_header(void *context, enum mime_header_class class, struct str header)
{
    FUZZ_CHECK(class <= MIME_HEADER_NESTED && header.n > 0);
    buf_add(context, header);
    buf_addc(context, '\n');
}

static void on_body(void *context, struct str line, bool more)
{
    buf_add(context, line);
    if (!more)
        buf_addc(context, '\n');
}

static void on_unterminated(void *context, struct str line)
{
    (void)line;
    buf_addc(context, '\0'); /* the empty line that is put in makes a difference */
}

static unsigned run(struct str in, const struct mime_options *o, struct buf *out)
{
    static const struct mime_events events = {
        .header = on_header, .body = on_body, .unterminated = on_unterminated};
    AUTO_ARENA a = arena_new(0);
    struct mime_state *m = mime_new(a, o, &events, out);

    while (in.n)
        (void)mime_line(m, str_cut(&in, '\n'), false);
    return mime_end(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct mime_options o = {.parse_nested = true,
                             .strict_8bitmime = true,
                             .strict_encoding_domain = true,
                             .nesting_limit = 10,
                             .boundary_limit = 70,
                             .header_size_limit = 1 << 20};
    AUTO_BUF out, nested;

    buf_init(&out, 1 << 22);
    buf_init(&nested, 1 << 22);
    (void)run(in, &o, &nested);
    o = (struct mime_options){
        .nesting_limit = 10, .boundary_limit = 70, .header_size_limit = 1 << 20};
    FUZZ_CHECK(run(in, &o, &out) == 0);
    /* blanks before the colon go, in nested headers too: compare without blanks */
    if (memchr(data ? (const char *)data : "", ' ', size) == NULL &&
        memchr(data ? (const char *)data : "", '\t', size) == NULL)
        FUZZ_CHECK(str_eq(buf_str(&out), buf_str(&nested)));
    o.parse_nested = o.downgrade = true;
    buf_reset(&nested);
    (void)run(in, &o, &nested);
    return 0;
}
