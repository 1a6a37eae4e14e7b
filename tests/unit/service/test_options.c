#include "service/options.h"
#include "unit/unit.h"

enum { WORDS_MAX = 16 };

static enum rc parse(struct arena *a, const char *line, struct service_options *o, struct why *why)
{
    struct str rest = str_of(line), word;
    char **argv = arena_array(a, char *, WORDS_MAX);
    int argc = 0;

    while (str_token(&rest, " ", &word))
        argv[argc++] = arena_text(a, word);
    return service_options_parse(argc, argv, a, o, why);
}

static void as_master_gives_them(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct service_options o = {0};
    struct why why = {0};

    (void)state;
    assert_int_equal(parse(a, "smtpd -n 10025 -t inet -v -v -u -c -o stress= -s 2", &o, &why),
                     RC_OK);
    assert_string_equal(o.name, "10025");
    assert_string_equal(o.type, "inet");
    assert_int_equal(o.verbose, 2);
    assert_true(o.unprivileged && o.chroot);
    assert_false(o.single || o.unlimited || o.on_stdin);
    assert_int_equal(o.listeners, 2);
    assert_int_equal(o.overrides_n, 1);
    assert_str(o.overrides[0].name, "stress");
    assert_str(o.overrides[0].value, "");
    assert_int_equal(o.argc, 0);
}

static void arguments_follow(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct service_options o = {0};
    struct why why = {0};

    (void)state;
    assert_int_equal(
        parse(a, "pipe -zt unix -osyslog_name=x -o a=b flags=R -v argv=/bin/x", &o, &why), RC_OK);
    assert_true(o.unlimited);
    assert_string_equal(o.type, "unix");
    assert_int_equal(o.overrides_n, 2);
    assert_str(o.overrides[0].value, "x");
    assert_int_equal(o.argc, 3);
    assert_string_equal(o.argv[0], "flags=R");
    assert_string_equal(o.argv[1], "-v");
    assert_int_equal(o.verbose, 0);
}

static void defaults(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct service_options o = {.listeners = 7};
    struct why why = {0};

    (void)state;
    assert_int_equal(parse(a, "smtpd", &o, &why), RC_OK);
    assert_string_equal(o.type, "unix");
    assert_null(o.name);
    assert_int_equal(o.listeners, 1);
    assert_int_equal(o.idle_seconds, 0);
}

static void mistakes(void **state)
{
    static const char *const lines[] = {"x -k",   "x -n",     "x -s 0", "x -s many", "x -m -1",
                                        "x -i x", "x -o abc", "x -lQ",  "x -o =v"};
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct service_options o = {.listeners = 7};
        struct why why = {0};
        if (parse(a, lines[i], &o, &why) != RC_PERM)
            fail_msg("accepted: %s", lines[i]);
        assert_int_equal(o.listeners, 7);
        assert_true(strlen(why.text) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_master_gives_them),
        cmocka_unit_test(arguments_follow),
        cmocka_unit_test(defaults),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
