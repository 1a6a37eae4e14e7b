#include <sys/socket.h>
#include <unistd.h>

#include "unit/unit.h"
#include "wire/proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V(text)   text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t n;
    enum rc rc;
    const char *client;
    unsigned port;
    const char *server;
    const char *rest;
} vectors[] = {
    {V("PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\nEHLO"), RC_OK, "192.0.2.1", 1234,
     "198.51.100.2", "EHLO"},
    {V("PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n"), RC_OK, "2001:db8::1", 1, "2001:db8::2", ""},
    {V("PROXY UNKNOWN\r\n"), RC_OK, "", 0, "", ""},
    {V("PROXY UNKNOWN x y z\r\n"), RC_OK, "", 0, "", ""},
    {V("PROXY TCP4 2001:db8::1 198.51.100.2 1234 25\r\n"), RC_PERM, NULL, 0, NULL, NULL},
    {V("PROXY TCP4 192.0.2.1 198.51.100.2 123456 25\r\n"), RC_PERM, NULL, 0, NULL, NULL},
    {V("PROXY TCP4 192.0.2.1 198.51.100.2 1234\r\n"), RC_PERM, NULL, 0, NULL, NULL},
    {V("PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\n"), RC_PERM, NULL, 0, NULL, NULL},
    {V("EHLO x\r\n"), RC_PERM, NULL, 0, NULL, NULL},
    {V("PROXY TCP4 192.0"), RC_EOF, NULL, 0, NULL, NULL},
    {V(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x04\xd2\0\x19NOOP"), RC_OK, "192.0.2.1",
     1234, "198.51.100.2", "NOOP"},
    {V(SIGNATURE "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\2\x04\xd2\0\x19\1\0\1xNOOP"), RC_OK,
     "192.0.2.1", 1234, "198.51.100.2", "NOOP"},
    {V(SIGNATURE "\x20\0\0\0NOOP"), RC_OK, "", 0, "", "NOOP"},
    {V(SIGNATURE "\x21\x11\0\x04\xc0\0\2\1"), RC_PERM, NULL, 0, NULL, NULL},
    {V(SIGNATURE "\x21\x31\0\x00"), RC_PERM, NULL, 0, NULL, NULL},
    {V(SIGNATURE "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x04\xd2\0\x19"), RC_PERM, NULL, 0, NULL,
     NULL},
    {V(SIGNATURE "\x21\x11\0\x0c\xc0\0\2"), RC_EOF, NULL, 0, NULL, NULL},
};

static void test_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct proxy_header h = {0};
        struct stream s;
        struct why why = {0};
        char text[ADDR_TEXT_SIZE];
        int pair[2];
        enum rc rc;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(write(pair[1], vectors[i].bytes, vectors[i].n), vectors[i].n);
        close(pair[1]);
        stream_init(&s, pair[0], 1000);
        rc = proxy_header_read(&s, &h, &why);
        if (rc != vectors[i].rc)
            fail_msg("row %zu: %d (%s), want %d", i, rc, why.text, vectors[i].rc);
        if (rc == RC_OK) {
            addr_format(&h.client, text);
            assert_string_equal(text, vectors[i].client);
            assert_int_equal(addr_port(&h.client), vectors[i].port);
            addr_format(&h.server, text);
            assert_string_equal(text, vectors[i].server);
            assert_str(stream_peek(&s), vectors[i].rest);
            assert_int_equal(h.is_local, vectors[i].client[0] == '\0');
        }
        stream_done(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
