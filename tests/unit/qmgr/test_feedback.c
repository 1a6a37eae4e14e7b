#include "qmgr/feedback.h"
#include "unit/unit.h"

static const struct vector {
    const char *text;
    enum rc rc;
    double at_1, at_4, at_16;
} vectors[] = {
    {"1", RC_OK, 1, 1, 1},
    {"0", RC_OK, 0, 0, 0},
    {"1/5", RC_OK, 0.2, 0.2, 0.2},
    {"0.25", RC_OK, 0.25, 0.25, 0.25},
    {"1/concurrency", RC_OK, 1, 0.25, 0.0625},
    {"1/sqrt_concurrency", RC_OK, 1, 0.5, 0.25},
    {" 0.5 / concurrency ", RC_OK, 0.5, 0.125, 0.03125},
    {"2", RC_CONFIG, 0, 0, 0},
    {"-1", RC_CONFIG, 0, 0, 0},
    {"", RC_CONFIG, 0, 0, 0},
    {"x", RC_CONFIG, 0, 0, 0},
    {"1/0", RC_CONFIG, 0, 0, 0},
    {"1/x", RC_CONFIG, 0, 0, 0},
    {"1/", RC_CONFIG, 0, 0, 0},
};

static void assert_near(double got, double want)
{
    if (got - want > 1e-9 || want - got > 1e-9)
        fail_msg("got %g, want %g", got, want);
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct feedback f = {0};
        struct why why;
        if (feedback_parse(str_of(v->text), &f, &why) != v->rc)
            fail_msg("\"%s\": not rc %d", v->text, v->rc);
        if (v->rc != RC_OK)
            continue;
        assert_near(feedback_amount(&f, 1), v->at_1);
        assert_near(feedback_amount(&f, 4), v->at_4);
        assert_near(feedback_amount(&f, 16), v->at_16);
    }
}

static struct feedback parsed(const char *text)
{
    struct feedback f;
    struct why why;

    assert_int_equal(feedback_parse(str_of(text), &f, &why), RC_OK);
    return f;
}

static void test_grows_while_it_is_used(void **state)
{
    struct feedback one = parsed("1");
    struct window_rules rules = {
        .initial = 5, .limit = 20, .failed_cohort_limit = 1, .positive = &one, .negative = &one};
    struct window w;

    (void)state;
    window_reset(&w, &rules);
    assert_int_equal(w.size, 5);
    window_success(&w, &rules, 0); /* nothing else runs: no evidence for more */
    assert_int_equal(w.size, 5);
    window_success(&w, &rules, 1);
    assert_int_equal(w.size, 6);
    for (int i = 0; i < 100; i++)
        window_success(&w, &rules, w.size);
    assert_int_equal(w.size, 20);
    rules.limit = 3;
    window_reset(&w, &rules);
    assert_int_equal(w.size, 3);
    rules.limit = 0; /* unlimited */
    window_reset(&w, &rules);
    for (int i = 0; i < 100; i++)
        window_success(&w, &rules, w.size);
    assert_int_equal(w.size, 105);
}

static void test_fractions_collect(void **state)
{
    struct feedback fifth = parsed("1/5");
    struct window_rules rules = {.initial = 5, .limit = 20, .positive = &fifth, .negative = &fifth};
    struct window w;

    (void)state;
    window_reset(&w, &rules);
    for (int i = 0; i < 4; i++)
        window_success(&w, &rules, 5);
    assert_int_equal(w.size, 5);
    window_success(&w, &rules, 5);
    assert_int_equal(w.size, 6);
    for (int i = 0; i < 5; i++)
        assert_false(window_failure(&w, &rules)); /* no cohort limit: never dead */
    assert_int_equal(w.size, 5);
    for (int i = 0; i < 1000; i++)
        assert_false(window_failure(&w, &rules));
    assert_int_equal(w.size, 1);
}

static void test_death(void **state)
{
    struct feedback one = parsed("1"), none = parsed("0");
    struct window_rules rules = {
        .initial = 5, .limit = 20, .failed_cohort_limit = 1, .positive = &one, .negative = &none};
    struct window w;

    (void)state;
    window_reset(&w, &rules);
    for (int i = 0; i < 4; i++)
        assert_false(window_failure(&w, &rules));
    assert_true(window_failure(&w, &rules)); /* five of a window of five */
    window_reset(&w, &rules);
    for (int i = 0; i < 4; i++)
        assert_false(window_failure(&w, &rules));
    window_success(&w, &rules, 0); /* any success forgives */
    for (int i = 0; i < 4; i++)
        assert_false(window_failure(&w, &rules));
    assert_true(window_failure(&w, &rules));
    rules.failed_cohort_limit = 2;
    window_reset(&w, &rules);
    for (int i = 0; i < 9; i++)
        assert_false(window_failure(&w, &rules));
    assert_true(window_failure(&w, &rules));
    rules.initial = 1;
    rules.failed_cohort_limit = 1;
    window_reset(&w, &rules);
    assert_true(window_failure(&w, &rules));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_grows_while_it_is_used),
        cmocka_unit_test(test_fractions_collect),
        cmocka_unit_test(test_death),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
