/* Right-hand sides of aliases, .forward and :include: files. */
#include "local/destinations.h"
#include "unit/unit.h"

/* Kinds as letters: a address, u \user, c command, f file, i include; parted by '|'. */
static const struct {
    const char *text, *want;
} rows[] = {
    {"", ""},
    {"user", "a:user"},
    {"a, b,c", "a:a|a:b|a:c"},
    {"a,,b,", "a:a|a:b"},
    {"a\nb\n", "a:a|a:b"},
    {"# comment\n\n  # another\na\n#last", "a:a"},
    {"a,\n b", "a:a|a:b"},
    {"user@host.test", "a:user@host.test"},
    {"\"john doe\"@host.test", "a:john doe@host.test"},
    {"John <j@x.test>, (note) k@x.test", "a:j@x.test|a:k@x.test"},
    {"\"Doe, John\" <j@x.test>", "a:j@x.test"},
    {"\\root", "u:root"},
    {"\"\\\\root\"", "u:root"},
    {"|/bin/cat", "c:/bin/cat"},
    {"|/bin/cat -a b", "c:/bin/cat -a b"},
    {"\"|/bin/cat a, b\"", "c:/bin/cat a, b"},
    {"\"| cat \\\"x\\\"\"", "c:cat \"x\""},
    {"| \"cat\" x, y", "c:\"cat\" x|a:y"},
    {"/var/mail/box", "f:/var/mail/box"},
    {"\"/var/my mail/box\"", "f:/var/my mail/box"},
    {"/dir/", "f:/dir/"},
    {"/c=x/@gw.test", "a:/c=x/@gw.test"},
    {":include:/etc/list", "i:/etc/list"},
    {":INCLUDE: /etc/list", "i:/etc/list"},
    {"\":include:/etc/my list\", b", "i:/etc/my list|a:b"},
};

static void test_parsing(void **state)
{
    AUTO_ARENA a = arena_new(1024);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct destination *list = NULL;
        struct str got = STR("");
        struct why why = {0};
        size_t n = 0;
        if (destinations_parse(str_of(rows[i].text), a, &list, &n, &why) != RC_OK)
            fail_msg("row %zu: %s", i, why.text);
        for (size_t k = 0; k < n; k++)
            got = arena_printf(a, STR_FMT "%s%c:" STR_FMT, STR_ARG(got), k ? "|" : "",
                               "aucfi"[list[k].kind], STR_ARG(list[k].text));
        assert_str(got, rows[i].want);
    }
}

static const char *const bad[] = {"|", "\"|\"", ":include:", "<a@b.test", "a b c@d e", "<>"};

static void test_refused(void **state)
{
    AUTO_ARENA a = arena_new(1024);

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct destination *list = NULL;
        struct why why = {0};
        size_t n = 0;
        if (destinations_parse(str_of(bad[i]), a, &list, &n, &why) != RC_PERM)
            fail_msg("\"%s\" was accepted: %zu, " STR_FMT, bad[i], n,
                     STR_ARG(n ? list[0].text : STR("")));
        assert_true(why.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsing),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
