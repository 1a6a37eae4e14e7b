#include "global/dsn.h"
#include "unit/unit.h"

static void prefixes(void **state)
{
    static const struct {
        const char *text;
        size_t n;
    } rows[] = {
        {"5.7.1", 5},         {"5.7.1 text", 5}, {"4.17.123 text", 8}, {"3.7.1 text", 0},
        {"5.7.1text", 0},     {"5.7", 0},        {"5..1", 0},          {"5.7.", 0},
        {"5.1234.1 text", 0}, {"", 0},           {"2.0.0\ttext", 5},   {"5.7.1234", 0},
    };
    struct str status, rest;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(dsn_prefix(str_of(rows[i].text)), rows[i].n);
    dsn_split(STR("5.7.9  go away"), "5.7.1", &status, &rest);
    assert_str(status, "5.7.9");
    assert_str(rest, "go away");
    dsn_split(STR("go away"), "5.7.1", &status, &rest);
    assert_str(status, "5.7.1");
    assert_str(rest, "go away");
}

static void parameters(void **state)
{
    long v = -1;

    (void)state;
    assert_true(dsn_notify_parse(STR("never"), &v));
    assert_int_equal(v, DSN_NOTIFY_NEVER);
    assert_true(dsn_notify_parse(STR("SUCCESS,delay"), &v));
    assert_int_equal(v, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY);
    assert_false(dsn_notify_parse(STR("NEVER,SUCCESS"), &v));
    assert_false(dsn_notify_parse(STR("SUCCESS,"), &v));
    assert_false(dsn_notify_parse(STR(""), &v));
    assert_true(dsn_ret_parse(STR("Hdrs"), &v));
    assert_int_equal(v, DSN_RET_HDRS);
    assert_false(dsn_ret_parse(STR("ALL"), &v));
}

static void xtext(void **state)
{
    AUTO_ARENA a = arena_new(0);
    struct str out = STR("unset");
    struct why why;

    (void)state;
    assert_str(xtext_encode(a, STR("a+b=c d\x7f")), "a+2Bb+3Dc+20d+7F");
    assert_int_equal(xtext_decode(a, STR("a+2Bb+3Dc"), &out, &why), RC_OK);
    assert_str(out, "a+b=c");
    assert_int_equal(xtext_decode(a, STR("a+2b"), &out, &why), RC_PERM);
    assert_int_equal(xtext_decode(a, STR("a+2"), &out, &why), RC_PERM);
    assert_int_equal(xtext_decode(a, STR("a b"), &out, &why), RC_PERM);
    assert_str(out, "a+b=c");
}

static void exits(void **state)
{
    (void)state;
    assert_string_equal(exit_status_find(75)->dsn, "4.3.0");
    assert_string_equal(exit_status_find(67)->text, "user unknown");
    assert_null(exit_status_find(1));
    assert_null(exit_status_find(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(prefixes), cmocka_unit_test(parameters),
                                       cmocka_unit_test(xtext), cmocka_unit_test(exits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
