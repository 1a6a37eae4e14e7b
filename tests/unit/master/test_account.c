#include "master/account.h"
#include "unit/unit.h"

/* What happens to a service with that limit, and how many sessions the next process may carry. */
static void limits_count_sessions(void **state)
{
    static const struct {
        long maxproc, per_process, processes, want_next;
    } vectors[] = {
        {100, 50, 0, 50}, {100, 50, 1, 50}, {100, 50, 2, 0}, {70, 50, 0, 50}, {70, 50, 1, 20},
        {70, 50, 2, 0},   {3, 50, 0, 3},    {3, 50, 1, 0},   {5, 1, 4, 1},    {5, 1, 5, 0},
        {0, 50, 9, 50},   {0, 1, 1000, 1},  {1, 50, 0, 1},   {1, 50, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct account a = {.maxproc = vectors[i].maxproc, .per_process = vectors[i].per_process};
        struct account_child children[1000];
        for (long n = 0; n < vectors[i].processes; n++)
            account_begin(&a, &children[n], account_next(&a));
        assert_int_equal(account_next(&a), vectors[i].want_next);
        assert_int_equal(a.processes, vectors[i].processes);
        for (long n = 0; n < vectors[i].processes; n++)
            account_end(&a, &children[n]);
        assert_int_equal(a.sessions, 0);
        assert_int_equal(a.with_room, 0);
        assert_int_equal(a.processes, 0);
    }
}

static void room(void **state)
{
    struct account a = {.maxproc = 100, .per_process = 50};
    struct account_child x, y;

    (void)state;
    assert_int_equal(a.with_room, 0);
    account_begin(&a, &x, 50);
    assert_int_equal(a.with_room, 1);
    account_change(&a, &x, CHILD_ROOM, 50);
    assert_int_equal(a.with_room, 1);
    account_change(&a, &x, CHILD_FULL, 50);
    assert_int_equal(a.with_room, 0);
    account_begin(&a, &y, 50);
    account_change(&a, &y, CHILD_FULL, 50);
    assert_int_equal(account_next(&a), 0);
    account_change(&a, &x, CHILD_ROOM, 50);
    assert_int_equal(a.with_room, 1);
}

/* A process that drains holds only the sessions that it still carries. */
static void draining(void **state)
{
    struct account a = {.maxproc = 100, .per_process = 50};
    struct account_child x, y;

    (void)state;
    account_begin(&a, &x, 50);
    account_begin(&a, &y, 50);
    account_change(&a, &x, CHILD_DRAINING, 50);
    assert_int_equal(account_next(&a), 0);
    account_change(&a, &x, CHILD_DRAINING, 3);
    assert_int_equal(account_next(&a), 47);
    account_change(&a, &y, CHILD_DRAINING, 0);
    assert_int_equal(account_next(&a), 50);
    assert_int_equal(a.with_room, 0);
}

/* A limit of 1 is one process, also while the old one ends and says that it carries nothing. */
static void never_two_of_one(void **state)
{
    struct account a = {.maxproc = 1, .per_process = 50};
    struct account_child x;

    (void)state;
    account_begin(&a, &x, account_next(&a));
    account_change(&a, &x, CHILD_ROOM, 20);
    assert_int_equal(account_next(&a), 0);
    account_change(&a, &x, CHILD_DRAINING, 0);
    assert_int_equal(account_next(&a), 0);
    account_end(&a, &x);
    assert_int_equal(account_next(&a), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_count_sessions),
        cmocka_unit_test(room),
        cmocka_unit_test(draining),
        cmocka_unit_test(never_two_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
