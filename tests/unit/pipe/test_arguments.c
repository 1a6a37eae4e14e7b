/* Attributes and $macros of pipe's master.cf line. */
#include "config/config.h"
#include "pipe/pipe.h"
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

static struct recipient two[] = {
    {.address = STR_INIT("User+Ext@Host.Test"), .original = STR_INIT("list@host.test")},
    {.address = STR_INIT("b c@x.test")},
};

static void expand(struct config *config, const char *flags, const char *word, size_t n,
                   const char *want)
{
    AUTO_ARENA a = arena_new(4096);
    struct service_env env = {.config = config, .name = "probe", .rootless = true};
    struct str template = str_of(word);
    struct pipe_state s = {
        .flags = str_of(flags), .null_sender = STR("nobody"), .argv = &template, .n_argv = 1};
    struct delivery d = {.arena = a, .env = &env};
    struct str text = STR("");
    struct why why = {0};
    char **argv = NULL;

    d.request = (struct deliver_request){.queue_id = STR("ABC"),
                                         .nexthop = STR("next.test"),
                                         .size = 1234,
                                         .recipients = two,
                                         .n_recipients = n};
    d.request.origin.client_address = STR("192.0.2.1");
    if (pipe_arguments(&s, &d, &argv, &text, &why) != RC_OK) {
        assert_null(want);
        assert_non_null(strstr(why.text, "unknown macro"));
        return;
    }
    assert_non_null(want);
    assert_str(text, want);
    assert_string_equal(argv[0], n == 1 ? want : argv[0]);
}

static const struct {
    const char *flags, *word;
    size_t n;
    const char *want;
} rows[] = {
    {"", "plain", 1, "plain"},
    {"", "$recipient", 1, "User+Ext@Host.Test"},
    {"", "<${recipient}>", 2, "<User+Ext@Host.Test> <b c@x.test>"},
    {"h", "$recipient $domain", 1, "User+Ext@host.test host.test"},
    {"u", "$recipient $mailbox", 1, "user+ext@Host.Test user+ext"},
    {"hu", "$user/$extension", 1, "user/ext"},
    {"q", "$recipient", 2, "User+Ext@Host.Test \"b c\"@x.test"},
    {"", "$original_recipient", 1, "list@host.test"},
    {"", "$sender-$nexthop-$size-$queue_id", 2, "nobody-next.test-1234-ABC"},
    {"", "$client_address,$client_helo,", 1, "192.0.2.1,,"},
    {"", "${extension?+}x", 1, "+x"},
    {"", "$$recipient", 1, "$recipient"},
    {"", "$no_such_macro", 1, NULL},
};

static void test_macros(void **state)
{
    struct config *config = config_of("recipient_delimiter = +\n");

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expand(config, rows[i].flags, rows[i].word, rows[i].n, rows[i].want);
    config_free(config);
}

static enum rc attributes(struct config *config, const char *text, struct pipe_state *s,
                          struct arena *a, struct why *why)
{
    struct service_env env = {.config = config, .name = "probe", .rootless = true};
    char **words = process_words(a, str_of(text));

    for (env.argv = words; words[env.argc]; env.argc++)
        continue;
    *s = (struct pipe_state){0};
    return pipe_attributes(&env, s, a, why);
}

static void test_attributes(void **state)
{
    struct config *config = config_of("command_time_limit = 7\n");
    AUTO_ARENA a = arena_new(4096);
    struct pipe_state s;
    struct why why = {0};

    (void)state;
    assert_int_equal(attributes(config,
                                "flags=DR. user=nobody eol=\\r\\n\\101\\t null_sender= size=5 "
                                "directory=/d chroot=/c argv=/bin/x argv=y",
                                &s, a, &why),
                     RC_OK);
    assert_str(s.eol, "\r\nA\t");
    assert_str(s.null_sender, "");
    assert_int_equal(s.size_limit, 5);
    assert_string_equal(s.directory, "/d");
    assert_string_equal(s.chroot, "/c");
    assert_int_equal(s.n_argv, 2);
    assert_str(s.argv[1], "argv=y");
    assert_int_equal(s.copy_flags, COPY_DELIVERED_TO | COPY_RETURN_PATH | COPY_DOT_STUFF);
    assert_int_equal(s.time_limit, 7);
    config_free(config);
}

static const char *const bad[] = {
    "",
    "argv=/bin/x",
    "user=nobody",
    "user=nobody argv=",
    "user=root argv=/bin/x",
    "user=nobody:no-such-group argv=/bin/x",
    "user=no-such-user argv=/bin/x",
    "flags=DZ user=nobody argv=/bin/x",
    "size=many user=nobody argv=/bin/x",
    "eol= user=nobody argv=/bin/x",
    "novalue user=nobody argv=/bin/x",
};

static void test_mistakes(void **state)
{
    struct config *config = config_of("");
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct pipe_state s;
        struct why why = {0};
        if (attributes(config, bad[i], &s, a, &why) != RC_CONFIG)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_true(strncmp(why.text, "service probe: ", 15) == 0);
    }
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_macros),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
