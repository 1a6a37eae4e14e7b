#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/edit.h"
#include "unit/unit.h"
#include "util/file.h"

static char dir[] = "/tmp/test_edit.XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "%s/main.cf", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/master.cf", dir);
    unlink(path);
    return rmdir(dir);
}

static void put(const char *name, const char *text)
{
    char path[64];
    struct why why = {0};

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (file_replace(path, str_of(text), 0644, &why) != RC_OK)
        fail_msg("%s", why.text);
}

static void assert_file(const char *name, const char *want)
{
    AUTO_ARENA a = arena_new(4096);
    struct str text;
    struct why why = {0};
    char path[64];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (file_read(path, 100000, a, &text, &why) != RC_OK)
        fail_msg("%s", why.text);
    assert_str(text, want);
}

static void count_warning(void *context, const char *words)
{
    (void)words;
    ++*(int *)context;
}

static const char main_before[] = "# top comment\n"
                                  "a1 = x\n"
                                  "relayhost = one\n"
                                  "mydestination = a,\n"
                                  "# inside\n"
                                  "\tb,\n"
                                  "\n"
                                  "    c\n"
                                  "# after\n"
                                  "relayhost =   two\n"
                                  "   three\n"
                                  "last=x";

static const struct {
    enum edit_action action;
    struct config_setting settings[2];
    size_t n;
    const char *after;
    int warnings;
} mains[] = {
    {EDIT_REPLACE,
     {{STR_INIT("relayhost"), STR_INIT("NEW"), {0}}},
     1,
     "# top comment\na1 = x\nrelayhost = NEW\nmydestination = a,\n# inside\n\tb,\n\n    c\n# after\n"
     "relayhost = NEW\nlast=x\n",
     1},
    {EDIT_REPLACE,
     {{STR_INIT("mydestination"), STR_INIT("q  r"), {0}}, {STR_INIT("new"), STR_INIT(""), {0}}},
     2,
     "# top comment\na1 = x\nrelayhost = one\nmydestination = q  r\n# inside\n\n# after\n"
     "relayhost =   two\n   three\nlast=x\nnew =\n",
     0},
    {EDIT_DELETE,
     {{STR_INIT("relayhost"), {0}, {0}}, {STR_INIT("mydestination"), {0}, {0}}},
     2,
     "# top comment\na1 = x\n# inside\n\n# after\nlast=x\n",
     1},
    {EDIT_COMMENT,
     {{STR_INIT("mydestination"), {0}, {0}}, {STR_INIT("none"), {0}, {0}}},
     2,
     "# top comment\na1 = x\nrelayhost = one\n#mydestination = a,\n# inside\n#\tb,\n\n#    c\n"
     "# after\nrelayhost =   two\n   three\nlast=x\n",
     0},
};

static void test_main_cf(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mains); i++) {
        int warnings = 0;
        struct edit_warnings w = {count_warning, &warnings};
        struct why why = {0};
        put("main.cf", main_before);
        if (main_cf_edit(dir, mains[i].action, mains[i].settings, mains[i].n, &w, &why) != RC_OK)
            fail_msg("%s", why.text);
        assert_file("main.cf", mains[i].after);
        assert_int_equal(warnings, mains[i].warnings);
    }
}

static void test_main_cf_mistakes(void **state)
{
    static const struct config_setting wrong[] = {
        {STR_INIT("a b"), STR_INIT("x"), {0}},
        {STR_INIT("#a"), STR_INIT("x"), {0}},
        {STR_INIT("a"), STR_INIT("x\ny"), {0}},
        {STR_INIT(""), STR_INIT("x"), {0}},
    };
    struct why why;

    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(main_cf_edit(dir, EDIT_REPLACE, &wrong[i], 1, NULL, &why), RC_PERM);
    assert_int_equal(main_cf_edit("/nonexistent", EDIT_REPLACE, wrong, 0, NULL, &why), RC_CONFIG);
}

static void test_mode_is_kept(void **state)
{
    const struct config_setting s = {STR_INIT("a"), STR_INIT("x"), {0}};
    char path[64];
    struct stat st;
    struct why why;

    (void)state;
    put("main.cf", "");
    snprintf(path, sizeof path, "%s/main.cf", dir);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(main_cf_edit(dir, EDIT_REPLACE, &s, 1, NULL, &why), RC_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static const char master_before[] =
    "# top\n"
    "smtp      inet  n       -       y       -       -       smtpd\n"
    "submission inet n -   y       -       -       smtpd\n"
    "  -o syslog_name=postfix/submission\n"
    "# inside\n"
    "  -o smtpd_tls_security_level=encrypt\n"
    "pickup    unix  n       -       y       60      1       pickup\n"
    "pickup    unix  n       -       y       61      1       pickup\n"
    "x unix - n n - - pipe\n"
    "   flags=F argv=/bin/x -o foo {a b} ${nexthop}\n";

#define SMTP "smtp      inet  n       -       y       -       -       smtpd\n"
#define SUBM                                                                                       \
    "submission inet n -   y       -       -       smtpd\n  -o syslog_name=postfix/submission\n"
#define SUBM2  "  -o smtpd_tls_security_level=encrypt\n"
#define PICK60 "pickup    unix  n       -       y       60      1       pickup\n"
#define PICK61 "pickup    unix  n       -       y       61      1       pickup\n"
#define X      "x unix - n n - - pipe\n   flags=F argv=/bin/x -o foo {a b} ${nexthop}\n"

static const struct {
    enum master_edit_kind kind;
    const char *request, *after; /* NULL: nothing matches, nothing changes */
} masters[] = {
    {MASTER_EDIT_ENTRY, "pickup/unix=pickup unix n - n 60 1 pickup",
     "# top\n" SMTP SUBM "# inside\n" SUBM2
     "pickup     unix  n       -       n       60      1       pickup\n" X},
    {MASTER_EDIT_ENTRY, "smtp/inet = smtp inet n - n - - smtpd -o a=b -o { c = d e } -v",
     "# top\nsmtp       inet  n       -       n       -       -       smtpd\n    -o a=b\n"
     "    -o {c=d e}\n    -v\n" SUBM "# inside\n" SUBM2 PICK60 PICK61 X},
    {MASTER_EDIT_ENTRY, "new/unix=new unix - - - - - smtp -ox=1",
     "# top\n" SMTP SUBM "# inside\n" SUBM2 PICK60 PICK61 X
     "new        unix  -       -       -       -       -       smtp\n    -o x=1\n"},
    {MASTER_DELETE_ENTRY, "submission/inet", "# top\n" SMTP "# inside\n" PICK60 PICK61 X},
    {MASTER_DELETE_ENTRY, "pickup/*", "# top\n" SMTP SUBM "# inside\n" SUBM2 X},
    {MASTER_DELETE_ENTRY, "nope/unix", NULL},
    {MASTER_COMMENT_ENTRY, "submission/inet",
     "# top\n" SMTP "#submission inet n -   y       -       -       smtpd\n"
     "#  -o syslog_name=postfix/submission\n# inside\n#" SUBM2 PICK60 PICK61 X},
    {MASTER_EDIT_FIELD, "submission/inet/chroot=n",
     "# top\n" SMTP "submission inet  n       -       n       -       -       smtpd\n"
     "    -o syslog_name=postfix/submission\n    -o smtpd_tls_security_level=encrypt\n"
     "# inside\n" PICK60 PICK61 X},
    {MASTER_EDIT_FIELD, "smtp/inet/command=smtpd -o a=b",
     "# top\nsmtp       inet  n       -       y       -       -       smtpd\n    -o a=b\n" SUBM
     "# inside\n" SUBM2 PICK60 PICK61 X},
    {MASTER_EDIT_FIELD, "x/*/process_limit=4",
     "# top\n" SMTP SUBM "# inside\n" SUBM2 PICK60 PICK61
     "x          unix  -       n       n       -       4       pipe flags=F\n"
     "    argv=/bin/x -o foo {a b} ${nexthop}\n"},
    {MASTER_EDIT_PARAM, "submission/inet/smtpd_tls_security_level=may",
     "# top\n" SMTP "submission inet  n       -       y       -       -       smtpd\n"
     "    -o syslog_name=postfix/submission\n    -o smtpd_tls_security_level=may\n"
     "# inside\n" PICK60 PICK61 X},
    {MASTER_EDIT_PARAM, "smtp/inet/new = 1 2",
     "# top\nsmtp       inet  n       -       y       -       -       smtpd\n"
     "    -o {new=1 2}\n" SUBM "# inside\n" SUBM2 PICK60 PICK61 X},
    {MASTER_DELETE_PARAM, "*/*/syslog_name",
     "# top\nsmtp       inet  n       -       y       -       -       smtpd\n"
     "submission inet  n       -       y       -       -       smtpd\n"
     "    -o smtpd_tls_security_level=encrypt\n# inside\n"
     "pickup     unix  n       -       y       60      1       pickup\n"
     "pickup     unix  n       -       y       61      1       pickup\n"
     "x          unix  -       n       n       -       -       pipe flags=F\n"
     "    argv=/bin/x -o foo {a b} ${nexthop}\n"},
};

static void test_master_cf(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(masters); i++) {
        struct master_edit edit;
        struct why why = {0};
        put("master.cf", master_before);
        if (master_edit_parse(masters[i].kind, str_of(masters[i].request), &edit, &why) != RC_OK ||
            master_cf_edit(dir, &edit, 1, &why) != RC_OK)
            fail_msg("%s: %s", masters[i].request, why.text);
        assert_int_equal(edit.is_done, masters[i].after != NULL);
        assert_file("master.cf", masters[i].after ? masters[i].after : master_before);
    }
}

static const struct {
    enum master_edit_kind kind;
    const char *request, *words;
} mistakes[] = {
    {MASTER_EDIT_ENTRY, "smtp=foo", "requires service/type=line"},
    {MASTER_EDIT_ENTRY, "smtp/inet", "requires service/type=line"},
    {MASTER_EDIT_ENTRY, "smtp/inet=a b c", "\"smtp/inet=a b c\": bad field count: 3 of 8"},
    {MASTER_DELETE_ENTRY, "smtp", "requires service_name/type"},
    {MASTER_DELETE_ENTRY, "smtp/inet/x", "requires service_name/type"},
    {MASTER_EDIT_FIELD, "smtp/inet=x", "-Fe requires"},
    {MASTER_EDIT_FIELD, "smtp/inet/colour=x", "unknown field \"colour\""},
    {MASTER_EDIT_FIELD, "smtp/inet/wakeup=zz", "master.cf, line 2: invalid wakeup field \"zz\""},
    {MASTER_EDIT_PARAM, "smtp/inet/a", "-Pe requires"},
    {MASTER_EDIT_PARAM, "smtp/inet/a=b\nc", "no multi-line input"},
    {MASTER_DELETE_PARAM, "#smtp/inet/a", "no comment input"},
};

static void test_master_cf_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct master_edit edit;
        struct why why = {0};
        enum rc rc;
        put("master.cf", master_before);
        rc = master_edit_parse(mistakes[i].kind, str_of(mistakes[i].request), &edit, &why);
        if (rc == RC_OK)
            rc = master_cf_edit(dir, &edit, 1, &why);
        if (rc == RC_OK || strstr(why.text, mistakes[i].words) == NULL)
            fail_msg("got \"%s\", want \"%s\"", why.text, mistakes[i].words);
        assert_file("master.cf", master_before);
    }
}

static void test_formats(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    AUTO_BUF out;
    struct master_entry e = {0};
    struct why why = {0};

    (void)state;
    buf_init(&out, 10000);
    assert_int_equal(
        master_entry_parse(STR("x unix - - - 5? - smtp -oa=1 -o {b = 2 3} { p q} {} y"), "x", 1, a,
                           &e, &why),
        RC_OK);
    master_entry_format(&e, false, &out);
    assert_string_equal(buf_text(&out), "x          unix  -       -       -       5?      -       "
                                        "smtp -o a=1 -o {b=2 3} {p q} {} y");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_main_cf),
        cmocka_unit_test(test_main_cf_mistakes),
        cmocka_unit_test(test_mode_is_kept),
        cmocka_unit_test(test_master_cf),
        cmocka_unit_test(test_master_cf_mistakes),
        cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
