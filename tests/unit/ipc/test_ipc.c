#include <sys/socket.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "unit/unit.h"

static struct recipient recipients[2] = {
    {.address = STR_INIT("a@b.example"), .original = STR_INIT("o"), .dsn_notify = 2, .offset = 700},
    {.address = STR_INIT("c@d.example"), .nexthop = STR_INIT("[mx]"), .offset = -1},
};
static const struct deliver_request request = {
    .flags = 3,
    .queue_id = STR_INIT("ABC123"),
    .sender = STR_INIT("s@x.example"),
    .origin = {.helo = STR_INIT("client")},
    .recipients = recipients,
    .n_recipients = 2,
};

static void round_trip(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    AUTO_BUF b, again;
    struct deliver_request got = {0};
    struct why why;

    (void)state;
    buf_init(&b, IPC_FRAME_MAX);
    buf_init(&again, IPC_FRAME_MAX);
    assert_int_equal(ipc_encode(&b, IPC_deliver_request, &request, &why), RC_OK);
    assert_int_equal(ipc_decode(buf_str(&b), IPC_deliver_request, a, &got, &why), RC_OK);
    assert_str(got.origin.helo, "client");
    assert_int_equal(got.n_recipients, 2);
    assert_str(got.recipients[1].nexthop, "[mx]");
    assert_int_equal(got.recipients[1].offset, -1);
    assert_int_equal(ipc_encode(&again, IPC_deliver_request, &got, &why), RC_OK);
    assert_true(str_eq(buf_str(&b), buf_str(&again)));
}

static void damage_is_refused(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    AUTO_BUF b;
    struct deliver_request got = {.flags = 77};
    struct why why;

    (void)state;
    buf_init(&b, IPC_FRAME_MAX);
    assert_int_equal(ipc_encode(&b, IPC_deliver_request, &request, &why), RC_OK);
    for (size_t n = 0; n < b.n; n++) {
        struct str cut = {b.p, n};
        assert_int_equal(ipc_decode(cut, IPC_deliver_request, a, &got, &why), RC_PERM);
    }
    assert_int_equal(ipc_decode(buf_str(&b), IPC_deliver_result, a, &got, &why), RC_PERM);
    assert_int_equal(got.flags, 77);
}

static void too_long_a_field(void **state)
{
    AUTO_BUF b;
    char text[100] = {0};
    struct status_reply reply = {0, {text, 2000}};
    struct why why;

    (void)state;
    buf_init(&b, IPC_FRAME_MAX);
    assert_int_equal(ipc_encode(&b, IPC_status_reply, &reply, &why), RC_PERM);
}

static void descriptor_travels(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct ipc left, right;
    struct deliver_request got;
    struct why why;
    enum ipc_type type;
    int fds[2], pipe_fds[2], received;
    char byte = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(pipe(pipe_fds), 0);
    ipc_init(&left, fds[0], 1000);
    ipc_init(&right, fds[1], 1000);
    assert_int_equal(write(left.fd, "WI", 2), 2);
    assert_int_equal(ipc_send_deliver_request(&left, &request, pipe_fds[1], &why), RC_OK);
    assert_int_equal(ipc_receive(&right, &why), RC_OK);
    assert_str(ipc_trigger_bytes(&right), "WI");
    while (!ipc_has_frame(&right, &type))
        assert_int_equal(ipc_receive(&right, &why), RC_OK);
    assert_int_equal(type, IPC_deliver_request);
    assert_int_equal(ipc_read_deliver_request(&right, a, &got, &received, &why), RC_OK);
    assert_str(got.queue_id, "ABC123");
    assert_int_equal(write(received, "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    close(received);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    ipc_done(&left);
    assert_int_equal(ipc_read_deliver_request(&right, a, &got, &received, &why), RC_EOF);
    ipc_done(&right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(too_long_a_field),
        cmocka_unit_test(descriptor_travels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
