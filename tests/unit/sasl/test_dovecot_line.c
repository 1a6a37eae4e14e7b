/* Lines of Dovecot's authentication protocol. */
#include "sasl/dovecot_line.h"
#include "sasl/login.h"
#include "unit/unit.h"

static const struct {
    const char *line;
    enum rc rc;
    enum dovecot_word word;
    unsigned long id;
    const char *name, *user, *reason;
    bool is_temporary;
} lines[] = {
    {"VERSION\t1\t2", RC_OK, DOVECOT_VERSION, 0, "", "", "", false},
    {"VERSION\t1", RC_PERM, 0, 0, "", "", "", false},
    {"VERSION\tx\t1", RC_PERM, 0, 0, "", "", "", false},
    {"MECH\tPLAIN\tplaintext", RC_OK, DOVECOT_MECH, 0, "PLAIN", "", "", false},
    {"MECH", RC_PERM, 0, 0, "", "", "", false},
    {"MECH\tA B", RC_PERM, 0, 0, "", "", "", false},
    {"SPID\t12", RC_OK, DOVECOT_SPID, 0, "", "", "", false},
    {"COOKIE\tabc", RC_OK, DOVECOT_COOKIE, 0, "", "", "", false},
    {"DONE", RC_OK, DOVECOT_DONE, 0, "", "", "", false},
    {"OK\t7\tuser=anna\tresp=abc", RC_OK, DOVECOT_OK, 7, "", "anna", "", false},
    {"OK\t7\tuser=a\001tb\0011c\001nd", RC_OK, DOVECOT_OK, 7, "", "a\tb\001c\nd", "", false},
    {"OK", RC_PERM, 0, 0, "", "", "", false},
    {"OK\t-1", RC_PERM, 0, 0, "", "", "", false},
    {"OK\t99999999999999999999", RC_PERM, 0, 0, "", "", "", false},
    {"FAIL\t3\tuser=anna\treason=go away", RC_OK, DOVECOT_FAIL, 3, "", "anna", "go away", false},
    {"FAIL\t3\ttemp", RC_OK, DOVECOT_FAIL, 3, "", "", "", true},
    {"FAIL\t3\tcode=temp_fail", RC_OK, DOVECOT_FAIL, 3, "", "", "", true},
    {"FAIL\t3\tcode=user_disabled", RC_OK, DOVECOT_FAIL, 3, "", "", "", false},
    {"CONT\t3\tVXNlcm5hbWU6", RC_OK, DOVECOT_CONT, 3, "VXNlcm5hbWU6", "", "", false},
    {"CONT\t3\t", RC_OK, DOVECOT_CONT, 3, "", "", "", false},
    {"CONT\t3", RC_OK, DOVECOT_CONT, 3, "", "", "", false},
    {"NEWS\tx", RC_OK, DOVECOT_UNKNOWN, 0, "", "", "", false},
    {"", RC_OK, DOVECOT_UNKNOWN, 0, "", "", "", false},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        AUTO_ARENA a = arena_new(512);
        struct dovecot_line l = {0};
        assert_int_equal(dovecot_line_parse(str_of(lines[i].line), a, &l, NULL), lines[i].rc);
        if (lines[i].rc != RC_OK)
            continue;
        assert_int_equal(l.word, lines[i].word);
        assert_int_equal(l.id, lines[i].id);
        assert_true(str_eq(l.name, str_of(lines[i].name)));
        assert_true(str_eq(l.user, str_of(lines[i].user)));
        assert_true(str_eq(l.reason, str_of(lines[i].reason)));
        assert_int_equal(l.is_temporary, lines[i].is_temporary);
    }
}

static const struct {
    const char *line;
    unsigned lacks;
    bool is_private;
} mechanisms[] = {
    {"MECH\tPLAIN\tplaintext", LOGIN_NOPLAINTEXT | LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH,
     false},
    {"MECH\tCRAM-MD5\tdictionary\tactive",
     LOGIN_NODICTIONARY | LOGIN_NOACTIVE | LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH, false},
    {"MECH\tSCRAM-SHA-256\tmutual-auth", LOGIN_FORWARD_SECRECY, false},
    {"MECH\tX\tforward-secrecy\tmutual-auth", 0, false},
    {"MECH\tDOVECOT-TOKEN\tprivate", LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH, true},
    {"MECH\tANONYMOUS\tanonymous", LOGIN_NOANONYMOUS | LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH,
     false},
};

static void test_mechanisms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++) {
        AUTO_ARENA a = arena_new(512);
        struct dovecot_line l = {0};
        assert_int_equal(dovecot_line_parse(str_of(mechanisms[i].line), a, &l, NULL), RC_OK);
        assert_int_equal(l.lacks, mechanisms[i].lacks);
        assert_int_equal(l.is_private, mechanisms[i].is_private);
    }
}

static void test_put(void **state)
{
    AUTO_BUF b = {0};

    (void)state;
    buf_init(&b, 100);
    dovecot_put(&b, "empty", STR(""));
    assert_int_equal(b.n, 0);
    dovecot_put(&b, "x", (struct str){"a\tb\nc\rd\001e\0f", 11});
    assert_true(str_eq(buf_str(&b), STR("\tx=a\001tb\001nc\001rd\0011e\0010f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_mechanisms),
        cmocka_unit_test(test_put),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
