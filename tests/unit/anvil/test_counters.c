#include "anvil/anvil.h"
#include "unit/unit.h"

static void counts(void **state)
{
    struct counters c = {.unit_seconds = 60};
    struct client *k;

    (void)state;
    map_init(&c.clients);
    k = counters_client(&c, STR("smtp:192.0.2.1"), 1000);
    counters_connect(&c, k, 1000);
    counters_connect(&c, k, 1000);
    assert_int_equal(k->connections, 2);
    assert_int_equal(k->rates[RATE_CONNECTION], 2);
    assert_int_equal(counters_add(&c, k, RATE_MESSAGE, 1001), 1);
    assert_int_equal(counters_add(&c, k, RATE_MESSAGE, 1001), 2);
    counters_disconnect(k);
    counters_disconnect(k);
    counters_disconnect(k); /* once too often */
    assert_int_equal(k->connections, 0);
    assert_ptr_equal(counters_client(&c, STR("smtp:192.0.2.1"), 1059), k);
    assert_int_equal(k->rates[RATE_MESSAGE], 2);
    counters_client(&c, STR("smtp:192.0.2.1"), 1060); /* the interval is over */
    assert_int_equal(k->rates[RATE_MESSAGE], 0);
    assert_int_equal(c.rates[RATE_MESSAGE].value, 2);
    assert_string_equal(c.rates[RATE_MESSAGE].ident, "smtp:192.0.2.1");
    assert_int_equal(c.connections.value, 2);
    assert_int_equal(c.cache.value, 1);
    counters_forget_old(&c, 2000);
    map_done(&c.clients);
}

static void forgets(void **state)
{
    struct counters c = {.unit_seconds = 60};

    (void)state;
    map_init(&c.clients);
    counters_connect(&c, counters_client(&c, STR("a"), 1000), 1000);
    counters_client(&c, STR("b"), 1000);
    counters_client(&c, STR("c"), 1050);
    counters_forget_old(&c, 1060);
    assert_non_null(map_get(&c.clients, STR("a"))); /* still connected */
    assert_null(map_get(&c.clients, STR("b")));
    assert_non_null(map_get(&c.clients, STR("c")));
    counters_disconnect(map_get(&c.clients, STR("a")));
    counters_forget_old(&c, 2000);
    assert_int_equal(c.clients.n, 0);
    map_done(&c.clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
