/* The runtime of session services: a child process runs one, the test is its master. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/service.h"
#include "service/status.h"
#include "unit/unit.h"

enum { PATIENCE_MS = 20 * 1000 };

/* ---- the service: answers each verify_request with what it was asked ---- */

static void echo_session(struct service_env *env, void *state, int fd)
{
    AUTO_ARENA a = arena_new(1024);
    enum ipc_type type;
    struct why why;
    struct ipc c;

    (void)state;
    ipc_init(&c, dup(fd), PATIENCE_MS);
    while (service_next(env, &c, &type, &why) == RC_OK) {
        struct verify_request request;
        struct verify_reply reply = {0};
        if (ipc_read_verify_request(&c, a, &request, NULL, &why) != RC_OK)
            break;
        reply.recipient_status = env->stress;
        reply.reason = request.address;
        if (ipc_send_verify_reply(&c, &reply, -1, &why) != RC_OK)
            break;
    }
    ipc_done(&c);
}

/* Tells by the status channel that it was poked, since it has no other way. */
static void poked(struct service_env *env, void *state, struct str requests)
{
    struct status_report report = {100 + (unsigned char)requests.p[0], (int32_t)requests.n};

    (void)env;
    (void)state;
    (void)!send(STATUS_FD, &report, sizeof report, 0);
}

static const struct service echo = {
    .name = "echo",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .session = echo_session,
    .wakeup = poked,
};

/* ---- the master ---- */

struct fixture {
    pid_t pid;
    int status;
    struct sockaddr_un at;
    char directory[64];
};

static int memory_file(const char *text)
{
    int fd = memfd_create("text", 0);

    assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static _Noreturn void be_the_service(const struct fixture *f, int status, int listener,
                                     const char *sessions, char **argv)
{
    int texts[2] = {memory_file("mail_owner = nobody\nqueue_directory = /\n"), memory_file("")};
    int argc = 0;

    if (chdir(f->directory) < 0)
        _exit(3);
    /* away from the numbers that are to be used */
    status = fcntl(status, F_DUPFD, 50);
    listener = fcntl(listener, F_DUPFD, 50);
    for (int i = 0; i < 2; i++)
        texts[i] = fcntl(texts[i], F_DUPFD, 50);
    dup2(status, STATUS_FD);
    dup2(listener, FIRST_LISTEN_FD);
    dup2(texts[0], 7);
    dup2(texts[1], 8);
    for (int fd = 9; fd < 100; fd++)
        close(fd);
    setenv("POSTERN_CONFIG_FD", "7:8", 1);
    setenv(SERVICE_SESSIONS_ENVIRONMENT, sessions, 1);
    while (argv[argc])
        argc++;
    _exit(service_main(&echo, argc, argv));
}

static struct status_report next_report(struct fixture *f)
{
    struct pollfd p = {.fd = f->status, .events = POLLIN};
    struct status_report r = {-1, -1};

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    (void)!recv(f->status, &r, sizeof r, 0);
    return r;
}

static void expect(struct fixture *f, enum status_word word, int value)
{
    struct status_report r = next_report(f);

    assert_int_equal(r.word, (int)word);
    if (value >= 0)
        assert_int_equal(r.value, value);
}

static void start(struct fixture *f, const char *sessions, char **argv)
{
    int pair[2], listener;

    strcpy(f->directory, "/tmp/service-test.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_int_equal(chmod(f->directory, 0755), 0);
    f->at = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(f->at.sun_path, sizeof f->at.sun_path, "%s/s", f->directory);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&f->at, sizeof f->at), 0);
    assert_int_equal(listen(listener, 100), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fflush(NULL);
    f->pid = fork();
    if (f->pid == 0)
        be_the_service(f, pair[1], listener, sessions, argv);
    close(pair[1]);
    close(listener);
    f->status = pair[0];
}

static void finish(struct fixture *f)
{
    char path[128];
    int status = -1;

    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(status, 0);
    close(f->status);
    snprintf(path, sizeof path, "%s/s", f->directory);
    unlink(path);
    rmdir(f->directory);
}

static int call(const struct fixture *f)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&f->at, sizeof f->at), 0);
    return fd;
}

static void connect_ipc(const struct fixture *f, struct ipc *c)
{
    ipc_init(c, call(f), PATIENCE_MS);
}

static enum rc ask(struct ipc *c, const char *text, long *stress)
{
    AUTO_ARENA a = arena_new(1024);
    struct verify_request request = {.address = str_of(text)};
    struct verify_reply reply;
    struct why why;

    TRY(ipc_send_verify_request(c, &request, -1, &why));
    TRY(ipc_read_verify_reply(c, a, &reply, NULL, &why));
    assert_str(reply.reason, text);
    if (stress)
        *stress = reply.recipient_status;
    return RC_OK;
}

static void assert_ended(struct ipc *c)
{
    char byte;
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(recv(c->fd, &byte, 1, 0) <= 0);
    ipc_done(c);
}

/* ---- tests ---- */

static char *plain[] = {(char *)"echo", (char *)"-t", (char *)"unix", (char *)"-u", NULL};

/* Three sessions at once, the fourth waits until one ends; then the process drains. */
static void sessions_at_once(void **state)
{
    struct fixture f = {0};
    struct ipc c[4];

    (void)state;
    start(&f, "3", plain);
    expect(&f, STATUS_STARTED, 3);
    for (int i = 0; i < 3; i++) {
        connect_ipc(&f, &c[i]);
        assert_int_equal(ask(&c[i], "hello", NULL), RC_OK);
    }
    expect(&f, STATUS_USED, -1);
    expect(&f, STATUS_FULL, -1);
    connect_ipc(&f, &c[3]);
    ipc_done(&c[0]);
    assert_int_equal(ask(&c[3], "fourth", NULL), RC_OK);
    expect(&f, STATUS_ROOM, -1);
    expect(&f, STATUS_FULL, -1);
    assert_int_equal(ask(&c[1], "again", NULL), RC_OK);
    shutdown(f.status, SHUT_WR); /* drain: kept connections end between requests */
    expect(&f, STATUS_DRAINING, 3);
    for (int i = 1; i < 4; i++)
        assert_ended(&c[i]);
    for (int left = 2; left >= 0; left--)
        expect(&f, STATUS_DRAINING, left);
    finish(&f);
}

/* What was sent before the drain is answered. */
static void drain_answers_what_was_asked(void **state)
{
    struct verify_request request = {.address = STR("last")};
    struct verify_reply reply;
    AUTO_ARENA a = arena_new(1024);
    struct fixture f = {0};
    struct why why;
    struct ipc c;

    (void)state;
    start(&f, "3", plain);
    expect(&f, STATUS_STARTED, 3);
    connect_ipc(&f, &c);
    assert_int_equal(ask(&c, "first", NULL), RC_OK);
    kill(f.pid, SIGSTOP);
    assert_int_equal(ipc_send_verify_request(&c, &request, -1, &why), RC_OK);
    shutdown(f.status, SHUT_WR);
    kill(f.pid, SIGCONT);
    assert_int_equal(ipc_read_verify_reply(&c, a, &reply, NULL, &why), RC_OK);
    assert_str(reply.reason, "last");
    assert_ended(&c);
    finish(&f);
}

static void max_use_counts_sessions(void **state)
{
    char *argv[] = {(char *)"echo", (char *)"-u", (char *)"-m", (char *)"2", NULL};
    struct fixture f = {0};
    struct ipc c;

    (void)state;
    start(&f, "50", argv);
    expect(&f, STATUS_STARTED, 50);
    for (int i = 0; i < 2; i++) {
        connect_ipc(&f, &c);
        (void)!ask(&c, "x", NULL);
        ipc_done(&c);
    }
    expect(&f, STATUS_USED, -1);
    expect(&f, STATUS_DRAINING, -1);
    finish(&f);
}

static void max_use_counts_for_each_place(void **state)
{
    char *argv[] = {(char *)"echo", (char *)"-u", (char *)"-o", (char *)"max_use=2", NULL};
    struct status_report r;
    struct fixture f = {0};
    struct ipc c;

    (void)state;
    start(&f, "3", argv);
    expect(&f, STATUS_STARTED, 3);
    for (int i = 0; i < 6; i++) {
        connect_ipc(&f, &c);
        assert_int_equal(ask(&c, "x", NULL), RC_OK);
        ipc_done(&c);
    }
    expect(&f, STATUS_USED, -1);
    while ((r = next_report(&f)).word != STATUS_DRAINING)
        assert_true(r.word == STATUS_FULL || r.word == STATUS_ROOM);
    finish(&f);
}

static void idle_process_ends(void **state)
{
    char *argv[] = {(char *)"echo", (char *)"-u", (char *)"-i", (char *)"1", NULL};
    struct fixture f = {0};

    (void)state;
    start(&f, "50", argv);
    expect(&f, STATUS_STARTED, 50);
    expect(&f, STATUS_DRAINING, 0);
    finish(&f);
}

static void triggers(void **state)
{
    struct status_report r;
    struct fixture f = {0};
    struct ipc c;
    int fd;

    (void)state;
    start(&f, "50", plain);
    expect(&f, STATUS_STARTED, 50);
    fd = call(&f);
    assert_int_equal(write(fd, "WI", 2), 2);
    close(fd);
    expect(&f, STATUS_USED, -1);
    r = next_report(&f);
    assert_int_equal(r.word, 100 + 'W');
    assert_int_equal(r.value, 2);
    connect_ipc(&f, &c); /* the same socket takes frames */
    assert_int_equal(ask(&c, "frame", NULL), RC_OK);
    ipc_done(&c);
    assert_int_equal(send(f.status, "D", 1, 0), 1);
    expect(&f, STATUS_DRAINING, -1);
    finish(&f);
}

static void stress_reaches_new_sessions(void **state)
{
    char *argv[] = {(char *)"echo", (char *)"-u",    (char *)"-o", (char *)"stress=",
                    (char *)"-m",   (char *)"10000", NULL};
    struct fixture f = {0};
    struct ipc c;
    long stress = 7;

    (void)state;
    start(&f, "50", argv);
    expect(&f, STATUS_STARTED, 50);
    connect_ipc(&f, &c);
    assert_int_equal(ask(&c, "calm", &stress), RC_OK);
    assert_int_equal(stress, 0);
    ipc_done(&c);
    assert_int_equal(send(f.status, "S", 1, 0), 1);
    for (int i = 0; i < 1000 && !stress; i++) {
        connect_ipc(&f, &c);
        assert_int_equal(ask(&c, "stressed", &stress), RC_OK);
        ipc_done(&c);
        usleep(1000);
    }
    assert_int_equal(stress, 1);
    shutdown(f.status, SHUT_WR);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_at_once),
        cmocka_unit_test(drain_answers_what_was_asked),
        cmocka_unit_test(max_use_counts_sessions),
        cmocka_unit_test(max_use_counts_for_each_place),
        cmocka_unit_test(idle_process_ends),
        cmocka_unit_test(triggers),
        cmocka_unit_test(stress_reaches_new_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
