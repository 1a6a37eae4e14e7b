#include "config/config.h"
#include "rewrite/rewrite.h"
#include "unit/unit.h"

#define BASE                                                                                       \
    "myhostname = host.example\n"                                                                  \
    "mydomain = example\n"                                                                         \
    "mydestination = host.example, localhost, inline:{ local.example=x }\n"                        \
    "virtual_alias_domains = alias.example\n"                                                      \
    "virtual_mailbox_domains = box.example\n"                                                      \
    "relay_domains = relay.example\n"                                                              \
    "inet_interfaces = 127.0.0.1, [::1]\n"                                                         \
    "proxy_interfaces = 192.0.2.25\n"                                                              \
    "recipient_delimiter = +\n"                                                                    \
    "compatibility_level = 3.6\n"

static struct rewriter *make(const char *settings, struct config **config)
{
    static char text[8192];
    static const struct log log;
    struct str main_cf;
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct rewriter *r;
    struct why why;

    snprintf(text, sizeof text, "%s%s", BASE, settings);
    main_cf = str_of(text);
    if (config_load(&request, config, &why) != RC_OK)
        fail_msg("%s: %s", settings, why.text);
    if (rewriter_new(*config, &log, &r, &why) != RC_OK)
        fail_msg("%s: %s", settings, why.text);
    return r;
}

static const struct {
    const char *settings;
    enum rewrite_context context;
    const char *address, *want;
} forms[] = {
    {"", REWRITE_LOCAL, "", ""},
    {"", REWRITE_LOCAL, "@", ""},
    {"", REWRITE_LOCAL, "user", "user@host.example"},
    {"", REWRITE_LOCAL, "user name", "user name@host.example"},
    {"myorigin = $mydomain\n", REWRITE_LOCAL, "user", "user@example"},
    {"append_at_myorigin = no\n", REWRITE_LOCAL, "user", "user"},
    {"", REWRITE_LOCAL, "user@host", "user@host"},
    {"append_dot_mydomain = yes\n", REWRITE_LOCAL, "user@host", "user@host.example"},
    {"append_dot_mydomain = yes\n", REWRITE_LOCAL, "user@[127.0.0.1]", "user@[127.0.0.1]"},
    {"", REWRITE_LOCAL, "user@dom.example.", "user@dom.example"},
    {"", REWRITE_LOCAL, "user@dom.example..", "user@dom.example.."},
    {"", REWRITE_LOCAL, "user@.", "user@."},
    {"", REWRITE_LOCAL, "site!user", "user@site"},
    {"", REWRITE_LOCAL, "a!b!user", "b!user@a"},
    {"", REWRITE_LOCAL, "site!user@dom.example", "site!user@dom.example"},
    {"swap_bangpath = no\n", REWRITE_LOCAL, "site!user", "site!user@host.example"},
    {"", REWRITE_LOCAL, "user%dom.example", "user@dom.example"},
    {"", REWRITE_LOCAL, "user%a%b", "user%a@b"},
    {"", REWRITE_LOCAL, "user%a@dom.example", "user%a@dom.example"},
    {"allow_percent_hack = no\n", REWRITE_LOCAL, "user%a", "user%a@host.example"},
    {"", REWRITE_LOCAL, "@a,@b:user@dom.example", "user@dom.example"},
    {"", REWRITE_LOCAL, "@a:user", "user@host.example"},
    {"", REWRITE_REMOTE, "user", "user"},
    {"", REWRITE_REMOTE, "user@host", "user@host"},
    {"remote_header_rewrite_domain = domain.invalid\n", REWRITE_REMOTE, "user",
     "user@domain.invalid"},
    {"remote_header_rewrite_domain = domain.invalid\n", REWRITE_REMOTE, "user@host",
     "user@host.domain.invalid"},
};

static void test_forms(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        struct config *config;
        struct rewriter *r = make(forms[i].settings, &config);
        struct str out = STR_NONE;
        struct why why;
        assert_int_equal(
            rewrite_address(r, forms[i].context, str_of(forms[i].address), a, &out, &why), RC_OK);
        if (!str_eq(out, str_of(forms[i].want)))
            fail_msg("%s \"%s\": got \"" STR_FMT "\", want \"%s\"", forms[i].settings,
                     forms[i].address, STR_ARG(out), forms[i].want);
        rewriter_free(r);
        config_free(config);
    }
}

struct resolution {
    const char *settings, *sender, *recipient;
    unsigned flags;
    const char *transport, *nexthop, *result;
};

static const struct resolution plain[] = {
    /* classes */
    {"", "", "user@host.example", RESOLVE_LOCAL, "local", "host.example", "user@host.example"},
    {"", "", "user@HOST.example", RESOLVE_LOCAL, "local", "host.example", "user@HOST.example"},
    {"local_transport = local\n", "", "user@localhost", RESOLVE_LOCAL, "local", "localhost",
     "user@localhost"},
    {"", "", "user@local.example", RESOLVE_LOCAL, "local", "host.example", "user@local.example"},
    {"", "", "user", RESOLVE_LOCAL, "local", "host.example", "user@host.example"},
    {"", "", "", RESOLVE_LOCAL, "local", "host.example", "MAILER-DAEMON@host.example"},
    {"", "", "@localhost", RESOLVE_LOCAL, "local", "host.example", "MAILER-DAEMON@localhost"},
    {"", "", "user@localhost.", RESOLVE_LOCAL, "local", "host.example", "user@localhost"},
    {"", "", "user@alias.example", RESOLVE_VIRTUAL_ALIAS, "error",
     "5.1.1 User unknown in virtual alias table", "user@alias.example"},
    {"show_user_unknown_table_name = no\n", "", "user@alias.example", RESOLVE_VIRTUAL_ALIAS,
     "error", "5.1.1 User unknown", "user@alias.example"},
    {"", "", "user@box.example", RESOLVE_VIRTUAL_MAILBOX, "virtual", "box.example",
     "user@box.example"},
    {"", "", "user@relay.example", RESOLVE_RELAY, "relay", "relay.example", "user@relay.example"},
    {"", "", "user@sub.relay.example", RESOLVE_RELAY, "relay", "sub.relay.example",
     "user@sub.relay.example"},
    {"", "", "user@sub.box.example", RESOLVE_DEFAULT, "smtp", "sub.box.example",
     "user@sub.box.example"},
    {"", "", "user@else.example", RESOLVE_DEFAULT, "smtp", "else.example", "user@else.example"},
    /* address literals */
    {"", "", "user@[127.0.0.1]", RESOLVE_LOCAL, "local", "host.example", "user@[127.0.0.1]"},
    {"", "", "user@[192.0.2.25]", RESOLVE_LOCAL, "local", "host.example", "user@[192.0.2.25]"},
    {"", "", "user@[IPv6:::1]", RESOLVE_LOCAL, "local", "host.example", "user@[IPv6:::1]"},
    {"", "", "user@[192.0.2.1]", RESOLVE_DEFAULT, "smtp", "[192.0.2.1]", "user@[192.0.2.1]"},
    {"", "", "user@[192.0.2]", RESOLVE_DEFAULT | RESOLVE_BAD_ADDRESS, "", "", "user@[192.0.2]"},
    {"", "", "user@192.0.2.1", RESOLVE_DEFAULT | RESOLVE_BAD_ADDRESS, "", "", "user@192.0.2.1"},
    {"resolve_numeric_domain = yes\n", "", "user@192.0.2.1", RESOLVE_DEFAULT, "smtp", "[192.0.2.1]",
     "user@[192.0.2.1]"},
    /* bad addresses */
    {"", "", "user@", RESOLVE_DEFAULT | RESOLVE_BAD_ADDRESS, "", "", "user@"},
    {"resolve_null_domain = yes\n", "", "user@", RESOLVE_LOCAL, "local", "host.example",
     "user@host.example"},
    {"", "", "user@a..example", RESOLVE_DEFAULT | RESOLVE_BAD_ADDRESS, "", "", "user@a..example"},
    {"", "", "user@-a.example", RESOLVE_DEFAULT | RESOLVE_BAD_ADDRESS, "", "", "user@-a.example"},
    {"", "", "-user@localhost", RESOLVE_LOCAL | RESOLVE_BAD_ADDRESS, "local", "host.example",
     "-user@localhost"},
    {"allow_min_user = yes\n", "", "-user@localhost", RESOLVE_LOCAL, "local", "host.example",
     "-user@localhost"},
    /* routing operators */
    {"", "", "user%else.example@localhost", RESOLVE_DEFAULT, "smtp", "else.example",
     "user@else.example"},
    {"", "", "user@else.example@localhost", RESOLVE_DEFAULT, "smtp", "else.example",
     "user@else.example"},
    {"", "", "else.example!user@localhost", RESOLVE_DEFAULT, "smtp", "else.example",
     "user@else.example"},
    {"resolve_dequoted_address = no\n", "", "user@else.example@localhost",
     RESOLVE_LOCAL | RESOLVE_ROUTED, "local", "host.example", "user@else.example@localhost"},
    {"allow_percent_hack = no\n", "", "user%else.example@localhost", RESOLVE_LOCAL | RESOLVE_ROUTED,
     "local", "host.example", "user%else.example@localhost"},
    {"", "", "user%x@else.example", RESOLVE_DEFAULT | RESOLVE_ROUTED, "smtp", "else.example",
     "user%x@else.example"},
    {"", "", "x!user@relay.example", RESOLVE_RELAY | RESOLVE_ROUTED, "relay", "relay.example",
     "x!user@relay.example"},
    {"", "", "a b%else.example@localhost", RESOLVE_DEFAULT, "smtp", "else.example",
     "a b@else.example"},
    {"", "", "else.example!a b@localhost", RESOLVE_DEFAULT, "smtp", "else.example",
     "a b@else.example"},
    {"resolve_dequoted_address = no\n", "", "a b%else.example@localhost",
     RESOLVE_LOCAL | RESOLVE_ROUTED, "local", "host.example", "a b%else.example@localhost"},
    {"", "", "user%localhost@localhost", RESOLVE_LOCAL, "local", "host.example", "user@localhost"},
    /* relayhost and nexthops of main.cf */
    {"relayhost = [gate.example]:587\n", "", "user@else.example", RESOLVE_DEFAULT, "smtp",
     "[gate.example]:587", "user@else.example"},
    {"relayhost = [gate.example]\n", "", "user@relay.example", RESOLVE_RELAY, "relay",
     "[gate.example]", "user@relay.example"},
    {"relayhost = [gate.example]\n", "", "user@box.example", RESOLVE_VIRTUAL_MAILBOX, "virtual",
     "box.example", "user@box.example"},
    {"relayhost = [gate.example]\ndefault_transport = smtp:other.example\n", "",
     "user@else.example", RESOLVE_DEFAULT, "smtp", "other.example", "user@else.example"},
    {"virtual_transport = lmtp:unix:private/dovecot-lmtp\n", "", "user@box.example",
     RESOLVE_VIRTUAL_MAILBOX, "lmtp", "unix:private/dovecot-lmtp", "user@box.example"},
    /* by sender */
    {"sender_dependent_relayhost_maps = inline:{ s@x.example=one, @y.example=two, <>=null }\n",
     "s@x.example", "u@else.example", RESOLVE_DEFAULT, "smtp", "one", "u@else.example"},
    {"sender_dependent_relayhost_maps = inline:{ s@x.example=one, @y.example=two, <>=null }\n",
     "s+ext@x.example", "u@else.example", RESOLVE_DEFAULT, "smtp", "one", "u@else.example"},
    {"sender_dependent_relayhost_maps = inline:{ s@x.example=one, @y.example=two, <>=null }\n",
     "a@y.example", "u@else.example", RESOLVE_DEFAULT, "smtp", "two", "u@else.example"},
    {"sender_dependent_relayhost_maps = inline:{ s@x.example=one, @y.example=two, <>=null }\n", "",
     "u@relay.example", RESOLVE_RELAY, "relay", "null", "u@relay.example"},
    {"sender_dependent_relayhost_maps = inline:{ s@x.example=DUNNO }\nrelayhost = r\n",
     "s@x.example", "u@else.example", RESOLVE_DEFAULT, "smtp", "r", "u@else.example"},
    {"sender_dependent_default_transport_maps = inline:{ s@x.example=slow: }\n", "s@x.example",
     "u@else.example", RESOLVE_DEFAULT, "slow", "else.example", "u@else.example"},
    {"sender_dependent_default_transport_maps = inline:{ s@x.example=slow:hop }\nrelayhost = r\n",
     "s@x.example", "u@else.example", RESOLVE_DEFAULT, "slow", "hop", "u@else.example"},
    {"sender_dependent_default_transport_maps = inline:{ s@x.example=slow: }\n", "s@x.example",
     "u@relay.example", RESOLVE_RELAY, "relay", "relay.example", "u@relay.example"},
    /* transport_maps */
    {"transport_maps = inline:{ else.example=slow: }\nrelayhost = r\n", "", "u@else.example",
     RESOLVE_DEFAULT, "slow", "else.example", "u@else.example"},
    {"transport_maps = inline:{ else.example=:hop }\n", "", "u@else.example", RESOLVE_DEFAULT,
     "smtp", "hop", "u@else.example"},
    {"transport_maps = inline:{ else.example=: }\nrelayhost = r\n", "", "u@else.example",
     RESOLVE_DEFAULT, "smtp", "r", "u@else.example"},
    {"transport_maps = inline:{ .else.example=a:b }\n", "", "u@sub.else.example", RESOLVE_DEFAULT,
     "a", "b", "u@sub.else.example"},
    {"transport_maps = inline:{ else.example=a:b }\n", "", "u@sub.else.example", RESOLVE_DEFAULT,
     "smtp", "sub.else.example", "u@sub.else.example"},
    {"transport_maps = inline:{ else.example=a:b }\n"
     "parent_domain_matches_subdomains = transport_maps\n",
     "", "u@sub.else.example", RESOLVE_DEFAULT, "a", "b", "u@sub.else.example"},
    {"transport_maps = inline:{ u@else.example=a:b, else.example=c:d }\n", "", "u+x@else.example",
     RESOLVE_DEFAULT, "a", "b", "u+x@else.example"},
    {"transport_maps = inline:{ u+x@else.example=e:f, u@else.example=a:b }\n", "",
     "u+x@else.example", RESOLVE_DEFAULT, "e", "f", "u+x@else.example"},
    {"transport_maps = inline:{ *=star: }\n", "", "u@host.example", RESOLVE_LOCAL, "star",
     "host.example", "u@host.example"},
    {"transport_maps = inline:{ *=star: }\n", "", "u@alias.example", RESOLVE_VIRTUAL_ALIAS, "error",
     "5.1.1 User unknown in virtual alias table", "u@alias.example"},
    {"transport_maps = inline:{ { else.example=error:5.1.1 go away } }\n", "", "u@else.example",
     RESOLVE_DEFAULT, "error", "5.1.1 go away", "u@else.example"},
    {"transport_maps = inline:{ else.example=error: }\n", "", "u@else.example", RESOLVE_DEFAULT,
     "error", "Address is undeliverable", "u@else.example"},
    {"transport_maps = inline:{ else.example=slow }\n", "", "u@else.example", RESOLVE_DEFAULT,
     "slow", "else.example", "u@else.example"},
    {"transport_maps = regexp:{ {/@else/ a:b} }\n", "", "u@else.example", RESOLVE_DEFAULT, "a", "b",
     "u@else.example"},
    /* relocated */
    {"relocated_maps = inline:{ u@else.example=new@place.example }\n", "", "u@else.example",
     RESOLVE_DEFAULT, "error", "5.1.6 User has moved to new@place.example", "u@else.example"},
    {"relocated_maps = inline:{ u=new@place.example }\n", "", "u@host.example", RESOLVE_LOCAL,
     "error", "5.1.6 User has moved to new@place.example", "u@host.example"},
    {"relocated_maps = inline:{ { @host.example=5.1.0 gone } }\nrelocated_prefix_enable = no\n", "",
     "u@host.example", RESOLVE_LOCAL, "error", "5.1.0 gone", "u@host.example"},
};

static const struct resolution verify[] = {
    {"address_verify_default_transport = direct\n", "", "u@else.example", RESOLVE_DEFAULT, "direct",
     "else.example", "u@else.example"},
    {"relayhost = r\naddress_verify_relayhost =\n", "", "u@else.example", RESOLVE_DEFAULT, "smtp",
     "else.example", "u@else.example"},
    {"transport_maps = inline:{ else.example=a:b }\naddress_verify_transport_maps =\n", "",
     "u@else.example", RESOLVE_DEFAULT, "smtp", "else.example", "u@else.example"},
    {"transport_maps = inline:{ else.example=a:b }\n", "", "u@else.example", RESOLVE_DEFAULT, "a",
     "b", "u@else.example"},
};

static void check(const struct resolution *v, bool for_verify)
{
    AUTO_ARENA a = arena_new(4096);
    struct config *config;
    struct rewriter *r = make(v->settings, &config);

    for (int i = 0; i < 2; i++) { /* the second answer comes from the cache */
        struct resolved out = {0};
        struct why why;
        assert_int_equal(
            resolve_address(r, str_of(v->sender), str_of(v->recipient), for_verify, a, &out, &why),
            RC_OK);
        if (out.flags != v->flags || !str_eq(out.transport, str_of(v->transport)) ||
            !str_eq(out.nexthop, str_of(v->nexthop)) || !str_eq(out.recipient, str_of(v->result)))
            fail_msg("%s <%s>: got %u \"" STR_FMT "\" \"" STR_FMT "\" \"" STR_FMT
                     "\", want %u \"%s\" \"%s\" \"%s\"",
                     v->settings, v->recipient, out.flags, STR_ARG(out.transport),
                     STR_ARG(out.nexthop), STR_ARG(out.recipient), v->flags, v->transport,
                     v->nexthop, v->result);
    }
    rewriter_free(r);
    config_free(config);
}

static void test_resolve(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(plain); i++)
        check(&plain[i], false);
    for (size_t i = 0; i < COUNT(verify); i++)
        check(&verify[i], true);
}

/* Trouble with a table is never "not found". */
static void test_trouble(void **state)
{
    static const char *const settings[] = {
        "mydestination = fail:x\n",
        "virtual_alias_domains = fail:x\n",
        "virtual_mailbox_domains = fail:x\n",
        "relay_domains = fail:x\n",
        "transport_maps = fail:x\n",
        "relocated_maps = fail:x\n",
        "sender_dependent_relayhost_maps = fail:x\n",
        "sender_dependent_default_transport_maps = fail:x\n",
        "default_transport = :nexthop\n",
    };
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct config *config;
        struct rewriter *r = make(settings[i], &config);
        struct resolved out;
        struct why why;
        if (resolve_address(r, STR(""), STR("u@else.example"), false, a, &out, &why) != RC_TEMP ||
            out.flags != RESOLVE_FAILED)
            fail_msg("%s: no trouble", settings[i]);
        rewriter_free(r);
        config_free(config);
    }
}

static void test_local_domain(void **state)
{
    static const struct {
        const char *domain;
        enum rc rc;
    } domains[] = {{"host.example", RC_OK},
                   {"HOST.EXAMPLE.", RC_OK},
                   {"local.example", RC_OK},
                   {"example", RC_NONE},
                   {"[127.0.0.1]", RC_OK},
                   {"[10.0.0.1]", RC_NONE},
                   {"", RC_NONE}};
    struct config *config;
    struct rewriter *r = make("", &config);

    (void)state;
    for (size_t i = 0; i < COUNT(domains); i++)
        if (resolve_is_local_domain(r, str_of(domains[i].domain), NULL) != domains[i].rc)
            fail_msg("%s", domains[i].domain);
    rewriter_free(r);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_local_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
