/* Base64 as SMTP has it, words of security options. */
#include "sasl/login.h"
#include "unit/unit.h"

static const struct {
    const char *text, *bytes; /* NULL: malformed */
} base64[] = {
    {"", ""},
    {"Zg==", "f"},
    {"Zm8=", "fo"},
    {"Zm9v", "foo"},
    {"Zm9vYg==", "foob"},
    {"Zm9vYmE=", "fooba"},
    {"Zm9vYmFy", "foobar"},
    {"=", NULL},
    {"==", NULL},
    {"====", NULL},
    {"A===", NULL},
    {"Zg=", NULL},
    {"Zg", NULL},
    {"Z", NULL},
    {"Zh==", NULL}, /* bits that say nothing */
    {"Zm9=", NULL},
    {"Zg==Zg==", NULL},
    {"Zm 9", NULL},
    {"Zm9v\tZm9v", NULL},
    {"Zm9v\n", NULL},
    {"Zm-v", NULL},
};

static void test_base64(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct str bytes;

    (void)state;
    for (size_t i = 0; i < sizeof base64 / sizeof *base64; i++) {
        struct str text = str_of(base64[i].text);
        assert_int_equal(login_is_base64(text), base64[i].bytes != NULL);
        assert_int_equal(login_decode(a, text, 100, &bytes, NULL),
                         base64[i].bytes ? RC_OK : RC_PERM);
        if (base64[i].bytes) {
            assert_true(str_eq(bytes, str_of(base64[i].bytes)));
            assert_true(str_eq(login_encode(a, bytes), text));
        }
    }
    assert_int_equal(login_decode(a, STR("Zm9vYmFy"), 5, &bytes, NULL), RC_PERM);
    assert_int_equal(login_decode(a, STR("Zm9vYmFy"), 6, &bytes, NULL), RC_OK);
    assert_true(str_eq(login_encode(a, (struct str){"\0\377\0", 3}), STR("AP8A")));
}

static void test_security(void **state)
{
    unsigned s = 0;
    struct why why;

    (void)state;
    assert_int_equal(login_security_parse("p", STR("noplaintext, NoAnonymous"), &s, &why), RC_OK);
    assert_int_equal(s, LOGIN_NOPLAINTEXT | LOGIN_NOANONYMOUS);
    assert_int_equal(login_security_parse("p", STR(""), &s, &why), RC_OK);
    assert_int_equal(s, 0);
    assert_int_equal(login_security_parse("smtpd_x", STR("noplain"), &s, &why), RC_CONFIG);
    assert_non_null(strstr(why.text, "smtpd_x"));
    assert_non_null(strstr(why.text, "noplain"));
    assert_true(login_mechanism_is_safe(STR("plain"), LOGIN_NOANONYMOUS));
    assert_false(login_mechanism_is_safe(STR("PLAIN"), LOGIN_NOPLAINTEXT));
    assert_false(login_mechanism_is_safe(STR("ANONYMOUS"), LOGIN_NOANONYMOUS));
    assert_true(login_mechanism_is_safe(STR("SCRAM-SHA-256"), LOGIN_NOPLAINTEXT | LOGIN_NOACTIVE));
    assert_true(login_mechanism_is_safe(STR("XNEW"), LOGIN_NOANONYMOUS));
    assert_false(login_mechanism_is_safe(STR("XNEW"), LOGIN_NOPLAINTEXT));
}

static void test_same_secret(void **state)
{
    (void)state;
    assert_true(login_same_secret(STR("abc"), STR("abc")));
    assert_false(login_same_secret(STR("abc"), STR("abd")));
    assert_false(login_same_secret(STR("abc"), STR("ab")));
    assert_false(login_same_secret(STR(""), STR("a")));
    assert_true(login_same_secret(STR(""), STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_security),
        cmocka_unit_test(test_same_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
