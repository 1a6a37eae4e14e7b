#include "global/address.h"
#include "unit/unit.h"

/* Lists and what is found in them, joined by "|". */
static void lists(void **state)
{
    static const struct {
        const char *text, *found; /* NULL: refused */
    } rows[] = {
        {"a@b", "a@b"},
        {" a@b , c@d ", "a@b|c@d"},
        {"Joe <a@b>, \"Doe, J.\" <c@d>", "a@b|c@d"},
        {"a@b (Joe), (x) c@d", "a@b|c@d"},
        {"Friends: a@b, Joe <c@d>;, e@f", "a@b|c@d|e@f"},
        {"undisclosed-recipients:;", ""},
        {"undisclosed recipients: ;", ""},
        {"root", "root"},
        {"root, admin", "root|admin"},
        {"a@b c@d", "a@b|c@d"},
        {"John Doe", ""},
        {"John Doe, a@b", "a@b"},
        {"John Q. Public <a@b>", "a@b"},
        {"a . b @ c . d", "a.b@c.d"},
        {"\"a b\"@c", "a b@c"},
        {"\"a\\\"b\"@c", "a\"b@c"},
        {"<@x,@y:a@b>", "a@b"},
        {"<>", ""},
        {"a@[192.0.2.1]", "a@[192.0.2.1]"},
        {"Joe\n <a@b>,\n\tc@d", "a@b|c@d"},
        {"=?utf-8?Q?J=C3=BC?= <a@b>", "a@b"},
        {",,a@b,,", "a@b"},
        {"<a@b>, <c@d>", "a@b|c@d"},
        {"<a@b> c@d", "a@b|c@d"},
        {"a@b> , c@d)", "a@b|c@d"},
        {"\"open", NULL},
        {"(open", NULL},
        {"<open", NULL},
        {"a@[open", NULL},
        {"", ""},
        {"a\\,b@c", "a,b@c"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA a = arena_new(0);
        struct header_address *list = NULL;
        size_t n = 0;
        struct why why;
        struct str joined = STR("");
        enum rc rc = address_list_parse(str_of(rows[i].text), a, &list, &n, &why);
        if ((rc == RC_OK) != (rows[i].found != NULL))
            fail_msg("%s: rc %d", rows[i].text, rc);
        for (size_t k = 0; k < n; k++)
            joined = arena_printf(a, STR_FMT "%s" STR_FMT, STR_ARG(joined), k ? "|" : "",
                                  STR_ARG(list[k].address));
        if (rows[i].found)
            assert_str(joined, rows[i].found);
    }
}

/* Complete "user" to "user@here", keep all else. */
static enum rc complete(void *context, struct str address, struct arena *a, struct str *out,
                        struct why *why)
{
    (void)why;
    if (str_index(address, '@') >= 0)
        return RC_NONE;
    *out = address_join(a, address, str_of(context));
    return RC_OK;
}

static enum rc trouble(void *context, struct str address, struct arena *a, struct str *out,
                       struct why *why)
{
    (void)context;
    (void)address;
    (void)a;
    (void)out;
    return FAIL(why, RC_TEMP, "no table");
}

static void rewriting(void **state)
{
    static const struct {
        const char *text, *rewritten; /* NULL: nothing changed */
    } rows[] = {
        {" root", " root@here"},
        {" root (Charlie), x@y,\n\tJoe <joe>", " root@here (Charlie), x@y,\n\tJoe <joe@here>"},
        {" a@b", NULL},
        {" List: a, b@c;", " List: a@here, b@c;"},
        {" \"two words\"", " \"two words\"@here"},
        {" < joe >", " <joe@here >"},
        {" <@x:joe>", " <joe@here>"},
        {" John Doe", NULL},
        {" undisclosed-recipients:;", NULL},
    };
    AUTO_ARENA a = arena_new(0);
    char here[] = "here";
    struct str out;
    struct why why;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum rc rc = address_list_rewrite(str_of(rows[i].text), complete, here, a, &out, &why);
        assert_int_equal(rc, rows[i].rewritten ? RC_OK : RC_NONE);
        if (rows[i].rewritten)
            assert_str(out, rows[i].rewritten);
    }
    assert_int_equal(address_list_rewrite(STR("a"), trouble, NULL, a, &out, &why), RC_TEMP);
}

static void limits(void **state)
{
    static const struct {
        const char *text;
        long tokens;
        const char *left;
    } rows[] = {
        {" a@b, c@d", 7, " a@b, c@d"},
        {" a@b, c@d", 6, " a@b"},
        {" a@b, c@d", 4, " a@b"},
        {" a@b, c@d", 2, " a@"},
        {" \"a, (b\"@[1:2], (c (d) \\) e) f", 6, " \"a, (b\"@[1:2], (c (d) \\) e) f"},
        {" \"a, (b\"@[1:2], (c (d) \\) e) f", 5, " \"a, (b\"@[1:2]"},
        {" (unterminated, \\", 1, " (unterminated, \\"},
        {" a\\", 1, " a\\"},
        {"", 1, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_str(address_list_limit(str_of(rows[i].text), rows[i].tokens), rows[i].left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists), cmocka_unit_test(rewriting),
                                       cmocka_unit_test(limits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
