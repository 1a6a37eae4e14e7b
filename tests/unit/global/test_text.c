#include "global/text.h"
#include "unit/unit.h"

static bool lookup(void *context, struct str name, struct str *value)
{
    (void)context;
    if (str_eq(name, STR("client")))
        *value = STR("h[1.2.3.4]");
    else if (str_eq(name, STR("bad")))
        *value = STR("a`b\n");
    else
        return str_eq(name, STR("empty"));
    return true;
}

static void templates(void **state)
{
    static const struct {
        const char *template, *text;
    } rows[] = {
        {"plain", "plain"},
        {"$client.", "h[1.2.3.4]."},
        {"${client}x $(client)", "h[1.2.3.4]x h[1.2.3.4]"},
        {"$$5 $", "$5 $"},
        {"[$unknown]", "[]"},
        {"${client?yes}${empty?no}", "yes"},
        {"${empty:none}${client:none}", "noneh[1.2.3.4]"},
        {"${client?{a}:{b}} ${empty?{a}:{b}}", "a b"},
        {"${client?is $client}", "is h[1.2.3.4]"},
        {"${client", "${client"},
        {"$-", "$-"},
    };
    AUTO_ARENA a = arena_new(0);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_str(text_expand(a, str_of(rows[i].template), lookup, NULL, NULL), rows[i].text);
    assert_str(text_expand(a, STR("$bad"), lookup, NULL, "abc"), "a_b_");
}

static void printable(void **state)
{
    char text[] = "a\tb\x7f\303\274";

    (void)state;
    text_printable(text, sizeof text - 1, '?', true);
    assert_string_equal(text, "a?b?\303\274");
    text_printable(text, sizeof text - 1, '?', false);
    assert_string_equal(text, "a?b???");
}

static void domains(void **state)
{
    AUTO_ARENA a = arena_new(0);

    (void)state;
    assert_str(domain_to_ascii(a, STR("Example.COM")), "Example.COM");
    assert_str(domain_to_ascii(a, STR("gr\303\274n.example")), "xn--grn-ioa.example");
    assert_str(domain_to_ascii(a, STR("\303\050.example")), "\303\050.example");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(templates), cmocka_unit_test(printable),
                                       cmocka_unit_test(domains)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
