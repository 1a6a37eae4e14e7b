/* Passwords that are typed in different forms. */
#include <dlfcn.h>

#include "sasl/prep.h"
#include "sasl/user.h"
#include "unit/unit.h"

static const struct vector {
    const char *in, *out;
} vectors[] = {
    {"plain ASCII", "plain ASCII"},
    {"I\u00adX", "IX"}, /* RFC 4013 3 */
    {"\u00aa", "a"},
    {"\u2168", "IX"},
    {"a\u00a0b", "a b"},
    {"pa\u0308sswo\u0308rd", "p\u00e4ssw\u00f6rd"},
    {"p\u00e4ssw\u00f6rd", "p\u00e4ssw\u00f6rd"},
    {"\u0627"
     "1",
     "\u0627"
     "1"},                    /* forbidden by its direction: as it is */
    {"\u00e4\a", "\u00e4\a"}, /* a control character */
    {"\xe4", "\xe4"},         /* no UTF-8 */
    {"", ""},
};

static bool has_library(void)
{
    return dlopen("libidn.so.12", RTLD_NOW) != NULL;
}

static void test_vectors(void **state)
{
    AUTO_ARENA a = arena_new(1024);

    (void)state;
    if (!has_library())
        skip();
    prep_load();
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        assert_str(prep_password(str_of(vectors[i].in), a), vectors[i].out);
}

static void test_entries(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct user_entry e;
    struct str text;

    (void)state;
    if (!has_library())
        skip();
    assert_int_equal(user_entry_make(str_of("pa\u0308sswo\u0308rd"), a, &text, NULL), RC_OK);
    assert_int_equal(user_entry_parse(text, &e, NULL), RC_OK);
    assert_int_equal(user_password_check(&e, str_of("p\u00e4ssw\u00f6rd"), NULL), RC_OK);
    assert_int_equal(user_password_check(&e, str_of("pa\u0308sswo\u0308rd"), NULL), RC_OK);
    assert_int_equal(user_password_check(&e, str_of("passwo\u0308rd"), NULL), RC_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
