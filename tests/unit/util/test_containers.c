/* buf, arena, map, cache */
#include "unit/unit.h"
#include "util/buf.h"
#include "util/cache.h"
#include "util/map.h"

static void buf_keeps_its_limit(void **state)
{
    AUTO_BUF b;

    (void)state;
    buf_init(&b, 10);
    buf_add(&b, STR("12345"));
    buf_addf(&b, "%d", 678);
    assert_false(b.over);
    assert_str(buf_str(&b), "12345678");
    buf_add(&b, STR("abc"));
    assert_true(b.over);
    assert_str(buf_str(&b), "12345678ab");
    assert_int_equal(strlen(buf_text(&b)), 10);
    buf_reset(&b);
    assert_false(b.over);
    buf_addf(&b, "%s", "a text that is too long");
    assert_true(b.over);
}

struct trace {
    int order;
};
struct step {
    struct trace *trace;
    int digit;
};

static void undo(void *what)
{
    struct step *s = what;

    s->trace->order = s->trace->order * 10 + s->digit;
}

static void arena_undoes_in_reverse(void **state)
{
    struct arena *a = arena_new(256);
    struct trace trace = {0};
    struct step one = {&trace, 1}, two = {&trace, 2}, three = {&trace, 3};

    (void)state;
    arena_defer(a, undo, &one);
    arena_defer(a, undo, &two);
    arena_defer(a, undo, &three);
    arena_undefer(a, undo, &two);
    arena_reset(a);
    assert_int_equal(trace.order, 31);
    for (int i = 0; i < 1000; i++) {
        char *p = arena_alloc(a, 100);
        for (int j = 0; j < 100; j++)
            assert_int_equal(p[j], 0);
        memset(p, 'x', 100);
    }
    assert_str(arena_printf(a, "%s-%d", "a", 5), "a-5");
    arena_free(a);
}

static void vec_grows(void **state)
{
    AUTO_ARENA a = arena_new(256);
    VEC(int) list = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        vec_add(a, &list, i);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(list.v[i], i);
}

static void map_keeps_all(void **state)
{
    struct map m;
    char key[32];
    int values[2000];

    (void)state;
    map_init(&m);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        map_put(&m, str_of(key), &values[i]);
    }
    for (int i = 0; i < 2000; i += 2) {
        snprintf(key, sizeof key, "key%d", i);
        assert_ptr_equal(map_remove(&m, str_of(key)), &values[i]);
        assert_null(map_remove(&m, str_of(key)));
    }
    assert_int_equal(m.n, 1000);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_ptr_equal(map_get(&m, str_of(key)), i % 2 ? &values[i] : NULL);
    }
    map_done(&m);
}

static void cache_drops_the_oldest(void **state)
{
    AUTO_ARENA a = arena_new(256);
    struct cache *c = cache_new(2);
    struct str value;

    (void)state;
    cache_put(c, STR("a"), STR("1"), 100);
    cache_put(c, STR("b"), STR("2"), 100);
    assert_true(cache_get(c, STR("a"), a, &value));
    cache_put(c, STR("c"), STR("3"), 100);
    assert_false(cache_get(c, STR("b"), a, &value));
    assert_true(cache_get(c, STR("a"), a, &value));
    assert_str(value, "1");
    cache_put(c, STR("a"), STR("new"), 100);
    assert_true(cache_get(c, STR("a"), a, &value));
    assert_str(value, "new");
    cache_put(c, STR("d"), STR("x"), 0);
    assert_false(cache_get(c, STR("d"), a, &value));
    cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_keeps_its_limit),
        cmocka_unit_test(arena_undoes_in_reverse),
        cmocka_unit_test(vec_grows),
        cmocka_unit_test(map_keeps_all),
        cmocka_unit_test(cache_drops_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
