#include "queue/queue.h"
#include "unit/unit.h"

static const struct vector {
    long seconds, usec;
    ino_t inode;
    const char *brief, *lengthy;
} vectors[] = {
    {0, 0, 0, "00000", "0000000000z0"},       {1795257429, 579204, 0xA76994, "8D684A76994", NULL},
    {1795257429, 5, 0x10, "0000510", NULL},   {51, 51, 50, "0003332", "00000z000zzy"},
    {52, 52, 51, "0003433", "0000100010z10"}, {1, 999999, 1, "F423F1", "00000175plz1"},
};

static void test_make_and_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct timespec created = {v->seconds, v->usec * 1000}, back;
        char id[QUEUE_ID_SIZE];
        ino_t inode;
        struct why why;

        queue_id_make(id, created, v->inode, false);
        if (v->inode) {
            assert_string_equal(id, v->brief);
            assert_int_equal(queue_id_time(str_of(id), &back, &why), RC_OK);
            assert_int_equal(back.tv_nsec, created.tv_nsec);
            assert_int_equal(back.tv_sec, 0);
            assert_int_equal(queue_id_inode(str_of(id), &inode, &why), RC_OK);
            assert_int_equal(inode, v->inode);
            assert_false(queue_id_is_long(str_of(id)));
        }
        queue_id_make(id, created, v->inode, true);
        if (v->lengthy)
            assert_string_equal(id, v->lengthy);
        assert_true(queue_id_is_valid(str_of(id)));
        assert_true(queue_id_is_long(str_of(id)));
        assert_int_equal(queue_id_time(str_of(id), &back, &why), RC_OK);
        assert_int_equal(back.tv_sec, created.tv_sec);
        assert_int_equal(back.tv_nsec, created.tv_nsec);
        assert_int_equal(queue_id_inode(str_of(id), &inode, &why), RC_OK);
        assert_int_equal(inode, v->inode);
    }
}

static void test_bad(void **state)
{
    static const char *const bad[] = {"",        "0",      "12345",        "zzzzzzzzzz",
                                      "FFFFF1",  "00001G", "0000000000zA", "aaaaaaaaaaz1",
                                      "../00001"};
    struct timespec t;
    struct why why;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (queue_id_time(str_of(bad[i]), &t, &why) == RC_OK) {
            ino_t inode;
            assert_int_equal(queue_id_inode(str_of(bad[i]), &inode, &why), RC_PERM);
        }
    assert_false(queue_id_is_valid(STR("")));
    assert_false(queue_id_is_valid(STR("../A")));
    assert_false(queue_id_is_valid(STR("12.34")));
    assert_false(queue_id_is_valid(STR("1234567890123456789012345678901234567890")));
    assert_true(queue_id_is_valid(STR("4Gq8bJ3Q1Wz1L")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_make_and_decode),
                                       cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
