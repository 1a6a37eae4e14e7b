/* The exchange of RFC 7677 section 3, and what clients may get wrong. */
#include "sasl/scram.h"
#include "unit/unit.h"

#define FIRST      "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define SERVER     "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define CHALLENGE  "r=rOprNGfwEbeRWgbNEkqO" SERVER ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define FINAL_BARE "c=biws,r=rOprNGfwEbeRWgbNEkqO" SERVER
#define PROOF      "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE  "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct scram_verifier verifier(struct arena *a, const char *password)
{
    struct scram_verifier v;
    struct str salt;

    assert_int_equal(login_decode(a, STR("W22ZaJ0SNY7soEsUEjb6gQ=="), 64, &salt, NULL), RC_OK);
    assert_int_equal(scram_verifier_make(str_of(password), salt, 4096, &v, NULL), RC_OK);
    return v;
}

static void test_exchange(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct scram_verifier v = verifier(a, "pencil"), again;
    struct scram s = {.arena = a};
    struct str answer;

    (void)state;
    assert_int_equal(scram_first(&s, STR(FIRST), NULL), RC_OK);
    assert_true(str_eq(s.username, STR("user")));
    assert_true(str_eq(scram_challenge(&s, &v, STR(SERVER)), STR(CHALLENGE)));
    assert_int_equal(scram_final(&s, &v, STR(FINAL_BARE ",p=" PROOF), &answer, NULL), RC_OK);
    assert_true(str_eq(answer, STR(SIGNATURE)));

    /* a verifier survives being written down */
    assert_int_equal(scram_verifier_parse(scram_verifier_text(&v, a), &again, NULL), RC_OK);
    assert_memory_equal(again.stored_key, v.stored_key, SCRAM_KEY);
    assert_memory_equal(again.server_key, v.server_key, SCRAM_KEY);
    assert_int_equal(again.iterations, 4096);
    assert_int_equal(again.salt_n, 16);
}

static const struct {
    const char *message;
    enum rc rc;
} finals[] = {
    {FINAL_BARE ",p=" PROOF, RC_OK},
    {FINAL_BARE ",x=1,p=" PROOF, RC_NONE}, /* signed text is another */
    {"c=eSws,r=rOprNGfwEbeRWgbNEkqO" SERVER ",p=" PROOF, RC_NONE},
    {"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" PROOF, RC_NONE},
    {FINAL_BARE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", RC_NONE},
    {FINAL_BARE, RC_PERM},
    {FINAL_BARE ",p=", RC_PERM},
    {FINAL_BARE ",p=AAAA", RC_PERM},
    {FINAL_BARE ",p=" PROOF "AAAA", RC_PERM},
    {"", RC_PERM},
    {",p=" PROOF, RC_PERM},
    {"r=x,c=biws,p=" PROOF, RC_PERM},
    {"c=!,r=x,p=" PROOF, RC_PERM},
};

static void test_finals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof finals / sizeof *finals; i++) {
        AUTO_ARENA a = arena_new(4096);
        struct scram_verifier v = verifier(a, "pencil");
        struct scram s = {.arena = a};
        struct str answer;
        assert_int_equal(scram_first(&s, STR(FIRST), NULL), RC_OK);
        scram_challenge(&s, &v, STR(SERVER));
        assert_int_equal(scram_final(&s, &v, str_of(finals[i].message), &answer, NULL),
                         finals[i].rc);
    }
}

static void test_other_password(void **state)
{
    AUTO_ARENA a = arena_new(4096);
    struct scram_verifier v = verifier(a, "pencils");
    struct scram s = {.arena = a};
    struct str answer;

    (void)state;
    assert_int_equal(scram_first(&s, STR(FIRST), NULL), RC_OK);
    scram_challenge(&s, &v, STR(SERVER));
    assert_int_equal(scram_final(&s, &v, STR(FINAL_BARE ",p=" PROOF), &answer, NULL), RC_NONE);
}

static const struct {
    const char *message, *username, *authzid; /* NULL: malformed */
} firsts[] = {
    {"n,,n=user,r=x", "user", ""},
    {"y,,n=user,r=x", "user", ""},
    {"n,a=other,n=user,r=x", "user", "other"},
    {"n,,n=a=2Cb=3Dc,r=x,ext=1", "a,b=c", ""},
    {"p=tls-unique,,n=user,r=x", "user", ""},
    {"p=,,n=user,r=x", NULL, NULL},
    {"x,,n=user,r=x", NULL, NULL},
    {"n,,n=user,r=", NULL, NULL},
    {"n,,n=user", NULL, NULL},
    {"n,,n=,r=x", NULL, NULL},
    {"n,,n=a=2,r=x", NULL, NULL},
    {"n,,n=a=40b,r=x", NULL, NULL},
    {"n,,m=1,n=user,r=x", NULL, NULL},
    {"n,,r=x,n=user", NULL, NULL},
    {"n,x,n=user,r=x", NULL, NULL},
    {"n,a=,n=user,r=x", NULL, NULL},
    {"n,,n=user,r=a b", NULL, NULL},
    {"n,", NULL, NULL},
    {"n", NULL, NULL},
    {"", NULL, NULL},
};

static void test_firsts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        AUTO_ARENA a = arena_new(1024);
        struct scram s = {.arena = a};
        enum rc rc = scram_first(&s, str_of(firsts[i].message), NULL);
        assert_int_equal(rc, firsts[i].username ? RC_OK : RC_PERM);
        if (rc == RC_OK) {
            assert_true(str_eq(s.username, str_of(firsts[i].username)));
            assert_true(str_eq(s.authzid, str_of(firsts[i].authzid)));
        }
    }
}

static void test_verifiers(void **state)
{
    static const char *const bad[] = {
        "",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$0:AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "SCRAM-SHA-256$4096:$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "SCRAM-SHA-1$4096:AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    };
    struct scram_verifier v, w;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(scram_verifier_parse(str_of(bad[i]), &v, NULL), RC_PERM);
    /* somebody who does not exist has the same salt each time, and another one than his neighbour
     */
    assert_int_equal(scram_verifier_fake(STR("a"), STR("key"), 4096, &v, NULL), RC_OK);
    assert_int_equal(scram_verifier_fake(STR("a"), STR("key"), 4096, &w, NULL), RC_OK);
    assert_memory_equal(v.salt, w.salt, v.salt_n);
    assert_int_equal(scram_verifier_fake(STR("b"), STR("key"), 4096, &w, NULL), RC_OK);
    assert_memory_not_equal(v.salt, w.salt, v.salt_n);
    assert_int_equal(scram_verifier_make(STR("x"), STR("salt"), 1000, &v, NULL), RC_PERM);
    assert_int_equal(scram_verifier_make(STR("x"), STR(""), 4096, &v, NULL), RC_PERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange),       cmocka_unit_test(test_finals),
        cmocka_unit_test(test_other_password), cmocka_unit_test(test_firsts),
        cmocka_unit_test(test_verifiers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
