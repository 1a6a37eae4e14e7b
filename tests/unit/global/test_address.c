#include "global/address.h"
#include "unit/unit.h"

static void quoting(void **state)
{
    static const struct {
        const char *internal, *external;
    } rows[] = {
        {"", ""},
        {"a@b.example", "a@b.example"},
        {"a.b+c=d@b.example", "a.b+c=d@b.example"},
        {"a b@b.example", "\"a b\"@b.example"},
        {".a@b.example", "\".a\"@b.example"},
        {"a..b@b.example", "\"a..b\"@b.example"},
        {"a.@b.example", "\"a.\"@b.example"},
        {"a\"b\\c@b.example", "\"a\\\"b\\\\c\"@b.example"},
        {"a@b@c.example", "\"a@b\"@c.example"},
        {"@b.example", "\"\"@b.example"},
        {"postmaster", "postmaster"},
        {"two words", "\"two words\""},
        {"gr\303\274n@b.example", "gr\303\274n@b.example"},
        {"a\tb@c", "\"a\\\tb\"@c"},
        {"a,b@c", "\"a,b\"@c"},
    };
    AUTO_ARENA a = arena_new(0);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str external = address_quote(a, str_of(rows[i].internal));
        assert_str(external, rows[i].external);
        assert_str(address_unquote(a, external), rows[i].internal);
    }
    assert_str(address_quote_822(a, STR("a\tb@c")), "\"a\tb\"@c");
}

static void unquoting(void **state)
{
    static const struct {
        const char *external, *internal;
    } rows[] = {
        {"\"a\"@b", "a@b"},     {"\"a@b\"", "a@b"}, {"\"a\".\"b c\"@d", "a.b c@d"},
        {"a\\ b@c", "a b@c"},   {"\"a\\", "a\\"},   {"\"", ""},
        {"\"x@y\"@z", "x@y@z"}, {"@", "@"},         {"a\\@b@c", "a@b@c"},
    };
    AUTO_ARENA a = arena_new(0);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_str(address_unquote(a, str_of(rows[i].external)), rows[i].internal);
}

struct path {
    const char *text;
    bool strict, utf8;
    const char *address; /* NULL: refused */
    const char *rest;
};

static void paths(void **state)
{
    static const struct path rows[] = {
        {"<a@b.example>", true, false, "a@b.example", ""},
        {"<a@b.example> SIZE=10", true, false, "a@b.example", "SIZE=10"},
        {"<>", true, false, "", ""},
        {"<> RET=HDRS", false, false, "", "RET=HDRS"},
        {" <a@b>  X=1 Y", false, false, "a@b", "X=1 Y"},
        {" <a@b>", true, false, NULL, NULL},
        {"a@b", false, false, "a@b", ""},
        {"a@b SIZE=1", false, false, "a@b", "SIZE=1"},
        {"a@b", true, false, NULL, NULL},
        {"< a @ b >", false, false, "a@b", ""},
        {"< a @ b >", true, false, NULL, NULL},
        {"<a b>", false, false, NULL, NULL},
        {"<a b@c>", false, false, NULL, NULL},
        {"<a@b", false, false, NULL, NULL},
        {"a@b>", false, false, NULL, NULL},
        {"<a@b>c", false, false, NULL, NULL},
        {"<a@b>(comment)", false, false, "a@b", ""},
        {"<a@b>(comment)", true, false, NULL, NULL},
        {"Joe<a@b>", false, false, "a@b", ""},
        {"Joe<a@b>", true, false, NULL, NULL},
        {"<\"a b\"@c>", true, false, "a b@c", ""},
        {"<\"a\\\"b\"@c>", true, false, "a\"b@c", ""},
        {"<\"a b@c>", false, false, NULL, NULL},
        {"<\"a>b\"@c> X", true, false, "a>b@c", "X"},
        {"<@x,@y:a@b>", false, false, "a@b", ""},
        {"<@x,@y:a@b>", true, false, NULL, NULL},
        {"<@b>", false, false, NULL, NULL},
        {"<@b>", true, false, NULL, NULL},
        {"<postmaster>", true, false, "postmaster", ""},
        {"<a@[192.0.2.1]>", true, false, "a@[192.0.2.1]", ""},
        {"<a@[IPv6:2001:db8::1]>", true, false, "a@[IPv6:2001:db8::1]", ""},
        {"<a@[192.0.2.1>", true, false, NULL, NULL},
        {"<a..b@c>", true, false, NULL, NULL},
        {"<a..b@c>", false, false, "a..b@c", ""},
        {"<a.@c>", true, false, NULL, NULL},
        {"<a.@c>", false, false, "a.@c", ""},
        {"<a@b@c>", false, false, "a@b@c", ""},
        {"<a@b@c>", true, false, NULL, NULL},
        {"<a@b.>", false, false, "a@b.", ""},
        {"<a\\@b@c>", false, false, "a@b@c", ""},
        {"<a(x)@b>", false, false, "a@b", ""},
        {"<a@b(x\\)y)>", false, false, "a@b", ""},
        {"<a@b(x>", false, false, NULL, NULL},
        {"<a\001@b>", false, false, NULL, NULL},
        {"<\"a\001\"@b>", false, false, NULL, NULL},
        {"<gr\303\274n@b>", true, true, "gr\303\274n@b", ""},
        {"<gr\303@b>", true, true, NULL, NULL},
        {"<gr\303@b>", false, false, "gr\303@b", ""},
        {"", false, false, NULL, NULL},
        {"<<a@b>>", false, false, NULL, NULL},
        {"<a,b@c>", false, false, NULL, NULL},
        {"<\"\"@c>", false, false, "@c", ""},
        {"<\"a@b\">", false, false, NULL, NULL},
        {"<a@\"b c\">", false, false, NULL, NULL},
        {"<a@[b@c]>", false, false, NULL, NULL},
        {"<\"a@b\"@c>", true, false, "a@b@c", ""},
    };
    AUTO_ARENA a = arena_new(0);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str out = STR("unset"), rest = STR("unset");
        struct why why = {0};
        enum rc rc = address_parse_path(str_of(rows[i].text), rows[i].strict, rows[i].utf8, a, &out,
                                        &rest, &why);
        if ((rc == RC_OK) != (rows[i].address != NULL))
            fail_msg("row %zu, %s: rc %d %s", i, rows[i].text, rc, why.text);
        assert_str(out, rows[i].address ? rows[i].address : "unset");
        assert_str(rest, rows[i].address ? rows[i].rest : "unset");
    }
}

static void extensions(void **state)
{
    static const struct {
        const char *local, *delimiters, *user, *extension; /* user NULL: none */
    } rows[] = {
        {"joe+news", "+", "joe", "news"},   {"joe+news+more", "+", "joe", "news+more"},
        {"joe-x+y", "+-", "joe", "x+y"},    {"joe+", "+", "joe", ""},
        {"joe", "+", NULL, NULL},           {"+joe", "+", NULL, NULL},
        {"joe+news", "", NULL, NULL},       {"owner-list", "-", NULL, NULL},
        {"list-request", "-", NULL, NULL},  {"owner-list+x", "+", "owner-list", "x"},
        {"double-bounce", "-", NULL, NULL}, {"Mailer-Daemon", "-", NULL, NULL},
    };
    AUTO_ARENA a = arena_new(0);
    struct str extension;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str user = STR_NONE, ext = STR_NONE;
        bool is = address_extension(str_of(rows[i].local), str_of(rows[i].delimiters), &user, &ext);
        assert_int_equal(is, rows[i].user != NULL);
        if (is) {
            assert_str(user, rows[i].user);
            assert_str(ext, rows[i].extension);
        }
    }
    assert_str(address_strip_extension(a, STR("joe+x@b"), STR("+"), &extension), "joe@b");
    assert_str(extension, "+x");
    assert_str(address_strip_extension(a, STR("joe@b"), STR("+"), &extension), "joe@b");
    assert_str(extension, "");
}

static void parts(void **state)
{
    struct address_parts p = address_split(STR("a@b@c"));

    (void)state;
    assert_str(p.local, "a@b");
    assert_str(p.domain, "c");
    p = address_split(STR("a"));
    assert_false(p.has_domain);
    p = address_split(STR("a@"));
    assert_true(p.has_domain);
    assert_int_equal(p.domain.n, 0);
    assert_true(address_domain_is_literal(STR("[1.2.3.4]")));
    assert_false(address_domain_is_literal(STR("[")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoting),    cmocka_unit_test(unquoting), cmocka_unit_test(paths),
        cmocka_unit_test(extensions), cmocka_unit_test(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
