#include "master/throttle.h"
#include "unit/unit.h"

static void before_the_first_session(void **state)
{
    struct throttle t = {0};

    (void)state;
    assert_true(throttle_failure(&t, false, 1000, 60000));
}

static void now_and_then(void **state)
{
    struct throttle t = {0};

    (void)state;
    for (long now = 1; now < 100 * 60000; now += 60000)
        assert_false(throttle_failure(&t, true, now, 60000));
}

static void again_and_again(void **state)
{
    struct throttle t = {0};

    (void)state;
    for (int i = 0; i < THROTTLE_FAILURES; i++)
        assert_false(throttle_failure(&t, true, 1000 + i, 60000));
    assert_true(throttle_failure(&t, true, 2000, 60000));
    assert_true(throttle_failure(&t, true, 3000, 60000));
    assert_false(throttle_failure(&t, true, 3000 + 60000, 60000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_first_session),
        cmocka_unit_test(now_and_then),
        cmocka_unit_test(again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
