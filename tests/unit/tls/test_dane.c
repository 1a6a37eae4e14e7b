#include "tls/dane.h"
#include "unit/unit.h"

static const struct {
    const char *text;
    enum rc rc;
    size_t n;
    int first;
} digests[] = {
    {"sha512 sha256", RC_OK, 2, TLSA_SHA512},
    {"sha256", RC_OK, 1, TLSA_SHA256},
    {"sha512=2, sha256=1", RC_OK, 2, TLSA_SHA512},
    {"sha512=1", RC_CONFIG, 0, 0},
    {"md5", RC_CONFIG, 0, 0},
    {"sha256 sha256", RC_CONFIG, 0, 0},
    {"sha256=x", RC_CONFIG, 0, 0},
    {"", RC_CONFIG, 0, 0},
};

static void test_digests(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(digests); i++) {
        struct tlsa_digests d = {0};
        assert_int_equal(tlsa_digests_parse(str_of(digests[i].text), &d, NULL), digests[i].rc);
        if (digests[i].rc != RC_OK)
            continue;
        assert_int_equal(d.n, digests[i].n);
        assert_int_equal(d.matching[0], digests[i].first);
    }
}

static void test_parse(void **state)
{
    struct tlsa r;

    (void)state;
    assert_int_equal(tlsa_parse(STR("\x03\x01\x01"), &r, NULL), RC_PERM);
    assert_int_equal(tlsa_parse(STR("\x03\x01\x02z"), &r, NULL), RC_OK);
    assert_int_equal(r.usage, 3);
    assert_int_equal(r.selector, 1);
    assert_int_equal(r.matching, 2);
    assert_str(r.data, "z");
}

static const struct {
    int usage, selector, matching;
    size_t bytes;
    bool usable;
} usable[] = {
    {3, 1, 1, 32, true},  {3, 0, 2, 64, true},  {2, 0, 1, 32, true},  {2, 1, 0, 300, true},
    {0, 0, 1, 32, false}, {1, 0, 1, 32, false}, {4, 0, 1, 32, false}, {255, 0, 1, 32, false},
    {3, 2, 1, 32, false}, {3, 1, 3, 48, false}, {3, 1, 1, 31, false}, {3, 1, 2, 32, false},
};

static void test_usable(void **state)
{
    static const char bytes[300];
    struct tlsa_digests d = {{TLSA_SHA512, TLSA_SHA256}, 2};

    (void)state;
    for (size_t i = 0; i < COUNT(usable); i++) {
        struct tlsa r = {
            usable[i].usage, usable[i].selector, usable[i].matching, {bytes, usable[i].bytes}};
        if (tlsa_is_usable(&r, &d, NULL) != usable[i].usable)
            fail_msg("row %zu", i);
    }
}

/* Records as "USM", digests in order of preference; what remains. */
static const struct {
    const char *records, *digests, *kept;
} choices[] = {
    {"311", "sha512 sha256", "311"},
    {"311 312", "sha512 sha256", "312"},
    {"312 311", "sha256 sha512", "311"},
    {"311 302", "sha512 sha256", "311 302"},     /* another selector */
    {"211 312", "sha512 sha256", "211 312"},     /* another usage */
    {"310 311 312", "sha512 sha256", "310 312"}, /* full data stays */
    {"312 311", "sha256", "311"},                /* not in the list */
    {"011 111 311 312 301 302 200", "sha512 sha256", "312 302 200"},
    {"011 111", "sha512 sha256", ""},
    {"311 311", "sha512 sha256", "311 311"},
};

static void test_choose(void **state)
{
    static const char bytes[64];

    (void)state;
    for (size_t i = 0; i < COUNT(choices); i++) {
        struct tlsa v[10] = {0};
        struct tlsa_digests d;
        struct str rest = str_of(choices[i].records), word;
        char kept[64] = "";
        size_t n = 0, at = 0;
        assert_int_equal(tlsa_digests_parse(str_of(choices[i].digests), &d, NULL), RC_OK);
        while (str_token(&rest, " ", &word)) {
            int m = word.p[2] - '0';
            v[n++] = (struct tlsa){word.p[0] - '0', word.p[1] - '0', m, {bytes, m == 1 ? 32 : 64}};
        }
        n = tlsa_choose(v, n, &d, NULL, STR("x"));
        for (size_t j = 0; j < n; j++)
            at += (size_t)snprintf(kept + at, sizeof kept - at, "%s%d%d%d", j ? " " : "",
                                   v[j].usage, v[j].selector, v[j].matching);
        assert_string_equal(kept, choices[i].kept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_usable),
        cmocka_unit_test(test_choose),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
