#include <sys/socket.h>
#include <unistd.h>

#include "unit/unit.h"
#include "util/buf.h"
#include "wire/server.h"

enum { LIMIT = 8 };

/* A server whose client has sent these bytes and closed. */
static struct wire_server server_with(const char *bytes, enum bare_lf mode)
{
    struct wire_server w;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], bytes, strlen(bytes)), strlen(bytes));
    close(pair[1]);
    wire_server_init(&w, pair[0], LIMIT, 1000);
    w.bare_lf = mode;
    return w;
}

static void add_line(struct buf *out, struct str line, bool more)
{
    buf_addf(out, more ? STR_FMT "+" : STR_FMT "|", STR_ARG(line));
}

static const struct {
    const char *sent;
    enum bare_lf mode;
    const char *lines; /* "|" behind each line, "+" behind a part of one */
    enum rc end;
    const char *rest; /* still unread: what would be taken for commands */
    bool bare;
} data_vectors[] = {
    {"a\r\nb\r\n.\r\nQUIT\r\n", BARE_LF_NORMALIZE, "a|b|", RC_NONE, "QUIT\r\n", false},
    {".\r\n", BARE_LF_NORMALIZE, "", RC_NONE, "", false},
    {"..\r\n.a\r\n...\r\n.\r\n", BARE_LF_NORMALIZE, ".|a|..|", RC_NONE, "", false},
    /* smuggling: none of these ends the data */
    {"a\n.\nMAIL\r\n.\r\n", BARE_LF_NORMALIZE, "a|MAIL|", RC_NONE, "", true},
    {"a\n.\r\nMAIL\r\n.\r\n", BARE_LF_NORMALIZE, "a|MAIL|", RC_NONE, "", true},
    {"a\r\n.\nMAIL\r\n.\r\n", BARE_LF_NORMALIZE, "a|MAIL|", RC_NONE, "", true},
    {"a\r.\r\r\n.\r\n", BARE_LF_NORMALIZE, "a\r.\r|", RC_NONE, "", false},
    {"a\r\n.\r.\r\n.\r\n", BARE_LF_REJECT, "a|\r.|", RC_NONE, "", false},
    {"a\n.\nb\r\n.\r\n", BARE_LF_NOTE, "a|b|", RC_NONE, "", true},
    {"a\n.\nb\r\n.\r\n", BARE_LF_REJECT, "a|b|", RC_NONE, "", true},
    {".\nb\r\n.\r\n", BARE_LF_NORMALIZE, "b|", RC_NONE, "", true},
    /* tolerated from clients that are excluded */
    {"a\n.\nMAIL\r\n", BARE_LF_ALLOW, "a|", RC_NONE, "MAIL\r\n", true},
    {"a\r\n.\nMAIL\r\n", BARE_LF_ALLOW, "a|", RC_NONE, "MAIL\r\n", true},
    {"a\n.\r\nMAIL\r\n", BARE_LF_ALLOW, "a|", RC_NONE, "MAIL\r\n", true},
    /* folding */
    {"12345678\r\n.\r\n", BARE_LF_NORMALIZE, "12345678|", RC_NONE, "", false},
    {"123456789\r\n.\r\n", BARE_LF_NORMALIZE, "12345678+9|", RC_NONE, "", false},
    {"1234567812345678\r\n.\r\n", BARE_LF_NORMALIZE, "12345678+12345678|", RC_NONE, "", false},
    {"12345678.\r\n.\r\n", BARE_LF_NORMALIZE, "12345678+.|", RC_NONE, "", false},
    {"12345678\n.\r\n\r\n.\r\n", BARE_LF_NORMALIZE, "12345678||", RC_NONE, "", true},
    {"a\r\nb", BARE_LF_NORMALIZE, "a|", RC_EOF, "b", false},
};

static void test_data(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(data_vectors); i++) {
        struct wire_server w = server_with(data_vectors[i].sent, data_vectors[i].mode);
        struct wire_content c;
        struct str line;
        struct why why;
        AUTO_BUF out;
        bool more;
        enum rc rc;

        buf_init(&out, 1024);
        buf_add(&out, STR(""));
        wire_content_begin(&c, &w);
        while ((rc = wire_data_line(&c, &line, &more, &why)) == RC_OK)
            add_line(&out, line, more);
        assert_int_equal(rc, data_vectors[i].end);
        assert_str(buf_str(&out), data_vectors[i].lines);
        assert_str(stream_peek(&w.stream), data_vectors[i].rest);
        assert_int_equal(w.saw_bare_lf, data_vectors[i].bare);
        wire_content_done(&c);
        wire_server_done(&w);
    }
}

static const struct {
    size_t sizes[5]; /* of the chunks; 0 ends the list */
    const char *sent, *lines, *rest;
    bool bare;
} chunk_vectors[] = {
    {{6}, "a\r\nb\r\nQUIT", "a|b|", "QUIT", false},
    {{5}, ".\r\n.\n", ".|.|", "", true},
    {{4}, "a\r\nb", "a|b|", "", false}, /* no line end at the end */
    {{1, 1, 1, 1}, "ab\r\n", "ab|", "", false},
    {{3, 3}, "ab\r\ncd", "ab|cd|", "", false}, /* CRLF in two chunks */
    {{10}, "12345678\r\n", "12345678|", "", false},
    {{11}, "123456789\r\n", "12345678+9|", "", false},
    {{4, 7}, "123456789\r\n", "12345678+9|", "", false},
    {{9, 2}, "123456789\r\n", "12345678+9|", "", false},
    {{9, 1}, "12345678\r\n", "12345678|", "", false},
    {{4, 6}, "12345678\r\n", "12345678|", "", false},
    {{8, 2}, "12345678\r\n", "12345678|", "", false},
    {{9, 9}, "12345678abcdefgh\r\n", "12345678+abcdefgh|", "", false},
    {{17}, "12345678abcdefgh1", "12345678+abcdefgh+1|", "", false},
    {{8}, "12345678", "12345678|", "", false},
    {{2}, "\n\n", "||", "", true},
};

static void test_chunks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(chunk_vectors); i++) {
        struct wire_server w = server_with(chunk_vectors[i].sent, BARE_LF_NORMALIZE);
        struct wire_content c;
        struct str line;
        struct why why;
        AUTO_BUF out;
        bool more;

        buf_init(&out, 1024);
        wire_content_begin(&c, &w);
        for (const size_t *size = chunk_vectors[i].sizes; *size; size++) {
            enum rc rc;
            wire_chunk_begin(&c, *size, size[1] == 0);
            while ((rc = wire_chunk_line(&c, &line, &more, &why)) == RC_OK)
                add_line(&out, line, more);
            assert_int_equal(rc, RC_NONE);
        }
        assert_str(buf_str(&out), chunk_vectors[i].lines);
        assert_str(stream_peek(&w.stream), chunk_vectors[i].rest);
        assert_int_equal(w.saw_bare_lf, chunk_vectors[i].bare);
        wire_content_done(&c);
        wire_server_done(&w);
    }
}

static void test_chunk_skip(void **state)
{
    struct wire_server w = server_with("0123456789NOOP\r\n", BARE_LF_NORMALIZE);
    struct wire_content c;
    struct str line;
    struct why why;

    (void)state;
    wire_content_begin(&c, &w);
    wire_chunk_begin(&c, 10, false);
    assert_int_equal(wire_chunk_skip(&c, &why), RC_OK);
    assert_int_equal(wire_command(&w, &line, &why), RC_OK);
    assert_str(line, "NOOP");
    wire_content_done(&c);
    wire_server_done(&w);
}

static void test_commands(void **state)
{
    struct wire_server w = server_with("NOOP \r\n123456789012\r\nA\nQ", BARE_LF_NORMALIZE);
    struct str line;
    struct why why;

    (void)state;
    assert_int_equal(wire_command(&w, &line, &why), RC_OK);
    assert_str(line, "NOOP");
    assert_true(wire_has_more(&w));
    assert_int_equal(wire_command(&w, &line, &why), RC_PERM);
    assert_string_equal(w.shown, "12345678");
    assert_false(w.saw_bare_lf);
    assert_int_equal(wire_command(&w, &line, &why), RC_OK);
    assert_str(line, "A");
    assert_true(w.saw_bare_lf);
    assert_int_equal(wire_command(&w, &line, &why), RC_EOF);
    wire_server_done(&w);
}

static void test_replies(void **state)
{
    struct wire_server w;
    char got[200];
    int pair[2];
    struct why why;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    wire_server_init(&w, pair[0], LIMIT, 1000);
    wire_reply(&w, STR("250-a\n250 b"));
    wire_reply(&w, STR("221 Bye"));
    assert_int_equal(stream_flush(&w.stream, &why), RC_OK);
    ssize_t n = read(pair[1], got, sizeof got);
    assert_str(((struct str){got, (size_t)n}), "250-a\r\n250 b\r\n221 Bye\r\n");
    close(pair[1]);
    wire_server_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data),       cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_chunk_skip), cmocka_unit_test(test_commands),
        cmocka_unit_test(test_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
