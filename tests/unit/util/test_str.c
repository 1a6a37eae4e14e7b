#include "unit/unit.h"
#include "util/str.h"

static void cuts_and_tokens(void **state)
{
    struct str rest = STR("a:b::c"), token;

    (void)state;
    assert_str(str_cut(&rest, ':'), "a");
    assert_str(str_cut(&rest, ':'), "b");
    assert_str(str_cut(&rest, ':'), "");
    assert_str(str_cut(&rest, ':'), "c");
    assert_null(rest.p);
    rest = STR(" one,two \t three,,");
    assert_true(str_token(&rest, LIST_SEPARATORS, &token));
    assert_str(token, "one");
    assert_true(str_token(&rest, LIST_SEPARATORS, &token));
    assert_str(token, "two");
    assert_true(str_token(&rest, LIST_SEPARATORS, &token));
    assert_str(token, "three");
    assert_false(str_token(&rest, LIST_SEPARATORS, &token));
    rest = STR("x { a b { c } } y");
    assert_true(str_token_braced(&rest, " ", &token));
    assert_true(str_token_braced(&rest, " ", &token));
    assert_str(token, "{ a b { c } }");
    assert_true(str_token_braced(&rest, " ", &token));
    assert_str(token, "y");
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        long value;
    } vectors[] = {
        {"0", true, 0},    {"-5", true, -5},   {"+7", true, 7},
        {"", false, 0},    {"-", false, 0},    {"1x", false, 0},
        {"101", false, 0}, {"-101", false, 0}, {"9223372036854775808", false, 0},
        {" 1", false, 0},  {"100", true, 100}, {"99999999999999999999", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        long value = -1;
        assert_int_equal(str_to_long(str_of(vectors[i].text), -100, 100, &value), vectors[i].ok);
        if (vectors[i].ok)
            assert_int_equal(value, vectors[i].value);
    }
}

static void utf8(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } vectors[] = {
        {"plain", true},
        {"\xc3\xa9", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x93\xa7", true},
        {"\xc3", false},
        {"\xc0\xaf", false},
        {"\xed\xa0\x80", false},
        {"\xff", false},
        {"\xf4\x90\x80\x80", false},
        {"\xe0\x80\x80", false},
        {"a\x80", false},
        {"", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++)
        assert_int_equal(str_is_utf8(str_of(vectors[i].text)), vectors[i].ok);
}

static void searches(void **state)
{
    (void)state;
    assert_int_equal(str_index(STR("a.b.c"), '.'), 1);
    assert_int_equal(str_rindex(STR("a.b.c"), '.'), 3);
    assert_int_equal(str_index(STR_NONE, '.'), -1);
    assert_int_equal(str_index_any(STR("user+ext"), "-+"), 4);
    assert_int_equal(str_find(STR("hello world"), STR("o w")), 4);
    assert_int_equal(str_find_nocase(STR("Hello"), STR("LL")), 2);
    assert_true(str_has_prefix_nocase(STR("MAIL FROM:"), STR("mail")));
    assert_true(str_has_suffix(STR("a.example"), STR(".example")));
    assert_false(str_has_suffix(STR("e"), STR(".example")));
    assert_str(str_trim(STR(" \t x y \r\n")), "x y");
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
}

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool fits;
    } vectors[] = {
        {"*.ex.org", "a.ex.org", true},
        {"*.ex.org", "ex.org", false},
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"**", "a", true},
        {"a*c", "ABBC", true},
        {"a*c", "abb", false},
        {"ex.org", "EX.org", true},
        {"*ab*ab", "aabab", true},
        {"*ab*ab", "aab", false},
        {"a*b*c", "a1b2b3c", true},
        {"a*b*c", "a1b2b3", false},
        {"*x*", "abc", false},
        {"a?", "ab", false},
        {"[a]", "[a]", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++)
        assert_int_equal(str_fits(str_of(vectors[i].text), str_of(vectors[i].pattern)),
                         vectors[i].fits);
}

static struct str formatted(char *storage, size_t size, const char *format, ...)
{
    struct str s;
    va_list args;

    va_start(args, format);
    s = str_vformat(storage, size, format, args);
    va_end(args);
    return s;
}

static void formats(void **state)
{
    char storage[4];

    (void)state;
    assert_str(formatted(storage, sizeof storage, "%s", ""), "");
    assert_str(formatted(storage, sizeof storage, "%d", 123), "123");
    assert_str(formatted(storage, sizeof storage, "%d", 12345), "123");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats), cmocka_unit_test(cuts_and_tokens), cmocka_unit_test(numbers),
        cmocka_unit_test(utf8),    cmocka_unit_test(searches),        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
