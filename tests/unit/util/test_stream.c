#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/unit.h"
#include "util/stream.h"

static void pair(struct stream *s, int *peer)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    stream_init(s, fds[0], 200);
    *peer = fds[1];
}

static void lines(void **state)
{
    struct stream s;
    struct str line;
    struct why why;
    bool crlf;
    int peer;

    (void)state;
    pair(&s, &peer);
    assert_int_equal(write(peer, "one\r\ntwo\nlonger-than-ten\nx", 26), 26);
    assert_int_equal(stream_line(&s, 10, &line, &crlf, &why), RC_OK);
    assert_str(line, "one");
    assert_true(crlf);
    assert_int_equal(stream_line(&s, 10, &line, &crlf, &why), RC_OK);
    assert_str(line, "two");
    assert_false(crlf);
    assert_int_equal(stream_line(&s, 10, &line, &crlf, &why), RC_PERM);
    assert_str(line, "longer-tha");
    assert_int_equal(stream_line(&s, 10, &line, &crlf, &why), RC_OK);
    assert_str(line, "n-ten");
    assert_int_equal(stream_line(&s, 10, &line, &crlf, &why), RC_TIMEOUT);
    close(peer);
    assert_int_equal(stream_line(&s, 10, &line, &crlf, &why), RC_EOF);
    stream_done(&s);
}

struct drained {
    int fd;
    ssize_t total;
};

static void *drain(void *arg)
{
    struct drained *d = arg;
    char sink[4096];
    ssize_t n;

    while ((n = read(d->fd, sink, sizeof sink)) > 0)
        d->total += n;
    return NULL;
}

static void much_output(void **state)
{
    struct stream s;
    struct why why;
    pthread_t reader;
    struct drained d = {0};

    (void)state;
    pair(&s, &d.fd);
    pthread_create(&reader, NULL, drain, &d);
    for (int i = 0; i < 50000; i++)
        stream_put(&s, STR("twenty bytes exactly"));
    assert_int_equal(stream_flush(&s, &why), RC_OK);
    stream_done(&s);
    pthread_join(reader, NULL);
    assert_int_equal(d.total, 1000000);
    close(d.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(much_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
