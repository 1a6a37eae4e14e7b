/* src/filter/protocol.c */
#include "filter/filter.h"
#include "unit/unit.h"

#define S "0123456789abcdef"

static const struct {
    const char *line;
    enum rc rc;
    enum filter_word word;
    enum filter_decision decision;
    const char *parameter;
} vectors[] = {
    {"register|report|smtp-in|link-connect", RC_OK, WORD_REGISTER_REPORT, 0, NULL},
    {"register|report|smtp-in|*", RC_OK, WORD_REGISTER_REPORT, 0, NULL},
    {"register|filter|smtp-in|data-line", RC_OK, WORD_REGISTER_FILTER, 0, NULL},
    {"register|ready", RC_OK, WORD_READY, 0, NULL},
    {"register|report|smtp-out|link-connect", RC_OK, WORD_REGISTER_REPORT, 0, NULL},
    {"register|filter|smtp-out|connect", RC_PERM, 0, 0, NULL},
    {"register|report|smtp-up|link-connect", RC_PERM, 0, 0, NULL},
    {"register|report|smtp-out", RC_PERM, 0, 0, NULL},
    {"register|stats|smtp-in|x", RC_PERM, 0, 0, NULL},
    {"register", RC_PERM, 0, 0, NULL},
    {"filter-result|" S "|t|proceed", RC_OK, WORD_RESULT, DECIDE_PROCEED, NULL},
    {"filter-result|" S "|t|junk", RC_OK, WORD_RESULT, DECIDE_JUNK, NULL},
    {"filter-result|" S "|t|reject|550 no|never", RC_OK, WORD_RESULT, DECIDE_REJECT,
     "550 no|never"},
    {"filter-result|" S "|t|disconnect|421 bye", RC_OK, WORD_RESULT, DECIDE_DISCONNECT, "421 bye"},
    {"filter-result|" S "|t|rewrite|", RC_OK, WORD_RESULT, DECIDE_REWRITE, ""},
    {"filter-result|" S "|t|report|text", RC_OK, WORD_RESULT, DECIDE_REPORT, "text"},
    {"filter-result|" S "|t|proceed|x", RC_PERM, 0, 0, NULL},
    {"filter-result|" S "|t|reject", RC_PERM, 0, 0, NULL},
    {"filter-result|" S "|t|reject|250 fine", RC_PERM, 0, 0, NULL},
    {"filter-result|" S "|t|reject|no code", RC_PERM, 0, 0, NULL},
    {"filter-result|" S "|t|bypass", RC_PERM, 0, 0, NULL},
    {"filter-result|" S "|t|", RC_PERM, 0, 0, NULL},
    {"filter-result|" S "|t", RC_PERM, 0, 0, NULL},
    {"filter-result|short|t|proceed", RC_PERM, 0, 0, NULL},
    {"filter-dataline|" S "|t|a|b", RC_OK, WORD_DATALINE, 0, "a|b"},
    {"filter-dataline|" S "|t|", RC_OK, WORD_DATALINE, 0, ""},
    {"filter-dataline|" S "|t", RC_PERM, 0, 0, NULL},
    {"hello", RC_PERM, 0, 0, NULL},
    {"", RC_PERM, 0, 0, NULL},
    {"register|ready\n", RC_PERM, 0, 0, NULL},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct filter_line l = {0};
        struct why why;
        assert_int_equal(filter_line_parse(str_of(vectors[i].line), &l, &why), vectors[i].rc);
        if (vectors[i].rc != RC_OK)
            continue;
        assert_int_equal(l.word, vectors[i].word);
        assert_int_equal(l.decision, vectors[i].decision);
        if (vectors[i].parameter)
            assert_true(str_eq(l.parameter, str_of(vectors[i].parameter)));
    }
}

static void test_interest(void **state)
{
    struct filter_interest i = {0};
    struct filter_line l = {.word = WORD_REGISTER_REPORT, .event = STR("*")};
    struct why why;

    (void)state;
    assert_int_equal(filter_interest_add(&i, &l, &why), RC_OK);
    assert_true(i.events[EVENT_TIMEOUT] && i.events[EVENT_LINK_CONNECT] && !i.phases[FILTER_HELO]);
    l = (struct filter_line){.word = WORD_REGISTER_FILTER, .event = STR("commit")};
    assert_int_equal(filter_interest_add(&i, &l, &why), RC_OK);
    assert_true(i.phases[FILTER_COMMIT] && !i.phases[FILTER_DATA]);
    l.event = STR("*");
    assert_int_equal(filter_interest_add(&i, &l, &why), RC_PERM);
}

/* Fields cannot forge others. */
static void test_writing(void **state)
{
    AUTO_BUF b;

    (void)state;
    buf_init(&b, 1000);
    filter_begin_request(&b, FILTER_CONNECT, S, "token");
    filter_add(&b, STR("a|b\r\nc"));
    filter_end(&b, STR("d|e\nf"));
    assert_true(str_has_prefix(buf_str(&b), STR("filter|0.7|")));
    assert_true(str_has_suffix(buf_str(&b), STR("|smtp-in|connect|" S "|token|a?b??c|d|e?f\n")));
    buf_reset(&b);
    filter_begin_event(&b, EVENT_LINK_DISCONNECT, false, S);
    filter_end(&b, STR_NONE);
    assert_true(str_has_suffix(buf_str(&b), STR("|smtp-in|link-disconnect|" S "\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_interest),
        cmocka_unit_test(test_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
