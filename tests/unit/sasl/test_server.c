/* Back ends of the server's side, used by many threads at once. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "sasl/server.h"
#include "unit/unit.h"
#include "util/net.h"
#include "util/stream.h"

enum { THREADS = 8, LOGINS = 40 };

/* ---- an authentication server: whose name begins with "x" is wrong; "bye" ends a connection ----
 */

struct fake {
    int listener;
    char path[64];
    pthread_t thread;
};

static bool answer(struct stream *s, struct str line)
{
    struct str rest = line, word = str_cut(&rest, '\t'), id = str_cut(&rest, '\t');
    ssize_t at = str_find(rest, STR("resp="));
    AUTO_ARENA a = arena_new(512);
    struct str text = STR("");

    if (!str_eq(word, STR("AUTH")) && !str_eq(word, STR("CONT")))
        return true;
    if (str_eq(word, STR("CONT")))
        text = rest;
    else if (at >= 0)
        text = str_from(rest, (size_t)at + 5);
    else {
        stream_putf(s, "CONT\t" STR_FMT "\t\n", STR_ARG(id));
        return true;
    }
    assert_int_equal(login_decode(a, text, 100, &text, NULL), RC_OK);
    if (str_eq(text, STR("bye")))
        return false;
    stream_putf(s, "%s\t" STR_FMT "\tuser=" STR_FMT "\n", text.p[0] == 'x' ? "FAIL" : "OK",
                STR_ARG(id), STR_ARG(text));
    return true;
}

static void *serve(void *context)
{
    struct stream s;
    struct str line;

    stream_init(&s, (int)(long)context, 20000);
    stream_put(&s, STR("VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tX\tprivate\nDONE\n"));
    while (stream_line(&s, 4096, &line, NULL, NULL) == RC_OK && answer(&s, line))
        ;
    stream_done(&s);
    return NULL;
}

static void *accept_all(void *context)
{
    struct fake *f = context;
    pthread_t thread;
    int fd;

    while ((fd = accept(f->listener, NULL, NULL)) >= 0) {
        assert_int_equal(pthread_create(&thread, NULL, serve, (void *)(long)fd), 0);
        pthread_detach(thread);
    }
    return NULL;
}

static void fake_start(struct fake *f)
{
    struct addr a = {.un = {.sun_family = AF_UNIX}, .bytes = sizeof a.un};

    snprintf(f->path, sizeof f->path, "/tmp/test_server.%d", (int)getpid());
    snprintf(a.un.sun_path, sizeof a.un.sun_path, "%s", f->path);
    unlink(f->path);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, &a.sa, a.bytes), 0);
    assert_int_equal(listen(f->listener, 20), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, accept_all, f), 0);
}

static void fake_stop(struct fake *f)
{
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->listener);
    unlink(f->path);
}

/* ---- logins ---- */

static const struct login_peer peer = {.client_address = STR_INIT("192.0.2.1"),
                                       .security = LOGIN_NOANONYMOUS};

static enum login_status login(struct login_server *s, struct str text, bool at_once,
                               struct login_reply *reply, struct arena *a)
{
    struct str response = login_encode(a, text);
    struct login_exchange *x;
    enum login_status status =
        login_server_begin(s, &peer, a, STR("PLAIN"), at_once ? response : STR_NONE, &x, reply);

    if (!at_once && status == LOGIN_MORE)
        status = login_server_step(x, response, reply);
    login_server_end(x);
    return status;
}

struct worker {
    struct login_server *server;
    int number, trouble;
    bool disturbs;
    pthread_t thread;
};

static void *work(void *context)
{
    struct worker *w = context;
    struct login_reply reply;

    for (int i = 0; i < LOGINS; i++) {
        AUTO_ARENA a = arena_new(1024);
        bool wrong = i % 3 == 0;
        struct str text = arena_printf(a, "%cuser%d.%d", wrong ? 'x' : 'a', w->number, i);
        struct str list;
        enum login_status status;
        if (w->disturbs && i % 10 == 5)
            text = STR("bye");
        assert_int_equal(login_server_mechanisms(w->server, &peer, a, &list, NULL), RC_OK);
        assert_str(list, "PLAIN");
        status = login(w->server, text, i % 2, &reply, a);
        if (status == LOGIN_TROUBLE) {
            w->trouble++;
            continue;
        }
        assert_int_equal(status, wrong ? LOGIN_FAILED : LOGIN_OK);
        assert_true(str_eq(reply.username, text)); /* nobody got the answer to another */
    }
    return NULL;
}

static int run_workers(struct login_server *server, bool disturb)
{
    struct worker workers[THREADS];
    int trouble = 0;

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.server = server, .number = i, .disturbs = disturb && i == 0};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        trouble += workers[i].trouble;
    }
    return trouble;
}

static struct login_server *open_server(const char *type, const char *path)
{
    const struct login_server_options o = {
        .type = str_of(type),
        .path = str_of(path),
        .service = STR("smtp"),
        .timeout_ms = 10000,
    };
    struct login_server *server = NULL;
    struct why why = {0};

    if (login_server_open(&o, &server, &why) != RC_OK)
        fail_msg("%s", why.text);
    return server;
}

static void test_dovecot(void **state)
{
    struct login_server *server;
    struct fake fake;

    (void)state;
    fake_start(&fake);
    server = open_server("dovecot", fake.path);
    assert_int_equal(run_workers(server, false), 0);
    /* a connection that is lost costs those their login who were waiting twice, or had begun */
    assert_true(run_workers(server, true) < THREADS * LOGINS / 4);
    login_server_close(server);
    fake_stop(&fake);
}

static void test_dovecot_is_away(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct login_server *server = open_server("dovecot", "/nonexistent/auth");
    struct login_reply reply;
    struct str list;
    struct why why;

    (void)state;
    assert_int_equal(login_server_mechanisms(server, &peer, a, &list, &why), RC_TEMP);
    assert_non_null(strstr(why.text, "/nonexistent/auth"));
    assert_int_equal(login(server, STR("x"), true, &reply, a), LOGIN_TROUBLE);
    login_server_close(server);
}

/* ---- a table of users ---- */

#define HASH                                                                                       \
    "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2" /* of "secret"           \
                                                                           */

static void *work_file(void *context)
{
    struct login_server *server = context;
    struct login_reply reply;

    for (int i = 0; i < LOGINS / 4; i++) {
        AUTO_ARENA a = arena_new(1024);
        bool good = i % 2;
        struct str text =
            good ? (struct str){"\0one\0secret", 11} : (struct str){"\0one\0public", 11};
        assert_int_equal(login(server, text, good, &reply, a), good ? LOGIN_OK : LOGIN_FAILED);
        assert_str(reply.username, "one");
    }
    return NULL;
}

static void test_file(void **state)
{
    struct login_server *server = open_server("file", "inline:{one=" HASH "}");
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_file, server), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    login_server_close(server);
}

static void test_wrong_settings(void **state)
{
    static const char *const settings[][2] = {
        {"nosuch", "x"},
        {"file", "users"},
        {"dovecot", "inet:"},
        {"dovecot", ""},
    };
    struct login_server *server;
    struct why why;

    (void)state;
    for (size_t i = 0; i < COUNT(settings); i++) {
        const struct login_server_options o = {.type = str_of(settings[i][0]),
                                               .path = str_of(settings[i][1])};
        assert_int_equal(login_server_open(&o, &server, &why), RC_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dovecot),
        cmocka_unit_test(test_dovecot_is_away),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_wrong_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
