#include <sys/socket.h>
#include <unistd.h>

#include "unit/unit.h"
#include "wire/client.h"

/* A client whose server has said text, and closed. */
static void open_client(struct wire_client *w, const char *text, size_t n)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], text, n), n);
    shutdown(pair[1], SHUT_WR);
    wire_client_init(w, pair[0], 1000);
    close(pair[1]);
}

static const struct {
    const char *input;
    enum rc rc;
    int code;
    const char *text, *status;
} replies[] = {
    {"250 2.1.5 Ok\r\n", RC_OK, 250, "250 2.1.5 Ok", "2.1.5"},
    {"250 Ok\n", RC_OK, 250, "250 Ok", "2.0.0"},
    {"250\r\n", RC_OK, 250, "250", "2.0.0"},
    {"450 4.7.1 later\r\n", RC_OK, 450, "450 4.7.1 later", "4.7.1"},
    {"550-5.7.1 no\r\n550-5.7.1 never\r\n550 5.7.2 at all\r\n", RC_OK, 550,
     "550-5.7.1 no\n550-5.7.1 never\n550 5.7.2 at all", "5.7.2"},
    /* class of the enhanced code and of the reply differ */
    {"550 4.7.1 what\r\n", RC_OK, 550, "550 4.7.1 what", "5.0.0"},
    {"550 5.7 what\r\n", RC_OK, 550, "550 5.7 what", "5.0.0"},
    {"hello\r\n", RC_EOF, 0, NULL, NULL},
    {"25x hello\r\n250 x\r\n", RC_OK, 250, "25x hello\n250 x", "2.0.0"},
    {"999 hello\r\n", RC_OK, 0, "999 hello", ""},
    {"250-hello\r\nfoo\r\n250 x\r\n", RC_OK, 250, "250-hello\nfoo\n250 x", "2.0.0"},
    {"\r\n\r\n250 x\r\n", RC_OK, 250, "\n\n250 x", "2.0.0"},
    {"250 a\001\tb\r\n", RC_OK, 250, "250 a??b", "2.0.0"},
    {"250 \303\274\r\n", RC_OK, 250, "250 \303\274", "2.0.0"},
    {"250 \374\r\n", RC_OK, 250, "250 ?", "2.0.0"},
    {"250-more", RC_EOF, 0, NULL, NULL},
    {"", RC_EOF, 0, NULL, NULL},
};

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct wire_client w;
        struct wire_client_reply r;
        struct why why = {0};
        open_client(&w, replies[i].input, strlen(replies[i].input));
        assert_int_equal(wire_client_read(&w, &r, &why), replies[i].rc);
        if (replies[i].text) {
            assert_int_equal(r.code, replies[i].code);
            assert_str(r.text, replies[i].text);
            assert_str(r.status, replies[i].status);
        }
        wire_client_done(&w);
    }
}

static void test_odd_line(void **state)
{
    struct wire_client w;
    struct wire_client_reply r;
    struct why why = {0};
    const char text[] = "250-a\r\nfoo\r\nbar\r\n250 b\r\n250 c\r\n";

    (void)state;
    open_client(&w, text, sizeof text - 1);
    assert_int_equal(wire_client_read(&w, &r, &why), RC_OK);
    assert_str(r.odd, "foo");
    assert_int_equal(wire_client_read(&w, &r, &why), RC_OK);
    assert_str(r.odd, "");
    wire_client_done(&w);
}

static void test_two_replies(void **state)
{
    struct wire_client w;
    struct wire_client_reply r;
    struct why why = {0};

    (void)state;
    open_client(&w, STR("250 one\r\n450-two\r\n450 three\r\n").p, 30);
    assert_int_equal(wire_client_read(&w, &r, &why), RC_OK);
    assert_str(r.text, "250 one");
    assert_int_equal(wire_client_read(&w, &r, &why), RC_OK);
    assert_str(r.text, "450-two\n450 three");
    assert_int_equal(wire_client_read(&w, &r, &why), RC_EOF);
    wire_client_done(&w);
}

static void test_limits(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct wire_client w;
    struct wire_client_reply r;
    struct why why = {0};
    size_t n = 0;
    char *text = arena_alloc(a, 200000);

    /* a long line is cut, the next reply is still found */
    (void)state;
    n = (size_t)sprintf(text, "250 %05000d\r\n251 next\r\n", 1);
    open_client(&w, text, n);
    assert_int_equal(wire_client_read(&w, &r, &why), RC_OK);
    assert_int_equal(r.code, 250);
    assert_int_equal(r.text.n, WIRE_REPLY_LINE_MAX);
    assert_int_equal(wire_client_read(&w, &r, &why), RC_OK);
    assert_str(r.text, "251 next");
    wire_client_done(&w);
    /* more text than is kept */
    n = 0;
    for (int i = 0; i < 500; i++)
        n += (size_t)sprintf(text + n, "250-%0100d\r\n", i);
    n += (size_t)sprintf(text + n, "250 end\r\n");
    open_client(&w, text, n);
    assert_int_equal(wire_client_read(&w, &r, &why), RC_OK);
    assert_int_equal(r.code, 250);
    assert_true(r.text.n <= WIRE_REPLY_MAX);
    wire_client_done(&w);
    /* a reply without end */
    n = 0;
    for (int i = 0; i < 2 * WIRE_REPLY_LINES_MAX; i++)
        n += (size_t)sprintf(text + n, "250-\r\n");
    open_client(&w, text, n);
    assert_int_equal(wire_client_read(&w, &r, &why), RC_EOF);
    wire_client_done(&w);
}

static const struct {
    const char *reply;
    unsigned discard, bits, xforward;
    long size;
    bool bad_size;
    const char *host, *auth;
} ehlos[] = {
    {"250 mx.example", 0, 0, 0, 0, false, "mx.example", ""},
    {"250-mx.example hello\n250-PIPELINING\n250-SIZE 1000\n250-8bitmime\n250 DSN", 0,
     FEATURE_PIPELINING | FEATURE_SIZE | FEATURE_8BITMIME | FEATURE_DSN, 0, 1000, false,
     "mx.example", ""},
    {"250-mx\n250-SIZE\n250-AUTH PLAIN LOGIN\n250 AUTH=PLAIN LOGIN", 0, FEATURE_SIZE | FEATURE_AUTH,
     0, 0, false, "mx", "PLAIN LOGIN"},
    {"250-mx\n250 AUTH=PLAIN LOGIN", 0, FEATURE_AUTH, 0, 0, false, "mx", "PLAIN LOGIN"},
    {"250-mx\n250 SIZE abc", 0, FEATURE_SIZE, 0, 0, true, "mx", ""},
    {"250-mx\n250-SIZE 10\n250 STARTTLS", FEATURE_SIZE | FEATURE_DSN, FEATURE_STARTTLS, 0, 0, false,
     "mx", ""},
    {"250-mx\n250 XFORWARD NAME ADDR helo what", 0, FEATURE_XFORWARD,
     XFORWARD_NAME | XFORWARD_ADDR | XFORWARD_HELO, 0, false, "mx", ""},
    {"250", 0, 0, 0, 0, false, "", ""},
};

static void test_features(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ehlos); i++) {
        struct wire_features f;
        wire_features_parse(str_of(ehlos[i].reply), ehlos[i].discard, &f);
        assert_int_equal(f.bits, ehlos[i].bits);
        assert_int_equal(f.xforward, ehlos[i].xforward);
        assert_int_equal(f.size_limit, ehlos[i].size);
        assert_int_equal(f.bad_size, ehlos[i].bad_size);
        assert_string_equal(f.host, ehlos[i].host);
        assert_string_equal(f.auth, ehlos[i].auth);
    }
}

static void test_mask(void **state)
{
    unsigned bits = 0;
    struct why why = {0};

    (void)state;
    assert_int_equal(wire_features_mask(STR("pipelining, DSN silent-discard"), &bits, &why), RC_OK);
    assert_int_equal(bits, FEATURE_PIPELINING | FEATURE_DSN | FEATURE_SILENT_DISCARD);
    assert_int_equal(wire_features_mask(STR("dsn, foo"), &bits, &why), RC_CONFIG);
    assert_non_null(strstr(why.text, "foo"));
}

static const struct {
    size_t limit;
    const char *parts[4]; /* "+" at the end: the line goes on */
    const char *out;
} texts[] = {
    {0, {"hello"}, "hello\r\n.\r\n"},
    {0, {""}, "\r\n.\r\n"},
    {0, {NULL}, ".\r\n"},
    {0, {".", "..", "a.b"}, "..\r\n...\r\na.b\r\n.\r\n"},
    {0, {"ab+", ".c"}, "ab.c\r\n.\r\n"},
    {0, {"+", ".c"}, "..c\r\n.\r\n"},
    {0, {"no end+"}, "no end\r\n.\r\n"},
    {5, {"12345"}, "12345\r\n.\r\n"},
    {5, {"123456"}, "12345\r\n 6\r\n.\r\n"},
    {5, {"123456789."}, "12345\r\n 6789\r\n .\r\n.\r\n"},
    {5, {"123+", "4567"}, "12345\r\n 67\r\n.\r\n"},
    {1, {"123"}, "1\r\n 23\r\n.\r\n"},
};

static void test_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct stream s;
        struct wire_text t = {.stream = &s, .line_limit = texts[i].limit};
        int pair[2];
        char got[200];
        ssize_t n;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        stream_init(&s, pair[0], 1000);
        for (size_t j = 0; j < 4 && texts[i].parts[j]; j++) {
            struct str part = str_of(texts[i].parts[j]);
            bool more = str_has_suffix(part, STR("+"));
            wire_text_put(&t, more ? str_head(part, part.n - 1) : part, more);
        }
        wire_text_end(&t);
        assert_int_equal(stream_flush(&s, NULL), RC_OK);
        n = read(pair[1], got, sizeof got);
        assert_str(((struct str){got, (size_t)n}), texts[i].out);
        stream_done(&s);
        close(pair[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),  cmocka_unit_test(test_two_replies),
        cmocka_unit_test(test_odd_line), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_features), cmocka_unit_test(test_mask),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
