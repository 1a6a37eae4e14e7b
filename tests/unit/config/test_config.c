#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "config/evaluate.h"
#include "unit/unit.h"

/* Load main.cf given as text, and overrides. */
static enum rc load(const char *text, const struct config_setting *overrides, size_t n,
                    struct config **c, struct why *why)
{
    struct str main_cf = str_of(text);
    struct config_request request = {.dir = "/x",
                                     .service_name = "submission",
                                     .process_name = "smtpd",
                                     .main_cf = &main_cf,
                                     .overrides = overrides,
                                     .overrides_n = n};

    return config_load(&request, c, why);
}

static struct config *loaded(const char *text)
{
    struct config *c = NULL;
    struct why why = {0};

    if (load(text, NULL, 0, &c, &why) != RC_OK)
        fail_msg("%s", why.text);
    return c;
}

static void test_defaults(void **state)
{
    struct config *c = loaded("");

    (void)state;
    assert_int_equal(c->smtpd_timeout, 300);
    assert_int_equal(c->bounce_queue_lifetime, 5 * 86400);
    assert_int_equal(c->smtpd_recipient_limit, 1000);
    assert_true(c->append_dot_mydomain); /* compatibility level 0 */
    assert_false(c->smtputf8_enable);
    assert_str(c->relay_domains, c->mydestination.p);
    assert_str(c->mail_name, "Postern");
    assert_str(c->syslog_name, "postfix");
    assert_str(c->process_name, "smtpd");
    assert_str(c->service_name, "submission");
    assert_str(c->config_directory, "/x");
    assert_str(c->bounce2_notice_recipient, "postmaster");
    assert_int_equal(c->process_id, getpid());
    assert_int_equal(c->service_process_sessions, 50);
    assert_str(c->submit_socket_directory, "/var/spool/postfix/submit");
    assert_true(str_index(c->myhostname, '.') > 0);
    assert_true(str_has_suffix(c->myhostname, c->mydomain));
    assert_str(c->default_rbl_reply,
               "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using "
               "$rbl_domain${rbl_reason?; $rbl_reason}");
    config_free(c);
}

static void test_level_changes_defaults(void **state)
{
    struct config *c = loaded("compatibility_level = 3.11\n");

    (void)state;
    assert_false(c->append_dot_mydomain);
    assert_true(c->smtputf8_enable);
    assert_str(c->relay_domains, "");
    assert_str(c->smtp_tls_security_level, "may");
    assert_str(c->mynetworks_style, "host");
    assert_true(config_level_below(c, "3.12"));
    assert_false(config_level_below(c, "3.11"));
    config_free(c);
}

static void test_main_cf_syntax(void **state)
{
    struct config *c = loaded("# comment\n"
                              "myhostname = one.example\n"
                              "mydestination = a,\n"
                              "\n"
                              "# between\n"
                              "\t b\n"
                              "  c   \n"
                              "myhostname=two.example \n"
                              "user_one = $user_two.x\r\n"
                              "user_two = 2 # no comment\n"
                              "empty =\n"
                              "forward_path = $home/f\n"
                              "smtp_timeout_user = $smtp_helo_timeout\n");
    struct str value;

    (void)state;
    assert_str(c->myhostname, "two.example");
    assert_str(c->mydomain, "example");
    assert_str(c->mydestination, "a,\t b  c");
    assert_str(c->forward_path, "$home/f");
    assert_int_equal(config_get(c, STR("user_one"), &value), RC_OK);
    assert_str(value, "2 # no comment.x");
    assert_int_equal(config_get(c, STR("empty"), &value), RC_OK);
    assert_str(value, "");
    assert_int_equal(config_get(c, STR("smtp_timeout_user"), &value), RC_OK);
    assert_str(value, "300s");
    assert_int_equal(config_get(c, STR("nothing"), &value), RC_NONE);
    assert_int_equal(config_get(c, STR("2bounce_notice_recipient"), &value), RC_OK);
    assert_true(config_is_set(c, STR("mydestination")));
    assert_true(config_is_set(c, STR("user_two")));
    assert_false(config_is_set(c, STR("relayhost")));
    config_free(c);
}

static const struct {
    const char *text, *words;
} mistakes[] = {
    {"a\n", "/x/main.cf, line 1: missing '=' after attribute name: \"a\""},
    {"\n= b\n", "/x/main.cf, line 2: missing attribute name"},
    {"a b = c\n", "/x/main.cf, line 1: blank in attribute name"},
    {"#\nsmtpd_timeout = 10x\n", "/x/main.cf, line 2: smtpd_timeout = 10x: not a time; write"},
    {"max_use = 0\n", "line 1: max_use = 0: too small; the smallest value is 1"},
    {"max_use = 99999999999\n", "too large"},
    {"biff = maybe\n", "biff = maybe: neither yes nor no"},
    {"mynetworks_style = net\n", "unknown word \"net\"; there are: host, class, subnet"},
    {"smtp_tls_security_level = x\n", "there are: nothing, none, may"},
    {"inet_protocols = ipv4 ipv5\n", "unknown word \"ipv5\""},
    {"mail_owner =\n", "mail_owner = : must not be empty"},
    {"lmtp_sasl_password_result_delimiter = ab\n", "too long; at most 1 bytes"},
    {"mydestination = ${x\n", "line 1: mydestination = ${x: no closing bracket"},
    {"x = $\nmydestination = $x\n", "line 1: x = $: no name after $"},
    {"mydestination = $myorigin\nmyorigin = $mydestination\n", "refers to itself"},
    {"a = $b\nb = $a\nmyorigin = $a\n", "refers to itself"},
    {"compatibility_level = new\n", "line 1: compatibility_level = new: malformed"},
    {"smtp_tls_session_cache_timeout = 200d\n", "too large; the largest value is 8640000s"},
    {"queue_run_delay = 99999999w\n", "not a time"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct config *c = NULL;
        struct why why = {0};
        enum rc rc = load(mistakes[i].text, NULL, 0, &c, &why);
        if (rc != RC_CONFIG || strstr(why.text, mistakes[i].words) == NULL)
            fail_msg("%s got %d \"%s\", want \"%s\"", mistakes[i].text, rc, why.text,
                     mistakes[i].words);
    }
}

static void test_bad_user_parameter_hurts_only_who_asks(void **state)
{
    struct config *c = loaded("x = $\ny = $x\n");
    struct str value;

    (void)state;
    assert_int_equal(config_get(c, STR("x"), &value), RC_CONFIG);
    assert_int_equal(config_get(c, STR("y"), &value), RC_CONFIG);
    config_free(c);
}

static void test_overrides(void **state)
{
    const struct config_setting overrides[] = {
        {.name = STR("stress"), .value = STR("yes")},
        {.name = STR("header_size_limit"), .value = STR("1")},
        {.name = STR("header_size_limit"), .value = STR("$other")},
        {.name = STR("other"), .value = STR("9")},
    };
    const struct config_setting wrong[] = {
        {.name = STR("biff"), .value = STR("?"), .origin = STR("/x/master.cf, line 4")}};
    struct config *c = NULL;
    struct why why = {0};

    (void)state;
    assert_int_equal(load("other = 8\n", overrides, COUNT(overrides), &c, &why), RC_OK);
    assert_int_equal(c->smtpd_timeout, 10);
    assert_int_equal(c->header_size_limit, 9);
    config_free(c);
    assert_int_equal(load("", wrong, 1, &c, &why), RC_CONFIG);
    assert_string_equal(why.text, "/x/master.cf, line 4: biff = ?: neither yes nor no");
}

static void test_overlay(void **state)
{
    const struct config_setting settings[] = {
        {.name = STR("myhostname"), .value = STR("b.example")},
        {.name = STR("user"), .value = STR("two")},
    };
    const struct config_setting wrong[] = {{.name = STR("max_use"), .value = STR("x")}};
    struct config *base = loaded("myhostname = a.example\nuser = one\nalways_bcc = $user\n"
                                 "mynetworks = 192.0.2.1\nmax_use = 3\n");
    struct config *over = NULL;
    struct why why = {0};
    struct str value;

    (void)state;
    assert_int_equal(config_overlay(base, settings, COUNT(settings), &over, &why), RC_OK);
    assert_str(base->smtpd_banner, "a.example ESMTP Postern");
    assert_str(over->smtpd_banner, "b.example ESMTP Postern");
    assert_str(over->mydestination, "b.example, localhost.example, localhost");
    assert_str(base->always_bcc, "one");
    assert_str(over->always_bcc, "two");
    assert_str(over->mynetworks, "192.0.2.1");
    assert_int_equal(over->max_use, 3);
    assert_int_equal(config_get(over, STR("user"), &value), RC_OK);
    assert_str(value, "two");
    assert_true(config_is_set(over, STR("max_use")));
    config_free(over);
    assert_int_equal(config_overlay(base, wrong, 1, &over, &why), RC_CONFIG);
    assert_string_equal(why.text, "option -o: max_use = x: not a number; write digits only");
    config_free(base);
}

static void test_transport_parameters(void **state)
{
    struct config *c = loaded("default_destination_concurrency_limit = 30\n"
                              "smtp_destination_concurrency_limit = $max_use\n"
                              "slow-one_destination_rate_delay = 2m\n"
                              "bad_destination_recipient_limit = many\n");
    struct str value;
    struct why why = {0};
    long n = 0;

    (void)state;
#define LONG_OF(transport, suffix)                                                                 \
    (assert_int_equal(config_transport_long(c, STR(transport), suffix, &n, &why), RC_OK), n)
    assert_int_equal(LONG_OF("smtp", "destination_concurrency_limit"), 100);
    assert_int_equal(LONG_OF("relay", "destination_concurrency_limit"), 30);
    assert_int_equal(LONG_OF("local", "destination_concurrency_limit"), 2);
    assert_int_equal(LONG_OF("local", "destination_recipient_limit"), 1);
    assert_int_equal(LONG_OF("smtp", "destination_recipient_limit"), 50);
    assert_int_equal(LONG_OF("smtp", "initial_destination_concurrency"), 5);
    assert_int_equal(LONG_OF("smtpd", "process_sessions"), 50);
    assert_int_equal(config_transport_time(c, STR("slow-one"), "destination_rate_delay", &n, &why),
                     RC_OK);
    assert_int_equal(n, 120);
    assert_int_equal(config_transport_time(c, STR("maildrop"), "time_limit", &n, &why), RC_OK);
    assert_int_equal(n, 1000);
    assert_int_equal(config_transport_long(c, STR("bad"), "destination_recipient_limit", &n, &why),
                     RC_CONFIG);
    assert_string_equal(why.text, "/x/main.cf, line 4: bad_destination_recipient_limit = many: "
                                  "not a number; write digits only");
    assert_str(config_transport_get(c, STR("x"), "destination_concurrency_positive_feedback"), "1");
    assert_int_equal(config_get(c, STR("relay_destination_concurrency_limit"), &value), RC_OK);
    assert_str(value, "30");
    config_free(c);
}

static void test_expand(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct config *c = loaded("foo = 1\nmyhostname = a.example\nluser_relay = <$myhostname>\n");
    struct str out;
    struct why why = {0};

    (void)state;
    assert_int_equal(
        config_expand(c, a, STR("$myhostname/$foo/${nope:x}/$luser_relay"), &out, &why), RC_OK);
    assert_str(out, "a.example/1/x/<a.example>");
    assert_int_equal(config_expand(c, a, STR("$("), &out, &why), RC_PERM);
    config_free(c);
}

static const struct {
    const char *text;
    char unit;
    long seconds; /* -1: wrong */
} times[] = {
    {"30", 's', 30},    {"30", 'h', 108000}, {"2m", 's', 120},
    {"1h", 'd', 3600},  {"3d", 's', 259200}, {"1w", 's', 604800},
    {"0", 'd', 0},      {" 5s ", 's', 5},    {"5S", 's', 5},
    {"5x", 's', -1},    {"", 's', -1},       {"s", 's', -1},
    {"-1s", 's', -1},   {"5 s", 's', -1},    {"99999999999", 's', -1},
    {"3551w", 's', -1},
};

static void test_parsers(void **state)
{
    bool yes = false;
    long n = 7;
    struct config_setting setting;
    struct why why;

    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        n = -1;
        config_parse_time(str_of(times[i].text), times[i].unit, &n);
        if (n != times[i].seconds)
            fail_msg("\"%s\": got %ld, want %ld", times[i].text, n, times[i].seconds);
    }
    assert_true(config_parse_bool(STR("Yes"), &yes) && yes);
    assert_true(config_parse_bool(STR("no"), &yes) && !yes);
    assert_false(config_parse_bool(STR("true"), &yes));
    assert_true(config_parse_long(STR(" -3 "), &n) && n == -3);
    assert_int_equal(config_parse_setting(STR(" a = b c "), &setting, &why), RC_OK);
    assert_str(setting.name, "a");
    assert_str(setting.value, "b c");
}

/* ENUM words may have capitals in main.cf; the struct has them in lower case. */
static void test_words_in_lower_case(void **state)
{
    struct config *c = loaded("mynetworks_style = HOST\nnotify_classes = Bounce, 2BOUNCE\n");

    (void)state;
    assert_str(c->mynetworks_style, "host");
    assert_str(c->notify_classes, "bounce, 2bounce");
    config_free(c);
}

static void test_networks(void **state)
{
    AUTO_ARENA a = arena_new(1024);

    (void)state;
    assert_str(computed_networks(a, STR("host"), STR("loopback-only"), STR("ipv4")),
               "127.0.0.1/32");
    assert_str(computed_networks(a, STR("subnet"), STR("127.0.0.1"), STR("all")), "127.0.0.0/8");
    assert_str(computed_networks(a, STR("class"), STR("localhost"), STR("ipv4")), "127.0.0.0/8");
}

static void test_myorigin_in_a_file(void **state)
{
    char path[] = "/tmp/test_config.XXXXXX", text[64];
    int fd = mkstemp(path);
    struct config *c = NULL;
    struct why why = {0};

    (void)state;
    assert_true(write(fd, "mail.example \nother\n", 20) == 20);
    close(fd);
    snprintf(text, sizeof text, "myorigin = %s\n", path);
    c = loaded(text);
    assert_str(c->myorigin, "mail.example");
    config_free(c);
    unlink(path);
    assert_int_equal(load(text, NULL, 0, &c, &why), RC_CONFIG);
    assert_non_null(strstr(why.text, "No such file"));
}

static void test_snapshot(void **state)
{
    int fd = memfd_create("main.cf", 0);
    struct config_request request = {0};
    struct config *c = NULL;
    struct why why = {0};
    char text[32];

    (void)state;
    assert_true(write(fd, "header_size_limit = 3\n", 22) == 22); /* offset at the end */
    snprintf(text, sizeof text, "%d:%d", fd, fd);
    setenv(CONFIG_FD_ENVIRONMENT, text, 1);
    assert_int_equal(config_load(&request, &c, &why), RC_OK);
    assert_int_equal(c->header_size_limit, 3);
    config_free(c);
    setenv(CONFIG_FD_ENVIRONMENT, "x", 1);
    assert_int_equal(config_load(&request, &c, &why), RC_CONFIG);
    unsetenv(CONFIG_FD_ENVIRONMENT);
    close(fd);
}

static void test_files(void **state)
{
    struct config_request request = {.dir = "/nonexistent"};
    struct config *c = NULL;
    struct why why = {0};

    (void)state;
    assert_int_equal(config_load(&request, &c, &why), RC_CONFIG);
    assert_string_equal(why.text, "open /nonexistent/main.cf: No such file or directory");
    unsetenv("MAIL_CONFIG");
    assert_string_equal(config_default_dir(), "/etc/postfix");
    setenv("MAIL_CONFIG", "/y", 1);
    assert_string_equal(config_default_dir(), "/y");
    unsetenv("MAIL_CONFIG");
}

static void test_rows_are_sorted_and_sane(void **state)
{
    (void)state;
    for (int i = 0; i < PARAM_COUNT; i++) {
        if (i && str_cmp(params[i - 1].name, params[i].name) >= 0)
            fail_msg("%s is in the wrong place of params.def", params[i].name.p);
        assert_int_equal(param_find(params[i].name), i);
        assert_true(params[i].min <= params[i].max);
    }
    assert_int_equal(param_find(STR("a")), -1);
    assert_int_equal(param_find(STR("zzz")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_level_changes_defaults),
        cmocka_unit_test(test_main_cf_syntax),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_bad_user_parameter_hurts_only_who_asks),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_transport_parameters),
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_parsers),
        cmocka_unit_test(test_words_in_lower_case),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_myorigin_in_a_file),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_rows_are_sorted_and_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
