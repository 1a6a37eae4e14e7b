/* Texts of notifications: the file that replaces them, and expansion. */
#include "config/config.h"
#include "deliver/template.h"
#include "unit/unit.h"

static struct config *config_of(const char *text)
{
    const struct str main_cf = str_of(text);
    const struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct config *config = NULL;
    struct why why = {0};

    if (config_load(&request, &config, &why) != RC_OK)
        fail_msg("%s", why.text);
    return config;
}

/* A file that cannot be read as one, and templates that cannot be used: both leave what there was.
 */
static const char *const mistakes[][2] = {
    {"nonsense\n", "f, line 1: \"name = <<END\" should begin"},
    {"failure_template = x\n", "f, line 1:"},
    {"failure_template = <<\n", "f, line 1:"},
    {"other_template = <<E\nSubject: x\n\ny\nE\n",
     "f, line 1: unknown template \"other_template\""},
    {"_template = <<E\n\ny\nE\n", "f, line 1: unknown template \"_template\""},
    {"\n# c\nfailure_template = <<E\nSubject: x\nE\n", "f, line 5: the template has no text"},
    {"failure_template = <<E\nX-Other: y\n\ny\nE\n", "f, line 2: unknown header \"X-Other\""},
    {"failure_template = <<E\nSubject:\n\ny\nE\n", "f, line 2: header Subject has no value"},
    {"failure_template = <<E\nSubject: \xe4\n\ny\nE\n", "f, line 2: header Subject is not ASCII"},
    {"failure_template = <<E\nSubject: x\n\n\xe4\nE\n", "f, line 3: the text is not ASCII"},
};

static void test_mistakes(void **state)
{
    struct config *config = config_of("");

    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct templates t, before;
        struct why why = {0};
        AUTO_BUF warnings;
        const char *said;
        buf_init(&warnings, 10000);
        templates_builtin(config, &t);
        before = t;
        said = templates_parse(str_of(mistakes[i][0]), "f", &t, &warnings, &why) == RC_OK
                   ? buf_text(&warnings)
                   : why.text;
        if (strncmp(said, mistakes[i][1], strlen(mistakes[i][1])) != 0)
            fail_msg("row %zu: %s", i, said);
        assert_memory_equal(&t, &before, sizeof t);
    }
    config_free(config);
}

/* What is wrong with one is no reason to do without the others. */
static void test_good_among_bad(void **state)
{
    static const char text[] =
        "delay_template = <<E\nX: y\n\nbad\nE\nother_template = <<E\nbad\nE\n"
        "success_template = <<E\nSubject: fine\nno header\n\nmore\nE\n"
        "failure_template = <<E\nSubject: no end\n\nlast\n";
    struct config *config = config_of("");
    struct templates t;
    struct why why = {0};
    AUTO_BUF warnings;

    (void)state;
    buf_init(&warnings, 10000);
    templates_builtin(config, &t);
    assert_int_equal(templates_parse(str_of(text), "f", &t, &warnings, &why), RC_OK);
    assert_non_null(strstr(buf_text(&warnings), "header \"X\""));
    assert_non_null(strstr(buf_text(&warnings), "other_template"));
    assert_non_null(strstr(buf_text(&warnings), "missing \"E\""));
    assert_str(t.of[TEMPLATE_DELAY].subject, "Delayed Mail (still being retried)");
    assert_str(t.of[TEMPLATE_SUCCESS].subject, "fine");
    assert_str(t.of[TEMPLATE_SUCCESS].body, "no header\n\nmore\n");
    assert_str(t.of[TEMPLATE_FAILURE].subject, "no end");
    assert_str(t.of[TEMPLATE_FAILURE].body, "last\n");
    config_free(config);
}

static void test_replaced(void **state)
{
    static const char text[] =
        "# ours\n\nfailure_template = <<STOP\r\nsubject:  S 1 \n\none $myhostname\n\nEOF\n"
        "STOP\ndelay_template=<<E\nCharset: utf-8\nFrom: me <me>\n"
        "Postmaster-Subject: pm\n\n\xc3\xa4\nE\n";
    struct config *config = config_of("myhostname = h.test\n");
    AUTO_ARENA a = arena_new(1024);
    struct templates t;
    struct why why = {0};
    AUTO_BUF warnings;

    (void)state;
    buf_init(&warnings, 10000);
    templates_builtin(config, &t);
    assert_int_equal(templates_parse(str_of(text), "f", &t, &warnings, &why), RC_OK);
    assert_int_equal(warnings.n, 0);
    assert_str(t.of[TEMPLATE_FAILURE].subject, "S 1");
    assert_str(t.of[TEMPLATE_FAILURE].charset, "us-ascii");
    assert_str(t.of[TEMPLATE_FAILURE].from, "Mail Delivery System <MAILER-DAEMON>");
    assert_str(t.of[TEMPLATE_FAILURE].body, "one $myhostname\n\nEOF\n");
    assert_str(template_expand(config, &t.of[TEMPLATE_FAILURE], a), "one h.test\n\nEOF\n");
    assert_str(t.of[TEMPLATE_DELAY].from, "me <me>");
    assert_str(t.of[TEMPLATE_DELAY].postmaster_subject, "pm");
    assert_str(t.of[TEMPLATE_DELAY].subject, "Delayed Mail (still being retried)");
    assert_str(t.of[TEMPLATE_DELAY].body, "\xc3\xa4\n");
    assert_str(t.of[TEMPLATE_SUCCESS].subject, "Successful Mail Delivery Report");
    config_free(config);
}

static void test_expansion(void **state)
{
    static const struct {
        const char *body, *want;
    } rows[] = {
        {"$delay_warning_time_seconds", "5400"},
        {"$delay_warning_time_minutes", "90"},
        {"$delay_warning_time_hours", "2"},
        {"${maximal_queue_lifetime_days} of $maximal_queue_lifetime_weeks", "5 of 1"},
        {"$mail_name: $$5, $no_such_thing.", "Postern: $5, ."},
        {"$delay_warning_time_years", ""},
    };
    struct config *config = config_of("delay_warning_time = 90m\n");
    AUTO_ARENA a = arena_new(1024);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct template t = {.body = str_of(rows[i].body)};
        assert_str(template_expand(config, &t, a), rows[i].want);
    }
    config_free(config);
}

/* What is printed can be read again. */
static void test_printed(void **state)
{
    struct config *config = config_of("header_from_format = obsolete\n");
    struct templates t, again;
    struct why why = {0};
    AUTO_BUF text;
    AUTO_BUF warnings;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_init(&warnings, 10000);
    templates_builtin(config, &t);
    assert_str(t.of[TEMPLATE_VERIFY].from, "MAILER-DAEMON (Mail Delivery System)");
    templates_print(&text, &t);
    templates_builtin(config, &again);
    assert_int_equal(templates_parse(buf_str(&text), "f", &again, &warnings, &why), RC_OK);
    for (int k = 0; k < TEMPLATE_KINDS; k++) {
        assert_true(str_eq(t.of[k].body, again.of[k].body));
        assert_true(str_eq(t.of[k].subject, again.of[k].subject));
    }
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_good_among_bad),
        cmocka_unit_test(test_replaced), cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
