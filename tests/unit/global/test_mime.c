#include "global/mime.h"
#include "unit/unit.h"
#include "util/buf.h"

/* Events as text: "P:header", "M:", "N:", "e" end of header, "u" unterminated, "b:line", "c:part of
 * a line". */
static void on_header(void *context, enum mime_header_class class, struct str header)
{
    buf_addf(context, "%c:" STR_FMT "|", "PMN"[class], STR_ARG(header));
}

static void on_unterminated(void *context, struct str line)
{
    buf_addf(context, "u:" STR_FMT "|", STR_ARG(line));
}

static void on_end(void *context)
{
    buf_addf(context, "e|");
}

static void on_body(void *context, struct str line, bool more)
{
    buf_addf(context, "%c:" STR_FMT "|", more ? 'c' : 'b', STR_ARG(line));
}

static unsigned run(const char *message, const struct mime_options *o, struct buf *out)
{
    static const struct mime_events events = {.header = on_header,
                                              .unterminated = on_unterminated,
                                              .end_of_header = on_end,
                                              .body = on_body};
    AUTO_ARENA a = arena_new(0);
    struct mime_state *m = mime_new(a, o, &events, out);
    struct str rest = str_of(message);

    while (rest.n)
        mime_line(m, str_cut(&rest, '\n'), false);
    return mime_end(m);
}

static const struct mime_options usual = {
    .parse_nested = true, .nesting_limit = 5, .boundary_limit = 100, .header_size_limit = 1000};

static void structure(void **state)
{
    static const struct {
        const char *message, *events;
    } rows[] = {
        {"A: 1\n\nbody\n", "P:A: 1|e|b:|b:body|"},
        {"A: 1\n b\n\tc\nB : 2\n\n", "P:A: 1\n b\n\tc|P:B: 2|e|b:|"},
        {"A: 1\n", "P:A: 1|e|"},
        {"", "e|"},
        {"\nbody\n", "e|b:|b:body|"},
        {"no header\nmore\n", "u:no header|e|b:|b:no header|b:more|"},
        {" blank\n", "u: blank|e|b:|b: blank|"},
        {"A: 1\nno header\n", "P:A: 1|u:no header|e|b:|b:no header|"},
        {"Content-Type: multipart/mixed; boundary=\"x\"\n\npre\n--x\nC: 1\n\none\n--x\n\ntwo\n--x--\nend\n",
         "P:Content-Type: multipart/mixed; boundary=\"x\"|e|b:|b:pre|b:--x|M:C: 1|b:|b:one|b:--x|b:|"
         "b:two|b:--x--|b:end|"},
        {"Content-Type: message/rfc822\n\nA: 1\n\nB: 2\n",
         "P:Content-Type: message/rfc822|e|b:|N:A: 1|b:|b:B: 2|"},
        {"Content-Type: multipart/digest (c);\n boundary=x\n\n--x\n\nA: 1\n\ntext\n--x--\n",
         "P:Content-Type: multipart/digest (c);\n boundary=x|e|b:|b:--x|b:|N:A: 1|b:|b:text|b:--x--|"},
        {"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=y\n\n"
         "--y\nA: 1\n--x\nB: 2\n\n",
         "P:Content-Type: multipart/mixed; boundary=x|e|b:|b:--x|M:Content-Type: multipart/mixed; "
         "boundary=y|b:|b:--y|M:A: 1|b:--x|M:B: 2|b:|"},
        {"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nA: 1\n",
         "P:Content-Type: message/rfc822|P:Content-Transfer-Encoding: base64|e|b:|b:A: 1|"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF out;
        buf_init(&out, 10000);
        assert_int_equal(run(rows[i].message, &usual, &out), 0);
        if (strcmp(buf_text(&out), rows[i].events) != 0)
            fail_msg("row %zu: got %s", i, buf_text(&out));
    }
}

static void errors(void **state)
{
    static const struct {
        const char *message;
        unsigned errors;
    } rows[] = {
        {"A: \303\274\n\n", MIME_8BIT_IN_HEADER},
        {"A: 1\n\n\303\274\n", MIME_8BIT_IN_7BIT_BODY},
        {"Content-Transfer-Encoding: 8bit\n\n\303\274\n", 0},
        {"Content-Transfer-Encoding: (x) 8BIT (y)\n\n\303\274\n", 0},
        {"Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n\n",
         MIME_ENCODING_DOMAIN},
        {"Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nContent-Type: "
         "message/rfc822\n\nA: 1\n\n",
         MIME_NESTING},
        {"A: 123456789012345678901234567890\n 123456789012345678901234567890123456789012345\n\n",
         MIME_TRUNCATED_HEADER},
    };
    struct mime_options o = usual;

    (void)state;
    o.strict_8bitmime = o.strict_encoding_domain = true;
    o.nesting_limit = 2;
    o.header_size_limit = 72;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF out;
        unsigned got;
        buf_init(&out, 10000);
        got = run(rows[i].message, &o, &out);
        if (got != rows[i].errors)
            fail_msg("row %zu: got %u (%s)", i, got, mime_error_text(got));
        if (got)
            assert_string_equal(mime_error_dsn(got), "5.6.0");
    }
}

static void conversion(void **state)
{
    static const char message[] =
        "Content-Transfer-Encoding: 8bit\n\n\303\274=\ttab \n"
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
        "89\n";
    AUTO_BUF out;
    struct mime_options o = usual;

    (void)state;
    o.downgrade = true;
    buf_init(&out, 10000);
    assert_int_equal(run(message, &o, &out), 0);
    assert_string_equal(
        buf_text(&out),
        "P:Content-Transfer-Encoding: quoted-printable|e|b:|b:=C3=BC=3D\ttab=20|"
        "b:012345678901234567890123456789012345678901234567890123456789012345678901234=|"
        "b:567890123456789|");
    buf_reset(&out);
    run("Content-Transfer-Encoding: 8bit\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n"
        "a=b\n--x\nContent-Transfer-Encoding: binary\n\na=b\n",
        &o, &out);
    assert_string_equal(
        buf_text(&out),
        "P:Content-Type: multipart/mixed; boundary=x|P:Content-Transfer-Encoding: 7bit|"
        "e|b:|b:--x|b:|b:a=b|b:--x|M:Content-Transfer-Encoding: quoted-printable|b:|"
        "b:a=3Db|");
}

static void long_lines(void **state)
{
    static const struct mime_events events = {.header = on_header, .body = on_body};
    AUTO_ARENA a = arena_new(0);
    AUTO_BUF out;
    struct mime_state *m;

    (void)state;
    buf_init(&out, 10000);
    m = mime_new(a, &usual, &events, &out);
    mime_line(m, STR("A: 1"), true);
    mime_line(m, STR("2"), true);
    mime_line(m, STR("3"), false);
    mime_line(m, STR(""), false);
    mime_line(m, STR("x"), true);
    mime_line(m, STR("--y"), false);
    mime_end(m);
    assert_string_equal(buf_text(&out), "P:A: 123|b:|c:x|b:--y|");
    assert_int_equal(mime_part_offset(m), 5);
}

static void cut_headers(void **state)
{
    struct mime_options o = usual;
    AUTO_BUF out;

    (void)state;
    buf_init(&out, 10000);
    for (o.header_size_limit = 3; o.header_size_limit < 12; o.header_size_limit++) {
        run("A: 1234\n 56\n 78\n\nbody\n", &o, &out);
        assert_null(strstr(buf_text(&out), "\n|"));
        buf_reset(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure),  cmocka_unit_test(errors),      cmocka_unit_test(conversion),
        cmocka_unit_test(long_lines), cmocka_unit_test(cut_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
