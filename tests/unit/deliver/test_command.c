/* What exit statuses and outputs of commands mean; the environment they get; running one. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "deliver/command.h"
#include "unit/unit.h"
#include "util/clock.h"

#define EXIT(n)   ((n) << 8)
#define SIGNAL(n) (n)

static void test_outcomes(void **state)
{
    static const struct {
        int status;
        const char *output, *dsn, *reason;
    } rows[] = {
        {EXIT(0), "noise", "2.0.0", ""},
        {EXIT(64), "", "5.3.0", "command line usage error"},
        {EXIT(65), "", "5.6.0", "data format error"},
        {EXIT(67), "", "5.1.1", "user unknown"},
        {EXIT(68), "", "5.1.2", "host name unknown"},
        {EXIT(69), "down\n", "5.3.0", "service unavailable. Command output: down"},
        {EXIT(71), "", "4.3.0", "system resource problem"},
        {EXIT(73), "", "5.2.0", "can't create user output file"},
        {EXIT(75), "", "4.3.0", "temporary failure"},
        {EXIT(77), "", "5.7.0", "permission denied"},
        {EXIT(78), "", "5.3.5", "local configuration error"},
        {EXIT(1), "", "5.3.0", "Command died with status 1: \"cmd\""},
        {EXIT(1), " a\n\tb\n", "5.3.0",
         "Command died with status 1: \"cmd\". Command output: a  b"},
        {EXIT(255), "", "5.3.0", "Command died with status 255: \"cmd\""},
        {EXIT(1), "4.2.1 not now", "4.2.1", "not now"},
        {EXIT(75), "5.7.1 never", "5.7.1", "never"},
        {EXIT(1), "2.0.0 fine", "5.3.0",
         "Command died with status 1: \"cmd\". Command output: 2.0.0 fine"},
        {SIGNAL(9), "", "4.3.0", "Command died with signal 9: \"cmd\""},
        {SIGNAL(11), "5.0.0 x", "4.3.0",
         "Command died with signal 11: \"cmd\". Command output: 5.0.0 x"},
    };
    AUTO_ARENA a = arena_new(1024);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dsn dsn = command_outcome(a, STR("cmd"), rows[i].status, str_of(rows[i].output));
        assert_str(dsn.status, rows[i].dsn);
        assert_str(dsn.reason, rows[i].reason);
    }
}

static const char *find(char *const *v, const char *name)
{
    size_t n = strlen(name);

    for (; *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
            return *v + n + 1;
    return NULL;
}

static void test_environment(void **state)
{
    const struct str main_cf =
        STR("export_environment = TZ NOT_SET A=1 { B = two words } PATH=/own\n");
    const struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    AUTO_ARENA a = arena_new(1024);
    struct config *config = NULL;
    struct environment e;
    char *const *v;
    struct why why = {0};

    (void)state;
    setenv("TZ", "Test/Zone", 1);
    setenv("SECRET", "x", 1);
    if (config_load(&request, &config, &why) != RC_OK)
        fail_msg("%s", why.text);
    environment_init(&e, a, config);
    environment_set(&e, "A", STR("3"));
    environment_set(&e, "AB", STR(""));
    v = environment_vector(&e);
    assert_string_equal(find(v, "TZ"), "Test/Zone");
    assert_null(find(v, "NOT_SET"));
    assert_null(find(v, "SECRET"));
    assert_string_equal(find(v, "A"), "3");
    assert_string_equal(find(v, "AB"), "");
    assert_string_equal(find(v, "B"), "two words");
    assert_string_equal(find(v, "PATH"), "/own");
    config_free(config);
}

static int run(const char *command, long limit_ms, char output[256], enum rc *rc)
{
    AUTO_ARENA a = arena_new(1024);
    const struct service_env env = {.rootless = true};
    char *environment[] = {arena_text(a, STR("PATH=/bin:/usr/bin")), arena_text(a, STR("X=y")),
                           NULL};
    char *argv[] = {arena_text(a, STR("/bin/sh")), arena_text(a, STR("-c")),
                    arena_text(a, str_of(command)), NULL};
    int in[2], out[2], status = -1;
    struct process p = {.argv = argv, .environment = environment};
    struct why why = {0};
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    p.input = in[0];
    p.output = out[1];
    assert_int_equal(process_start(&env, &p, &pid, &why), RC_OK);
    close(in[0]);
    close(in[1]);
    close(out[1]);
    *rc = process_wait(pid, clock_ms() + limit_ms, &status, &why);
    if (*rc == RC_TIMEOUT)
        process_kill(&env, pid);
    n = read(out[0], output, 255);
    output[n > 0 ? n : 0] = '\0';
    close(out[0]);
    return status;
}

static void test_running(void **state)
{
    char output[256];
    enum rc rc;

    (void)state;
    assert_int_equal(WEXITSTATUS(run("echo $X; cat; exit 7", 5000, output, &rc)), 7);
    assert_int_equal(rc, RC_OK);
    assert_string_equal(output, "y\n");
    /* nothing but 0, 1 and 2 is open */
    (void)run("ls /proc/self/fd | tr '\\n' ' '", 5000, output, &rc);
    assert_int_equal(rc, RC_OK);
    assert_string_equal(output, "0 1 2 3 "); /* 3: of ls */
    /* time limit: the children of the shell end as well */
    (void)run("sleep 100 & echo $!; sleep 100", 100, output, &rc);
    assert_int_equal(rc, RC_TIMEOUT);
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/exe", strtol(output, NULL, 10));
    char link[256];
    for (int i = 0; i < 100 && readlink(path, link, sizeof link) >= 0; i++)
        usleep(10000);
    assert_true(readlink(path, link, sizeof link) < 0);
}

static void test_not_started(void **state)
{
    const struct service_env env = {.rootless = true};
    char *const none[] = {NULL};
    static const struct {
        const char *program, *directory, *words;
    } rows[] = {
        {"/nonexistent/x", NULL, "execute /nonexistent/x: No such file or directory"},
        {"/etc/passwd", NULL, "execute /etc/passwd: Permission denied"},
        {"/bin/true", "/nonexistent", "change working directory to /nonexistent: No such file"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *argv[] = {(char *)rows[i].program, NULL};
        struct process p = {.argv = argv,
                            .environment = none,
                            .directory = rows[i].directory,
                            .input = 0,
                            .output = 1};
        struct why why = {0};
        pid_t pid;
        assert_int_equal(process_start(&env, &p, &pid, &why), RC_TEMP);
        assert_true(strncmp(why.text, rows[i].words, strlen(rows[i].words)) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_not_started),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
