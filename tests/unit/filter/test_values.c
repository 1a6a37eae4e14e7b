/* src/filter/values.c, definitions.c */
#include "filter/filter.h"
#include "unit/unit.h"

static const struct {
    const char *table;
    enum filter_kind kind;
    bool is_regex;
    const char *text;
    bool found;
} vectors[] = {
    {"{ a.test, *.b.test }", KIND_DOMAIN, false, "A.test", true},
    {"{ a.test, *.b.test }", KIND_DOMAIN, false, "x.b.test", true},
    {"{ a.test, *.b.test }", KIND_DOMAIN, false, "b.test", false},
    {"{ 192.0.2.0/24 }", KIND_NETWORK, false, "192.0.2.7", true},
    {"{ 192.0.2.0/24, local }", KIND_NETWORK, false, "192.0.3.7", false},
    {"{ 2001:db8::/32 }", KIND_NETWORK, false, "2001:db8::1", true},
    {"{ [::1] }", KIND_NETWORK, false, "::1", true},
    {"{ local }", KIND_NETWORK, false, "local", true},
    {"{ @a.test, joe, ann@b.test, x*@c.test, @*.d.test }", KIND_MAIL, false, "any@a.test", true},
    {"{ @a.test, joe, ann@b.test, x*@c.test, @*.d.test }", KIND_MAIL, false, "Joe@z.test", true},
    {"{ @a.test, joe, ann@b.test, x*@c.test, @*.d.test }", KIND_MAIL, false, "ann@b.test", true},
    {"{ @a.test, joe, ann@b.test, x*@c.test, @*.d.test }", KIND_MAIL, false, "bob@b.test", false},
    {"{ @a.test, joe, ann@b.test, x*@c.test, @*.d.test }", KIND_MAIL, false, "xyz@c.test", true},
    {"{ @a.test, joe, ann@b.test, x*@c.test, @*.d.test }", KIND_MAIL, false, "q@e.d.test", true},
    {"{ @a.test }", KIND_MAIL, false, "", false},
    {"{ * }", KIND_MAIL, false, "", true},
    {"{ ^dyn[0-9]+\\. }", KIND_DOMAIN, true, "DYN12.isp.test", true},
    {"{ ^dyn[0-9]+\\. }", KIND_DOMAIN, true, "dyn.isp.test", false},
    {"{ \"^a\\\\.b{2,3}$\", \"x y\" }", KIND_STRING, true, "a.bb", true},
    {"{ \"^a\\\\.b{2,3}$\", \"x y\" }", KIND_STRING, true, "acbb", false},
    {"{ \"^a\\\\.b{2,3}$\", \"x y\" }", KIND_STRING, true, "x y", true},
    {"{ \"\" }", KIND_MAIL, false, "", true}, /* the null sender */
    {"{ }", KIND_STRING, false, "x", false},
};

static void test_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        AUTO_ARENA a = arena_new(1024);
        struct filter_values *v;
        struct addr address = {0};
        struct why why;
        bool is_address = addr_parse(str_of(vectors[i].text), 0, &address, &why) == RC_OK;
        assert_int_equal(filter_values_parse(str_of(vectors[i].table), vectors[i].kind,
                                             vectors[i].is_regex, a, &v, &why),
                         RC_OK);
        assert_int_equal(
            filter_values_have(v, str_of(vectors[i].text), is_address ? &address : NULL),
            vectors[i].found);
    }
}

static const struct {
    const char *text, *names;
    enum rc rc;
    size_t n;
    const char *words; /* of an error */
} files[] = {
    {"a phase connect match !rdns disconnect \"550 no rDNS\"\n", "a", RC_OK, 1, NULL},
    {"a phase connect match ! rdns !fcrdns src { ::1 } junk\nb proc spam\nc chain a b\n", "c, a",
     RC_OK, 3, NULL},
    {"# comment\n\na phase rcpt-to\n\tmatch rcpt-to regex { ^x }\n # another\n\trewrite y@z.test\n",
     "a", RC_OK, 1, NULL},
    {"a phase ehlo match helo { x } report \"say \\\"x\\\"\"\n", "a", RC_OK, 1, NULL},
    {"a phase helo match helo regex { \"}\", \"\\\"}\" } junk\n", "a", RC_OK, 1, NULL},
    {"", "", RC_OK, 0, NULL},
    {"", "a", RC_CONFIG, 0, "F: no filter with the name a"},
    {"\n\nb proc x y\n", "b", RC_CONFIG, 0, "F, line 3: superfluous word \"y\""},
    {"a proc x\na proc y\n", "a", RC_CONFIG, 0, "F, line 2: filter a is defined twice"},
    {"a phase lunch match rdns junk\n", "a", RC_CONFIG, 0, "F, line 1: unknown phase \"lunch\""},
    {"a phase connect rdns junk\n", "a", RC_CONFIG, 0,
     "F, line 1: \"match\" is missing after the phase"},
    {"a phase connect match rdns\n", "a", RC_CONFIG, 0, "F, line 1: decision is missing"},
    {"a phase connect match rdns reject\n", "a", RC_CONFIG, 0, "F, line 1: reject needs a text"},
    {"a phase connect match src junk\n", "a", RC_CONFIG, 0,
     "F, line 1: condition src needs a table: { ... } or a path"},
    {"a phase connect match colour { red } junk\n", "a", RC_CONFIG, 0,
     "F, line 1: unknown condition \"colour\""},
    {"a phase data match rcpt-to { x } junk\n", "a", RC_CONFIG, 0,
     "F, line 1: condition rcpt-to is not known in phase data"},
    {"a chain b\nb chain a\n", "a", RC_CONFIG, 0, NULL},
};

static void test_definitions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        AUTO_ARENA a = arena_new(1024);
        struct filter_set set = {0};
        struct why why = {0};
        assert_int_equal(
            filter_set_parse(str_of(files[i].text), "F", str_of(files[i].names), a, &set, &why),
            files[i].rc);
        assert_int_equal(set.n, files[i].n);
        if (files[i].words)
            assert_string_equal(why.text, files[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_definitions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
