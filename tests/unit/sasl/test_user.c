/* Entries of a table of users. */
#include "sasl/user.h"
#include "unit/unit.h"

#define SHA512                                                                                     \
    "$6$saltstring$0QR3T9e/2G8sEPfbKTD3P2/MLtrAX.gBCmcHc15AYUJGgUfPEHd1zQpiVhVCH7jDSh4R.7bmwJbCdgGgi6BAV0"

static void test_new_entry(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct user_entry e;
    struct str text;

    (void)state;
    assert_int_equal(user_entry_make(STR("sesame opens"), a, &text, NULL), RC_OK);
    assert_true(str_has_prefix(text, STR("$y$")));
    assert_true(str_find(text, STR("sesame")) < 0);
    assert_int_equal(user_entry_parse(text, &e, NULL), RC_OK);
    assert_true(e.has_scram);
    assert_int_equal(e.scram.iterations, USER_ITERATIONS);
    assert_int_equal(user_password_check(&e, STR("sesame opens"), NULL), RC_OK);
    assert_int_equal(user_password_check(&e, STR("sesame open"), NULL), RC_NONE);
    assert_int_equal(user_password_check(&e, STR("sesame opens "), NULL), RC_NONE);
    assert_int_equal(user_password_check(&e, STR(""), NULL), RC_NONE);
    assert_int_equal(user_password_check(&e, (struct str){"sesame opens\0x", 14}, NULL), RC_NONE);
    assert_int_equal(user_password_check(NULL, STR("sesame opens"), NULL), RC_NONE);
}

static void test_limits(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    char longest[USER_PASSWORD_MAX + 2];
    struct user_entry e;
    struct str text;

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_int_equal(user_entry_make(STR(""), a, &text, NULL), RC_PERM);
    assert_int_equal(user_entry_make((struct str){"a\0b", 3}, a, &text, NULL), RC_PERM);
    assert_int_equal(user_entry_make((struct str){longest, USER_PASSWORD_MAX + 1}, a, &text, NULL),
                     RC_PERM);
    assert_int_equal(user_entry_make((struct str){longest, USER_PASSWORD_MAX}, a, &text, NULL),
                     RC_OK);
    assert_int_equal(user_entry_parse(text, &e, NULL), RC_OK);
    assert_int_equal(user_password_check(&e, (struct str){longest, USER_PASSWORD_MAX}, NULL),
                     RC_OK);
    assert_int_equal(user_password_check(&e, (struct str){longest, USER_PASSWORD_MAX + 1}, NULL),
                     RC_NONE);
}

static const struct {
    const char *text;
    enum rc parsed, checked; /* with "wrong" */
} entries[] = {
    {SHA512, RC_OK, RC_NONE},
    {"{SHA512-CRYPT}" SHA512, RC_OK, RC_NONE},
    {"{CRYPT}" SHA512, RC_OK, RC_NONE},
    {"!" SHA512, RC_OK, RC_NONE},
    {"*", RC_OK, RC_NONE},
    {"$nosuch$x", RC_OK, RC_CONFIG},
    {"{SSHA}xxxx", RC_OK, RC_CONFIG},
    {"", RC_PERM, RC_OK},
    {"   ", RC_PERM, RC_OK},
    {"a b", RC_PERM, RC_OK},
    {"SCRAM-SHA-256$x", RC_PERM, RC_OK},
};

static void test_entries(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        struct user_entry e = {0};
        assert_int_equal(user_entry_parse(str_of(entries[i].text), &e, NULL), entries[i].parsed);
        if (entries[i].parsed == RC_OK)
            assert_int_equal(user_password_check(&e, STR("wrong"), NULL), entries[i].checked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_entry),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
