#include "config/master_cf.h"
#include "unit/unit.h"

static struct master_cf parse(struct arena *a, const char *text)
{
    struct master_cf m = {0};
    struct why why = {0};

    if (master_cf_parse(str_of(text), "/x/master.cf", NULL, a, &m, &why) != RC_OK)
        fail_msg("%s", why.text);
    return m;
}

static void test_fields(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct master_cf m = parse(a, "# comment\n"
                                  "smtp inet n - y - 7 smtpd\n"
                                  "\n"
                                  "tlsmgr unix - n - 1000? - tlsmgr -v\n"
                                  "  x\n"
                                  "# inside\n"
                                  "  y\n"
                                  "postlog unix-dgram n - n 60 0 postlogd\n");

    (void)state;
    assert_int_equal(m.n, 3);
    assert_str(m.entries[0].name, "smtp");
    assert_int_equal(m.entries[0].type, MASTER_INET);
    assert_false(m.entries[0].is_private);
    assert_true(m.entries[0].is_unprivileged);
    assert_true(m.entries[0].is_chrooted);
    assert_int_equal(m.entries[0].maxproc, 7);
    assert_int_equal(m.entries[0].line, 2);
    assert_true(m.entries[1].is_private);
    assert_false(m.entries[1].is_unprivileged);
    assert_int_equal(m.entries[1].wakeup, 1000);
    assert_true(m.entries[1].wakeup_only_if_used);
    assert_int_equal(m.entries[1].maxproc, 100);
    assert_int_equal(m.entries[1].args_n, 3);
    assert_str(m.entries[1].args[2], "y");
    assert_int_equal(m.entries[1].options_n, 1);
    assert_int_equal(m.entries[2].wakeup, 60);
    assert_int_equal(m.entries[2].maxproc, 0);
    assert_int_equal(m.entries[2].line, 8);
}

static void test_overrides(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct master_cf m = parse(a, "x inet n - - - - smtpd -v -o a=1 -ob=2 -o { c = 3 4 } -i 5\n"
                                  " -o d= {plain text} -o e=5 {} ${nexthop}!x\n");
    const struct master_entry *e = &m.entries[0];

    (void)state;
    assert_int_equal(e->overrides_n, 4);
    assert_str(e->overrides[0].name, "a");
    assert_str(e->overrides[0].origin, "/x/master.cf, line 1");
    assert_str(e->overrides[1].value, "2");
    assert_str(e->overrides[2].name, "c");
    assert_str(e->overrides[2].value, "3 4");
    assert_str(e->overrides[3].value, "");
    assert_str(e->args[e->options_n], "plain text");
    assert_str(e->args[e->args_n - 2], "");
    assert_str(e->args[e->args_n - 1], "${nexthop}!x");
}

static void test_later_line_replaces(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    const char *text = "x unix - - - - - one\ny unix - - - - - two\nx unix - - - - - three\n"
                       "x pass - - - - - four\n";
    struct master_cf m = parse(a, text);
    struct why why;

    (void)state;
    assert_int_equal(m.n, 3);
    assert_str(m.entries[0].command, "three");
    assert_str(master_cf_find(&m, STR("x"), MASTER_PASS)->command, "four");
    assert_null(master_cf_find(&m, STR("x"), MASTER_FIFO));
    assert_int_equal(master_cf_parse(str_of(text), "m",
                                     &(struct master_reading){.keep_replaced = true}, a, &m, &why),
                     RC_OK);
    assert_int_equal(m.n, 4);
    assert_str(master_cf_find(&m, STR("x"), MASTER_UNIX)->command, "three");
}

static const struct {
    const char *text, *words;
} mistakes[] = {
    {"a b c\n", "/x/master.cf, line 1: bad field count: 3 of 8"},
    {"\n#\nsmtp inet y - - - - smtpd\n", "/x/master.cf, line 3: an inet service cannot be private"},
    {"a unix x - - - - c\n", "line 1: invalid private field \"x\"; write y, n or -"},
    {"a unix - - - x - c\n", "invalid wakeup field \"x\""},
    {"a unix - - - ? - c\n", "invalid wakeup field \"?\""},
    {"a unix - - - - -1 c\n", "invalid process_limit field \"-1\""},
    {"a blah - - - - - c\n", "invalid type field \"blah\"; write inet, unix,"},
    {"a/b unix - - - - - c\n", "invalid service field \"a/b\""},
    {"a unix - - - - - c -o\n", "-o without name=value"},
    {"a unix - - - - - c -o x\n", "line 1: missing '=' after attribute name: \"x\""},
    {"a unix - - - - - c -o =x\n", "missing attribute name"},
    {"a unix - - - - - c {x\n", "missing } in \"{x\""},
    {"a unix - - - - - c x={y\n", "missing } in \"x={y\""},
    {"a unix - - - - - c x}{y z}\n", "missing { in \"x}{y z}\""},
    {"a unix - - - - - c -o {x y = z}\n", "blank in attribute name: \"x y\""},
    {"a unix - - - - - c {x}y\n", "text after } in \"{x}y\""},
};

static void test_mistakes(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct master_cf m = {0};
        struct why why = {0};
        assert_int_equal(
            master_cf_parse(str_of(mistakes[i].text), "/x/master.cf", NULL, a, &m, &why),
            RC_CONFIG);
        if (strstr(why.text, mistakes[i].words) == NULL)
            fail_msg("got \"%s\", want \"%s\"", why.text, mistakes[i].words);
    }
}

static void test_config_for_service(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct str main_cf = STR("header_size_limit = 7\nmyhostname=a.example\nx = 5\n");
    struct config_request request = {.dir = "/x", .main_cf = &main_cf, .service_name = "smtp"};
    struct master_cf m =
        parse(a, "cleanup inet n - n - 0 x\n"
                 "cleanup unix n - n - 0 cleanup -o body_checks=$x$service_name\n");
    struct config *c = NULL;
    struct why why = {0};

    (void)state;
    assert_int_equal(config_for_service(&request, &m, STR("cleanup"), &c, &why), RC_OK);
    assert_str(c->body_checks, "5cleanup");
    assert_str(c->process_name, "cleanup");
    assert_int_equal(c->header_size_limit, 7);
    config_free(c);
    assert_int_equal(config_for_service(&request, &m, STR("none"), &c, &why), RC_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_later_line_replaces),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_config_for_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
