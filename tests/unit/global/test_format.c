/* %{...}: the vectors of the reference, and what is refused. */
#include "global/format.h"
#include "unit/unit.h"

static struct str value(void *context, struct str name, bool *raw)
{
    const char *address = context;

    (void)raw;
    if (str_eq(name, STR("rcpt")))
        return str_of(address);
    if (str_eq(name, STR("rcpt.domain")))
        return str_of(strchr(address, '@') + 1);
    if (str_eq(name, STR("empty")))
        return STR("");
    return STR_NONE;
}

static const struct {
    const char *format, *address, *want; /* NULL: refused */
} rows[] = {
    {"%{rcpt.domain[0:-4]}", "a@example.org", "example"},                    /* S076 */
    {"%{rcpt.domain[-3:]}", "a@example.org", "org"},                         /* S077 */
    {"%{rcpt.domain[0]}", "a@example.org", "e"},                             /* S078 */
    {"%{rcpt:lowercase|strip}", "User+Tag@Example.org", "user@example.org"}, /* S079 */
    {"%{rcpt}", "user+t?g@example.org", "user+t:g@example.org"},             /* S080 */
    {"%{rcpt:raw}", "user+t?g@example.org", "user+t?g@example.org"},         /* S081 */
    {"/v/%{rcpt.domain}/x", "a@b.test", "/v/b.test/x"},
    {"%{rcpt}", "../../etc/passwd@x.test", "..:..:etc:passwd@x.test"},
    {"%{rcpt.domain[1:2]}", "a@example.org", "xa"},
    {"%{rcpt.domain[-1]}", "a@example.org", "g"},
    {"%{rcpt.domain:uppercase}", "a@x.test", "X.TEST"},
    {"%{empty[3:]}", "a@x.test", ""},
    {"no %d here", "a@x.test", "no %d here"},
    {"%{rcpt.domain[40]}", "a@x.test", NULL},
    {"%{foo}", "a@x.test", NULL},
    {"%{rcpt", "a@x.test", NULL},
    {"%{rcpt:bold}", "a@x.test", NULL},
    {"%{rcpt[1}", "a@x.test", NULL},
};

static void test_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA a = arena_new(1000);
        struct str out = STR("");
        struct why why = {0};
        enum rc rc = format_expand(a, str_of(rows[i].format), value, (void *)rows[i].address,
                                   STR("+"), &out, &why);
        assert_int_equal(rc, rows[i].want ? RC_OK : RC_PERM);
        if (rows[i].want)
            assert_str(out, rows[i].want);
        else
            assert_true(why.text[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_format)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
