/* src/auth/srs.c; the vectors of the first table were made by postsrsd 1.10. */
#include "auth/srs.h"
#include "config/config.h"
#include "unit/unit.h"

enum { MADE = 1795280830, DAY = 24 * 60 * 60 };

static struct srs *open_with(const char *secrets)
{
    struct config config = {
        .srs_secrets = str_of(secrets), .srs_domain = STR("us.test"), .srs_lifetime = 4 * DAY};
    struct srs *s = NULL;
    struct why why;

    (void)!srs_open(&config, &s, &why);
    return s;
}

static const struct {
    const char *sender, *rewritten, *back; /* back: what the reverse gives */
} vectors[] = {
    {"ann@a.test", "SRS0=zA29=JK=a.test=ann@us.test", "ann@a.test"},
    {"Ann.Lee@Sub.A.test", "SRS0=ll5d=JK=Sub.A.test=Ann.Lee@us.test", "Ann.Lee@Sub.A.test"},
    {"a=b@c.test", "SRS0=C1//=JK=c.test=a=b@us.test", "a=b@c.test"},
    {"SRS0=AbCd=TT=orig.test=joe@first.test", "SRS1=bbyf=first.test==AbCd=TT=orig.test=joe@us.test",
     "SRS0=AbCd=TT=orig.test=joe@first.test"},
    {"SRS1=xxxx=first.test==AbCd=TT=orig.test=joe@second.test",
     "SRS1=bbyf=first.test==AbCd=TT=orig.test=joe@us.test",
     "SRS0=AbCd=TT=orig.test=joe@first.test"},
    {"SRS0+AbCd=TT=orig.test=joe@first.test", "SRS1=9Kvk=first.test=+AbCd=TT=orig.test=joe@us.test",
     "SRS0+AbCd=TT=orig.test=joe@first.test"},
};

static void test_both_ways(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct srs *s = open_with("tops3cret");
    struct str out;
    struct why why;

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        assert_int_equal(srs_forward(s, str_of(vectors[i].sender), MADE, a, &out, &why), RC_OK);
        assert_string_equal(out.p, vectors[i].rewritten);
        assert_int_equal(srs_reverse(s, out, MADE, a, &out, &why), RC_OK);
        assert_string_equal(out.p, vectors[i].back);
    }
    srs_close(s);
}

static const struct {
    const char *sender;
} alone[] = {{""}, {"postmaster"}, {"ann@us.test"}, {"ann@US.test"}, {"ann@a=b.test"}};

static void test_left_alone(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct srs *s = open_with("tops3cret");
    struct str out;
    struct why why;

    (void)state;
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        assert_int_equal(srs_forward(s, str_of(alone[i].sender), MADE, a, &out, &why), RC_NONE);
    assert_int_equal(srs_forward(NULL, STR("ann@a.test"), MADE, a, &out, &why), RC_NONE);
    assert_null(open_with(" "));
    srs_close(s);
}

static const struct {
    const char *recipient;
    long days; /* after it was made */
    enum rc rc;
} answers[] = {
    {"SRS0=zA29=JK=a.test=ann@us.test", 4, RC_OK},
    {"srs0=ZA29=jk=A.test=Ann@US.test", 0, RC_OK}, /* case was not kept */
    {"SRS0+zA29=JK=a.test=ann@us.test", 0, RC_OK},
    {"SRS0=zA29=JK=a.test=ann@us.test", 5, RC_PERM},
    {"SRS0=zA29=JK=a.test=ann@us.test", 900, RC_PERM},
    {"SRS0=zA29=JK=a.test=ann@us.test", -1, RC_OK}, /* made by a clock that was ahead */
    {"SRS0=zA29=JK=a.test=ann@us.test", -3, RC_PERM},
    {"SRS0=zA28=JK=a.test=ann@us.test", 0, RC_PERM},
    {"SRS0=zA2=JK=a.test=ann@us.test", 0, RC_PERM},
    {"SRS0=zA29=JL=a.test=ann@us.test", 0, RC_PERM},
    {"SRS0=zA29=JK=b.test=ann@us.test", 0, RC_PERM},
    {"SRS0=zA29=JK=a.test=eve@us.test", 0, RC_PERM},
    {"SRS0=zA29=JK=a.test@us.test", 0, RC_PERM},
    {"SRS0=@us.test", 0, RC_PERM},
    {"SRS1=bbyf=other.test==AbCd=TT=orig.test=joe@us.test", 0, RC_PERM},
    {"SRS1=bbyf@us.test", 0, RC_PERM},
    {"SRS0=zA29=JK=a.test=ann@them.test", 0, RC_NONE},
    {"SRS2=zA29=JK=a.test=ann@us.test", 0, RC_NONE},
    {"SRS0@us.test", 0, RC_NONE},
    {"ann@us.test", 0, RC_NONE},
    {"", 0, RC_NONE},
};

static void test_reverse(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct srs *s = open_with("tops3cret");
    struct str out;
    struct why why;

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        assert_int_equal(srs_reverse(s, str_of(answers[i].recipient), MADE + answers[i].days * DAY,
                                     a, &out, &why),
                         answers[i].rc);
    srs_close(s);
}

/* The backup key is good for what was signed before; the first one signs. */
static void test_new_key(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct srs *old = open_with("tops3cret"), *both = open_with("fresh, tops3cret"),
               *fresh = open_with("fresh");
    struct str out, back;
    struct why why;

    (void)state;
    assert_int_equal(srs_forward(old, STR("ann@a.test"), MADE, a, &out, &why), RC_OK);
    assert_int_equal(srs_reverse(both, out, MADE, a, &back, &why), RC_OK);
    assert_int_equal(srs_reverse(fresh, out, MADE, a, &back, &why), RC_PERM);
    assert_int_equal(srs_forward(both, STR("ann@a.test"), MADE, a, &out, &why), RC_OK);
    assert_int_equal(srs_reverse(fresh, out, MADE, a, &back, &why), RC_OK);
    srs_close(old);
    srs_close(both);
    srs_close(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_reverse),
        cmocka_unit_test(test_new_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
