/* The index of rules: no rule that matches is missed, and few others are looked at. */
#include "unit/unit.h"
#include "util/candidates.h"

enum { RULES = 400, TEXTS = 300 };

/* The same numbers each time. */
static unsigned dice(unsigned *state, unsigned sides)
{
    *state = *state * 1103515245u + 12345u;
    return (*state >> 16) % sides;
}

static struct str any_text(struct arena *a, unsigned *state, const char *bytes, unsigned longest)
{
    struct str s = arena_copy(a, STR("????????????"));
    unsigned n = dice(state, longest + 1);

    for (unsigned i = 0; i < n; i++)
        ((char *)s.p)[i] = bytes[dice(state, (unsigned)strlen(bytes))];
    return str_head(s, n);
}

/* Two fields; a rule matches when a pattern of each fits. */
static void test_none_is_missed(void **state)
{
    AUTO_ARENA a = arena_new(1000);
    struct candidates *c = candidates_new(a);
    struct clause *shared = clause_new(c);
    struct str patterns[RULES][2];
    unsigned seed = 7, looked_at = 0;

    (void)state;
    clause_add_pattern(c, shared, 1, STR("ab*"));
    clause_add_pattern(c, shared, 1, STR("*ba"));
    for (unsigned i = 0; i < RULES; i++) {
        struct clause *clauses[2] = {clause_new(c), i % 3 ? clause_new(c) : shared};
        for (int f = 0; f < 2; f++) {
            patterns[i][f] = any_text(a, &seed, i % 2 ? "ab*" : "ab", 6);
            if (clauses[f] != shared)
                clause_add_pattern(c, clauses[f], f, patterns[i][f]);
        }
        candidates_add(c, i, clauses, 2);
    }
    candidates_build(c);
    for (int t = 0; t < TEXTS; t++) {
        struct str x = any_text(a, &seed, "ab", 7), y = any_text(a, &seed, "ab", 7);
        struct candidate_search s = {.arena = a};
        bool is_candidate[RULES] = {false};
        long last = -1, number;
        search_always(c, &s);
        search_text(c, &s, 0, x);
        search_text(c, &s, 1, y);
        while ((number = search_next(&s)) != NO_CANDIDATE) {
            assert_true(number > last && number < RULES);
            is_candidate[last = number] = true;
            looked_at++;
        }
        for (unsigned i = 0; i < RULES; i++) {
            bool second = i % 3 ? str_fits(y, patterns[i][1])
                                : str_fits(y, STR("ab*")) || str_fits(y, STR("*ba"));
            if (!is_candidate[i] && str_fits(x, patterns[i][0]) && second)
                fail_msg("rule %u, " STR_FMT " and " STR_FMT, i, STR_ARG(x), STR_ARG(y));
        }
    }
    assert_true(looked_at < RULES * TEXTS / 4);
}

static long first(const struct candidates *c, struct arena *a, const char *address,
                  const char *text, size_t *n)
{
    struct candidate_search s = {.arena = a};
    struct addr client;
    struct why why = {0};
    long number, found = NO_CANDIDATE;

    assert_int_equal(addr_parse(str_of(address), 0, &client, &why), RC_OK);
    search_always(c, &s);
    search_address(c, &s, 0, &client);
    search_text(c, &s, 1, str_of(text));
    for (*n = 0; (number = search_next(&s)) != NO_CANDIDATE; ++*n)
        if (found == NO_CANDIDATE)
            found = number;
    return found;
}

/* What all rules share is not what they are filed under, and a clause without keys never holds. */
static void test_filing(void **state)
{
    AUTO_ARENA a = arena_new(1000);
    struct candidates *c = candidates_new(a);
    struct clause *same = clause_new(c), *spoiled = clause_new(c), *empty = clause_new(c);
    struct network network;
    size_t n;

    (void)state;
    clause_add_pattern(c, same, 1, STR("user@example.com"));
    clause_add_pattern(c, spoiled, 1, STR("x"));
    clause_add_pattern(c, spoiled, 1, STR("*x*"));
    for (unsigned i = 0; i < 100; i++) {
        struct clause *clauses[2] = {same, clause_new(c)};
        struct str text = arena_printf(a, "10.0.%u.0/24", i);
        assert_int_equal(network_parse(text, &network, NULL), RC_OK);
        clause_add_network(c, clauses[1], 0, &network);
        candidates_add(c, i, clauses, 2);
    }
    candidates_add(c, 100, &empty, 1);
    candidates_add(c, 101, &spoiled, 1);
    candidates_add(c, 102, NULL, 0);
    candidates_build(c);
    assert_int_equal(first(c, a, "10.0.7.1", "user@example.com", &n), 7);
    assert_int_equal(n, 3);
    assert_int_equal(first(c, a, "10.1.7.1", "user@example.com", &n), 101);
    assert_int_equal(n, 2);
    assert_int_equal(first(c, a, "::1", "", &n), 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_is_missed),
        cmocka_unit_test(test_filing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
