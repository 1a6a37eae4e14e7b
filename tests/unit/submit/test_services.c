/* What the library says to other services, and several threads at once. */
#include <pthread.h>

#include "unit/submit/desk.h"

/* A service that answers everything with status and notes what it was asked. */
struct service {
    int listening;
    long status;
    struct arena *arena;
    char asked[512];
    pthread_t thread;
};

static void *serve(void *context)
{
    struct service *v = context;
    struct why why;
    struct ipc c;
    enum ipc_type type;

    ipc_init(&c, desk_accept(v->listening), 5000);
    while (ipc_next(&c, &type, &why) == RC_OK) {
        const struct status_reply reply = {.status = v->status};
        size_t n = strlen(v->asked);
        if (type == IPC_bounce_append) {
            struct bounce_append m = {0};
            if (ipc_read_bounce_append(&c, v->arena, &m, NULL, &why) != RC_OK)
                break;
            snprintf(v->asked + n, sizeof v->asked - n,
                     "append " STR_FMT " " STR_FMT " " STR_FMT " (" STR_FMT ")\n",
                     STR_ARG(m.recipient.address), STR_ARG(m.dsn.action), STR_ARG(m.dsn.status),
                     STR_ARG(m.dsn.reason));
        } else {
            struct bounce_flush m = {0};
            if (ipc_read_bounce_flush(&c, v->arena, &m, NULL, &why) != RC_OK)
                break;
            snprintf(v->asked + n, sizeof v->asked - n, "flush " STR_FMT " to " STR_FMT "\n",
                     STR_ARG(m.queue_name), STR_ARG(m.sender));
        }
        if (ipc_send_status_reply(&c, &reply, -1, &why) != RC_OK)
            break;
    }
    ipc_done(&c);
    return NULL;
}

static void service_start(struct service *v, struct desk *d, const char *name, long status)
{
    char path[96];
    struct why why;

    *v = (struct service){.status = status, .arena = arena_new(4096)};
    snprintf(path, sizeof path, "%s/private/%s", d->dir, name);
    assert_int_equal(net_listen_unix(path, SOCK_STREAM, 0600, 10, &v->listening, &why), RC_OK);
    assert_int_equal(pthread_create(&v->thread, NULL, serve, v), 0);
}

static void service_end(struct service *v)
{
    pthread_join(v->thread, NULL);
    close(v->listening);
    arena_free(v->arena);
}

static void refused_mail_is_returned(void **state)
{
    struct desk d;
    struct service bounce;

    (void)state;
    desk_open(&d, "header_checks = inline:{{Subject: x=REJECT 5.6.6 no x}}\n");
    service_start(&bounce, &d, "bounce", 0);
    assert_int_equal(
        desk_send(&d, SUBMIT_FLAGS_EXTERNAL | SUBMIT_BOUNCE, "a@y.test b@y.test", "Subject: x\n\n"),
        0);
    service_end(&bounce);
    assert_string_equal(bounce.asked, "append a@y.test failed 5.6.6 (no x)\n"
                                      "append b@y.test failed 5.6.6 (no x)\n"
                                      "flush incoming to s@x.test\n");
    assert_null(desk_dump(&d, "incoming"));
    assert_logged(&d, "removed (discarded)");
    desk_close(&d);
}

static void refused_mail_without_bounce_service(void **state)
{
    struct desk d;
    struct service bounce;

    (void)state;
    desk_open(&d, "header_checks = inline:{{Subject: x=REJECT}}\n");
    assert_int_equal(
        desk_send(&d, SUBMIT_FLAGS_EXTERNAL | SUBMIT_BOUNCE, "a@y.test", "Subject: x\n\n"),
        SUBMIT_CONTENT);
    assert_null(desk_dump(&d, "incoming"));
    service_start(&bounce, &d, "bounce", 1);
    assert_int_equal(
        desk_send(&d, SUBMIT_FLAGS_EXTERNAL | SUBMIT_BOUNCE, "a@y.test", "Subject: x\n\n"),
        SUBMIT_CONTENT);
    service_end(&bounce);
    assert_null(desk_dump(&d, "incoming"));
    assert_logged(&d, "cannot return the message to its sender");
    desk_close(&d);
}

static void expanded_alias_is_traced(void **state)
{
    struct desk d;
    struct service trace;
    struct recipient r = {.address = STR("list@y.test"), .dsn_notify = 2 | 4};

    (void)state;
    desk_open(&d, "virtual_alias_maps = inline:{{list@y.test=a@y.test b@y.test}}\n");
    service_start(&trace, &d, "trace", 0);
    desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "s@x.test");
    submit_recipient(d.message, &r);
    desk_content(&d, "Message-Id: <1>\n\n");
    {
        unsigned st = desk_finish(&d);
        if (st) {
            desk_run(&d, "cat log >&2");
            fail_msg("st %u", st);
        }
    }
    service_end(&trace);
    assert_string_equal(trace.asked, "append list@y.test expanded 2.0.0 (alias expanded)\n");
    assert_string_equal(desk_records(&d, "incoming", "R"), "R a@y.test\nR b@y.test\n");
    assert_non_null(strstr(desk_dump(&d, "incoming"), "A notify_flags=4\n"));
    assert_null(strstr(desk_dump(&d, "incoming"), "A notify_flags=6\n"));
    /* the hint that there is a trace to send */
    assert_int_equal(strtol(desk_dump(&d, "incoming") + 2 + 3 * 16, NULL, 10), (2 | 4) << 1);
    desk_close(&d);
}

/* ---- threads ---- */

enum { THREADS = 8, MESSAGES = 50 };

struct crowd {
    struct desk *desk;
    _Atomic int queued;
};

static void *send_many(void *context)
{
    struct crowd *c = context;
    struct desk mine = *c->desk;

    mine.arena = arena_new(4096);
    for (int i = 0; i < MESSAGES; i++)
        if (desk_send(&mine, SUBMIT_FLAGS_EXTERNAL, "a@y.test bob@example.test",
                      "Subject: x\n\nbody\n") == 0)
            c->queued++;
    arena_free(mine.arena);
    return NULL;
}

static void *take_many(void *context)
{
    struct desk *d = context;
    AUTO_ARENA a = arena_new(4096);
    struct why why;
    struct ipc c;
    static const int all = THREADS * MESSAGES;

    ipc_init(&c, desk_accept(d->qmgr), 10000);
    for (int i = 0; i < all; i++) {
        struct message_ready m = {0};
        int fd;
        if (ipc_read_message_ready(&c, a, &m, &fd, &why) != RC_OK)
            break;
        close(fd);
        arena_reset(a);
    }
    ipc_done(&c);
    return NULL;
}

static void crowd(void **state)
{
    struct desk d;
    struct crowd c = {.desk = &d};
    pthread_t threads[THREADS], qmgr;

    (void)state;
    desk_open(&d,
              "canonical_maps = inline:{a@y.test=b@y.test}\nheader_checks = inline:{{a=WARN}}\n");
    desk_listen(&d);
    pthread_create(&qmgr, NULL, take_many, &d);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, send_many, &c);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(qmgr, NULL);
    assert_int_equal(c.queued, THREADS * MESSAGES);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_mail_is_returned),
        cmocka_unit_test(refused_mail_without_bounce_service),
        cmocka_unit_test(expanded_alias_is_traced),
        cmocka_unit_test(crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
