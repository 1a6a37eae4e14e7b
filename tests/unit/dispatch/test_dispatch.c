/* Match rules: the first that holds decides. */
#include "dispatch/dispatch.h"
#include "unit/unit.h"

static const char rules[] = "# a small site\n"
                            "list localhost\n"
                            " local\n"
                            " 127.0.0.0/8\n"
                            " [::1]\n"
                            "list domains\n"
                            " localhost\n"
                            " *.ex.org\n"
                            "list spam\n"
                            " @spam.test\n"
                            " eve@*\n"
                            "list net\n"
                            " 10.0.0.0/8\n"
                            "list tags\n"
                            " SUB\n"
                            "list names\n"
                            " ^mx[0-9]+\\.\n"
                            "list users\n"
                            " ann\n"
                            "action a any\n"
                            "action r any\n"
                            "match sender=spam reject\n"
                            "match client-name~names reject 450 4.7.1 come back\n"
                            "match tag=tags auth=users action r\n"
                            "match tag=tags !auth reject 530 5.7.0 authenticate first\n"
                            "match client=localhost domain=domains action a\n"
                            "match client=localhost any action r\n"
                            "match !client=net domain=domains action a\n";

static const struct {
    const char *client, *name, *user, *tag, *sender, *recipient, *action, *reply;
    int line;
} rows[] = {
    {"", "", "", "", "x@y.test", "u@localhost", "a", "", 26},
    {"", "", "", "", "x@y.test", "u@far.test", "r", "", 27},
    {"127.0.0.1", "", "", "", "x@y.test", "u@localhost", "a", "", 26},
    {"::1", "", "", "", "x@y.test", "u@a.EX.org", "a", "", 26},
    {"203.0.113.5", "", "", "", "x@y.test", "u@a.ex.org", "a", "", 28},
    {"203.0.113.5", "", "", "", "x@y.test", "u@ex.org", "", "550 5.7.1 Recipient rejected", 0},
    {"10.1.1.1", "", "", "", "x@y.test", "u@localhost", "", "550 5.7.1 Recipient rejected", 0},
    {"127.0.0.1", "", "", "", "x@spam.test", "u@localhost", "", "550 5.7.1 Recipient rejected", 22},
    {"127.0.0.1", "", "", "", "Eve@any.test", "u@localhost", "", "550 5.7.1 Recipient rejected",
     22},
    {"203.0.113.5", "mx22.test", "", "", "", "u@a.ex.org", "", "450 4.7.1 come back", 23},
    {"203.0.113.5", "", "ann", "SUB", "", "u@far.test", "r", "", 24},
    {"203.0.113.5", "", "", "SUB", "", "u@far.test", "", "530 5.7.0 authenticate first", 25},
};

static void test_rows(void **state)
{
    struct dispatch *d = NULL;
    struct why why = {0};

    (void)state;
    assert_int_equal(
        dispatch_parse(str_of(rules), "rules", &(struct table_env){NULL, NULL}, &d, &why), RC_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA a = arena_new(1000);
        struct dispatch_facts f = {.is_submission = rows[i].client[0] == '\0',
                                   .client_name = str_of(rows[i].name),
                                   .user = rows[i].user[0] ? str_of(rows[i].user) : STR_NONE,
                                   .tag = str_of(rows[i].tag),
                                   .helo = STR("h"),
                                   .sender = str_of(rows[i].sender),
                                   .recipient = str_of(rows[i].recipient),
                                   .domain = STR("localhost"),
                                   .delimiters = STR("+")};
        struct dispatch_answer answer;
        if (!f.is_submission)
            assert_int_equal(addr_parse(str_of(rows[i].client), 25, &f.client, &why), RC_OK);
        assert_int_equal(dispatch_accepts(d, &f, a, &answer, &why), RC_OK);
        if (answer.line != rows[i].line)
            fail_msg("row %zu: line %d, want %d", i, answer.line, rows[i].line);
        assert_int_equal(answer.accepted, rows[i].action[0] != '\0');
        assert_str(answer.accepted ? answer.action : answer.reply,
                   answer.accepted ? rows[i].action : rows[i].reply);
    }
    dispatch_close(d);
}

static const struct {
    const char *text, *words;
} wrong[] = {
    {" x\n", "rules, line 1: an entry stands in no list"},
    {"list a\nlist a\n", "rules, line 2: list a: there is one of that name"},
    {"match any\n", "rules, line 1: a rule ends with \"action NAME\" or \"reject\""},
    {"match any action x\n", "rules, line 1: there is no action \"x\""},
    {"match client reject\n", "rules, line 1: \"client\" needs a list"},
    {"match tls=x reject\n", "rules, line 1: \"tls\" takes no list"},
    {"match foo reject\n", "rules, line 1: unknown condition \"foo\"; match_rules(5) lists them"},
    {"match sender=x reject\n", "rules, line 1: there is no list \"x\""},
    {"list a\n (x{99}){99}\nmatch helo~a reject\n",
     "rules, line 3: regular expression \"(x{99}){99}\" repeats too much; write it with fewer "
     "repetitions within repetitions"},
    {"list a\n x(\nmatch helo~a reject\n",
     "rules, line 3: bad regular expression \"x(\": Unmatched ( or \\(; correct it"},
    {"accept\n", "rules, line 1: \"accept\" is none of list, action, match"},
    {"match any reject 200 no\n", "rules, line 1: reject: a reply begins with 4xx or 5xx"},
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct dispatch *d = NULL;
        struct why why = {0};
        assert_int_equal(dispatch_parse(str_of(wrong[i].text), "rules",
                                        &(struct table_env){NULL, NULL}, &d, &why),
                         RC_CONFIG);
        assert_string_equal(why.text, wrong[i].words);
    }
}

/* Each shape of an entry is found by the way it is filed. */
static void test_entries(void **state)
{
    static const struct {
        const char *entry, *sender;
        bool matches;
    } vectors[] = {
        {"*", "a@b.test", true},
        {"*son", "Johnson@b.test", true},
        {"*son", "sonny@b.test", false},
        {"@*.test", "a@b.TEST", true},
        {"@*.test", "a@test", false},
        {"*@b.test", "a@b.test", true},
        {"*son@*.test", "johnson@b.test", true},
        {"x*y@*", "xxyy@b.test", true},
        {"x*y@*", "xxyyz@b.test", false},
        {"@b.test", "a@b.test", true},
        {"a", "a@b.test", true},
        {"a@b.test", "A@B.test", true},
        {"*.test", "a@b.test", false},
        {"x*@", "xy@b.test", true},
        {"*y@", "xy@b.test", true},
        {"x*@", "yx@b.test", false},
        {"u@*", "U@b.test", true},
        {"<>", "", true},
        {"*", "", true},
        {"a", "", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        AUTO_ARENA a = arena_new(1000);
        struct dispatch_facts f = {.sender = str_of(vectors[i].sender), .recipient = STR("u@x")};
        struct dispatch_answer answer;
        struct dispatch *d = NULL;
        struct why why = {0};
        struct str text = arena_printf(
            a, "list l\n other\n %s\naction x any\nmatch sender=l action x\n", vectors[i].entry);
        assert_int_equal(dispatch_parse(text, "rules", &(struct table_env){NULL, NULL}, &d, &why),
                         RC_OK);
        assert_int_equal(dispatch_decide(d, &f, a, &answer, &why), RC_OK);
        if (answer.accepted != vectors[i].matches)
            fail_msg("%s, %s", vectors[i].entry, vectors[i].sender);
        dispatch_close(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_wrong),
                                       cmocka_unit_test(test_entries)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
