/* Options of sendmail, as the programs of forty years give them. */
#include <getopt.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deliver/process.h"
#include "sendmail/sendmail.h"
#include "unit/unit.h"

static void read_options(struct options *o, const char *line, struct arena *a)
{
    char **argv = process_words(a, str_of(line));
    int argc = 0;

    while (argv[argc])
        argc++;
    *o = (struct options){0};
    command_init(&o->command, argv[0]);
    optind = 1;
    options_read(o, argc, argv);
}

static const struct {
    const char *line;
    enum sendmail_mode mode;
} modes[] = {
    {"sendmail u@x", MODE_ENQUEUE},
    {"/usr/sbin/sendmail -bm u@x", MODE_ENQUEUE},
    {"sendmail -t", MODE_ENQUEUE},
    {"sendmail -bs", MODE_SMTP},
    {"sendmail -bp", MODE_LIST},
    {"/usr/bin/mailq", MODE_LIST},
    {"newaliases", MODE_NEWALIASES},
    {"sendmail -bi", MODE_NEWALIASES},
    {"sendmail -I", MODE_NEWALIASES},
    {"sendmail -bv u@x", MODE_VERIFY},
    {"sendmail -bd -q15m", MODE_DAEMON},
    {"sendmail -bl", MODE_DAEMON},
    {"sendmail -bh", MODE_IGNORE},
    {"sendmail -bH", MODE_IGNORE},
    {"sendmail -q", MODE_FLUSH},
    {"sendmail -qRsite.test", MODE_FLUSH_SITE},
    {"sendmail -qIABC", MODE_FLUSH_ID},
    {"sendmail -q1h u@x", MODE_IGNORE},
    {"sendmail -q1h -bd", MODE_DAEMON},
    {"sendmail -t u@x", MODE_ENQUEUE},
    {"sendmail -N sometimes -R most u@x", MODE_ENQUEUE},
    {"sendmail -oi -oem -odb -om -L tag -h 3 -U -n -p x -A c -x u@x", MODE_ENQUEUE},
};

static void test_modes(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct options o;
        read_options(&o, modes[i].line, a);
        if (o.mode != modes[i].mode)
            fail_msg("%s: mode %d", modes[i].line, o.mode);
    }
}

static void test_values(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct options o;

    (void)state;
    read_options(
        &o,
        "sendmail -f s@x -F Name -N success,failure -R hdrs -V id -B 8bitmime -G -v -v -XV+- "
        "-O smtputf8=yes -O requiretls=yes -O requiretls=no -O Other=1 -i -C /etc/x/main.cf "
        "a@y b@y",
        a);
    assert_string_equal(o.sender, "s@x");
    assert_string_equal(o.full_name, "Name");
    assert_int_equal(o.notify, 6);
    assert_int_equal(o.ret, 2);
    assert_string_equal(o.envid, "id");
    assert_string_equal(o.encoding, "8bit");
    assert_string_equal(o.verp, "+-");
    assert_string_equal(o.config_dir, "/etc/x");
    assert_int_equal(o.sendopts, 1);
    assert_int_equal(o.verbose, 2);
    assert_true(o.gateway && o.dot_is_text && !o.from_headers);
    assert_string_equal(o.recipients[0], "a@y");
    assert_string_equal(o.recipients[1], "b@y");
    assert_null(o.recipients[2]);
    read_options(&o, "sendmail -r s@z -oi -t -oA/etc/my -XV", a);
    assert_string_equal(o.sender, "s@z");
    assert_string_equal(o.alias_file, "/etc/my");
    assert_string_equal(o.verp, "");
    assert_true(o.from_headers && o.dot_is_text);
}

static const char *const bad[] = {
    "sendmail",
    "sendmail -bp u@x",
    "sendmail -qSsender",
    "sendmail -B 9BIT u@x",
    "sendmail -XV+ u@x",
    "sendmail -Xlog u@x",
    "sendmail -O smtputf8=perhaps u@x",
    "sendmail -bz",
    "sendmail -qx",
    "sendmail -qR",
    "sendmail -Z u@x",
};

static void test_mistakes(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct options o;
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            (void)!freopen("/dev/null", "w", stderr);
            read_options(&o, bad[i], a);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 75)
            fail_msg("%s: status %#x", bad[i], status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
