#include "table/table.h"
#include "unit/unit.h"

static struct table_env env;

static bool is_here(void *context, struct str domain)
{
    (void)context;
    return str_eq_nocase(domain, STR("here.example"));
}

static const struct address_keys canonical = {
    .delimiters = STR_INIT("+-"), .is_local = is_here, .with_domain_only = true};
static const struct address_keys transport = {
    .delimiters = STR_INIT("+-"), .plain_domain = true, .dot_parents = true};
static const struct address_keys access_keys = {
    .delimiters = STR_INIT("+-"), .plain_domain = true, .user_at = true};

static struct maps *open_maps(const char *spec)
{
    struct maps *m;
    struct why why;

    if (maps_open("test_maps", str_of(spec), 0, &env, &m, &why) != RC_OK)
        fail_msg("%s: %s", spec, why.text);
    return m;
}

/*
 * Which keys are looked up, in which order: a table that knows only the keys from the n-th on must
 * answer with the n-th.
 */
static const struct order {
    const struct address_keys *how;
    const char *address;
    const char *keys[10];
} orders[] = {
    {&canonical, "u+x@else.example", {"u+x@else.example", "u@else.example", "@else.example"}},
    {&canonical, "U+X@ELSE.example", {"u+x@else.example", "u@else.example", "@else.example"}},
    {&canonical, "u@else.example", {"u@else.example", "@else.example"}},
    {&canonical,
     "u+x@here.example",
     {"u+x@here.example", "u@here.example", "u+x", "u", "@here.example"}},
    {&canonical, "u", {"u"}},
    {&canonical, "u+x", {"u+x", "u"}},
    {&canonical, "u-x+y@else.example", {"u-x+y@else.example", "u@else.example"}},
    {&canonical, "+x@else.example", {"+x@else.example", "@else.example"}},
    {&canonical, "owner-list@else.example", {"owner-list@else.example", "@else.example"}},
    {&canonical, "list-request@else.example", {"list-request@else.example", "@else.example"}},
    {&canonical, "mailer-daemon@else.example", {"mailer-daemon@else.example", "@else.example"}},
    {&canonical,
     "a b+x@else.example",
     {"\"a b+x\"@else.example", "a b+x@else.example", "\"a b\"@else.example", "a b@else.example",
      "@else.example"}},
    {&canonical, "a\"b@else.example", {"\"a\\\"b\"@else.example", "a\"b@else.example"}},
    {&transport,
     "u+x@a.b.example",
     {"u+x@a.b.example", "u@a.b.example", "a.b.example", ".b.example", ".example"}},
    {&transport, "u@[192.0.2.1]", {"u@[192.0.2.1]", "[192.0.2.1]"}},
    {&access_keys,
     "u+x@a.example",
     {"u+x@a.example", "u@a.example", "a.example", "example", "u+x@", "u@"}},
};

/* "inline:{ {key=key}, ... }" with the keys from the n-th on, last one first. */
static char *inline_table(struct arena *a, const char *const *keys, size_t from)
{
    struct str spec = STR("inline:{ ");

    for (size_t i = 10; i-- > from;)
        if (keys[i])
            spec = arena_printf(a, STR_FMT "{%s = %zu} ", STR_ARG(spec), keys[i], i);
    return arena_text(a, arena_printf(a, STR_FMT "}", STR_ARG(spec)));
}

static void test_orders(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(orders); i++) {
        const struct order *o = &orders[i];
        for (size_t n = 0; n < 10 && o->keys[n]; n++) {
            struct maps *m = open_maps(inline_table(a, o->keys, n));
            struct str value = STR_NONE, extension;
            struct why why;
            enum rc rc =
                maps_get_address(m, str_of(o->address), o->how, a, &value, &extension, &why);
            if (rc != RC_OK || !str_eq(value, arena_printf(a, "%zu", n)))
                fail_msg("%s: key \"%s\" was not the next one, but " STR_FMT, o->address,
                         o->keys[n], STR_ARG(value));
            maps_close(m);
        }
    }
}

static const struct {
    const struct address_keys *how;
    const char *table, *address;
    enum rc rc;
    const char *value, *extension;
} answers[] = {
    {&canonical, "inline:{ u@a.example=1 }", "u+x@a.example", RC_OK, "1", "+x"},
    {&canonical, "inline:{ u+x@a.example=1 }", "u+x@a.example", RC_OK, "1", ""},
    {&canonical, "inline:{ @a.example=1 }", "u+x@a.example", RC_OK, "1", "+x"},
    {&canonical, "inline:{ @a.example=1 }", "u@a.example", RC_OK, "1", ""},
    {&canonical, "inline:{ u=1 }", "u+x@here.example", RC_OK, "1", "+x"},
    {&canonical, "inline:{ u=1 }", "u@a.example", RC_NONE, NULL, ""},
    {&canonical, "inline:{ u=1 }", "", RC_NONE, NULL, ""},
    {&canonical, "", "u@a.example", RC_NONE, NULL, ""},
    /* the first table with a key wins, key by key */
    {&canonical, "inline:{ @a.example=1 }, inline:{ u@a.example=2 }", "u@a.example", RC_OK, "2",
     ""},
    {&canonical, "inline:{ u@a.example=1 } inline:{ u@a.example=2 }", "u@a.example", RC_OK, "1",
     ""},
    /* pattern tables see the whole address only */
    {&canonical, "regexp:{ {/^u@/ 1} }", "u+x@a.example", RC_NONE, NULL, ""},
    {&canonical, "regexp:{ {/^u.x@/ 1} }", "u+x@a.example", RC_OK, "1", ""},
    {&canonical, "regexp:{ {/^@/ 1} }", "u@a.example", RC_NONE, NULL, ""},
    /* trouble, also behind other tables */
    {&canonical, "inline:{ x=1 }, fail:y", "u@a.example", RC_TEMP, NULL, ""},
    {&canonical, "inline:{ u@a.example=1 }, fail:y", "u@a.example", RC_OK, "1", ""},
    {&canonical, "inline:{ u@a.example= }", "u@a.example", RC_TEMP, NULL, ""},
};

static void test_answers(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct maps *m = open_maps(answers[i].table);
        struct str value = STR_NONE, extension = STR_NONE;
        struct why why;
        enum rc rc = maps_get_address(m, str_of(answers[i].address), answers[i].how, a, &value,
                                      &extension, &why);
        if (rc != answers[i].rc)
            fail_msg("%s: %s: rc %d", answers[i].table, answers[i].address, rc);
        if (rc == RC_OK) {
            assert_str(value, answers[i].value);
            assert_str(extension, answers[i].extension);
        }
        maps_close(m);
    }
}

static void test_from(void **state)
{
    AUTO_ARENA a = arena_new(512);
    struct maps *m = open_maps("inline:{ a=1 }, inline:{ b=2 }");
    struct table *from;
    struct str value;
    struct why why;

    (void)state;
    assert_false(maps_empty(m));
    assert_int_equal(maps_get_from(m, STR("b"), a, &value, &from, &why), RC_OK);
    assert_str(table_name(from), "inline:{ b=2 }");
    assert_int_equal(maps_get(m, STR("c"), a, &value, &why), RC_NONE);
    maps_close(m);
    assert_int_equal(maps_open("x_maps", STR("inline:{a=1}, bad"), 0, &env, &m, &why), RC_CONFIG);
    assert_non_null(strstr(why.text, "x_maps: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
