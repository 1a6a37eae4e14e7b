/* Calls that take too long. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "sasl/patience.h"
#include "unit/unit.h"

struct job {
    atomic_bool may_end;
    atomic_int done, dropped;
};

static void wait_until_told(void *context)
{
    struct job *j = context;

    while (!j->may_end)
        usleep(1000);
    j->done++;
}

static void drop(void *context)
{
    ((struct job *)context)->dropped++;
}

static void test_quick(void **state)
{
    struct patience *p = patience_new(1);
    struct job j = {.may_end = true};
    struct why why;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(patience_call(p, wait_until_told, drop, &j, 60000, &why), RC_OK);
    assert_int_equal(j.done, 100);
    assert_int_equal(j.dropped, 0);
    assert_true(patience_free(p));
}

static void test_stuck(void **state)
{
    struct patience *p = patience_new(2);
    struct job hangs = {0}, other = {.may_end = true};
    struct why why;

    (void)state;
    assert_int_equal(patience_call(p, wait_until_told, drop, &hangs, 10, &why), RC_TIMEOUT);
    assert_string_equal(why.text, "no answer within 1 s");
    assert_int_equal(patience_call(p, wait_until_told, drop, &other, 60000, &why), RC_OK);
    assert_int_equal(patience_call(p, wait_until_told, drop, &hangs, 10, &why), RC_TIMEOUT);
    assert_int_equal(patience_call(p, wait_until_told, drop, &other, 60000, &why), RC_TEMP);
    assert_int_equal(other.done, 1);
    assert_int_equal(hangs.dropped, 0);
    assert_false(patience_free(p));
    hangs.may_end = true;
    while (!patience_free(p))
        usleep(1000);
    assert_int_equal(hangs.done, 2);
    assert_int_equal(hangs.dropped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quick),
        cmocka_unit_test(test_stuck),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
