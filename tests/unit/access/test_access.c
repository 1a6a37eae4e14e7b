#include "access/access.h"
#include "config/config.h"
#include "unit/unit.h"

#define BASE                                                                                       \
    "myhostname = mx.example\n"                                                                    \
    "mydomain = example\n"                                                                         \
    "mydestination = mx.example, local.example\n"                                                  \
    "mynetworks = 192.0.2.0/24\n"                                                                  \
    "inet_interfaces = 127.0.0.1\n"                                                                \
    "relay_domains = relay.example\n"                                                              \
    "virtual_alias_domains = alias.example\n"                                                      \
    "virtual_alias_maps = inline:{ info@alias.example=bob }\n"                                     \
    "local_recipient_maps = inline:{ bob=x, amy=x }\n"                                             \
    "recipient_delimiter = +\n"                                                                    \
    "compatibility_level = 3.11\n"                                                                 \
    "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n"

struct world {
    struct config *config;
    struct rewriter *rewriter;
    struct resolver *resolver;
    struct access *access;
    struct access_context c;
};

static enum rc try_open(struct world *w, const char *settings, struct why *why)
{
    static char text[8192];
    static const struct log log;
    struct str main_cf;
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct access_options options;

    *w = (struct world){0};
    snprintf(text, sizeof text, "%s%s\n", BASE, settings);
    main_cf = str_of(text);
    TRY(config_load(&request, &w->config, why));
    TRY(rewriter_new(w->config, &log, &w->rewriter, why));
    w->resolver = resolver_new(100);
    options = (struct access_options){w->config, &log, w->rewriter, w->resolver, NULL};
    return access_open(&options, &w->access, why);
}

static void open_world(struct world *w, const char *settings)
{
    static const struct log log;
    struct why why;

    if (try_open(w, settings, &why) != RC_OK)
        fail_msg("%s: %s", settings, why.text);
    w->c = (struct access_context){
        .access = w->access,
        .arena = arena_new(1024),
        .log = &log,
        .stage = "RCPT",
        .protocol = STR("ESMTP"),
        .esmtp = true,
        .dry_run = true,
    };
}

static void close_world(struct world *w)
{
    if (w->access)
        access_close(w->access);
    if (w->rewriter)
        rewriter_free(w->rewriter);
    if (w->resolver)
        resolver_free(w->resolver);
    config_free(w->config);
    arena_free(w->c.arena);
}

static void set_client(struct world *w, const char *name, const char *address)
{
    struct access_client *c = &w->c.client;
    struct why why;

    assert_int_equal(addr_parse(str_of(address), 0, &c->address, &why), RC_OK);
    c->name = c->reverse_name = str_of(name);
    c->name_status = c->reverse_status = strcmp(name, "unknown") ? PEER_OK : PEER_PERM;
    c->address_text = str_of(address);
    c->label = arena_printf(w->c.arena, "%s[%s]", name, address);
}

#define OUTSIDE "out.side.test", "198.51.100.7"
#define INSIDE  "in.example", "192.0.2.9"

static const struct {
    const char *settings;
    const char *name, *address, *helo, *sender, *recipient;
    const char *reply; /* NULL: accepted */
} vectors[] = {
    /* relay control and recipient validation */
    {"", OUTSIDE, "h.test", "s@a.test", "bob@local.example", NULL},
    {"", OUTSIDE, "h.test", "s@a.test", "bob+ext@local.example", NULL},
    {"", OUTSIDE, "h.test", "s@a.test", "bob", NULL},
    {"", OUTSIDE, "h.test", "s@a.test", "x@other.test",
     "554 5.7.1 <x@other.test>: Relay access denied"},
    {"smtpd_relay_restrictions = defer_unauth_destination\n", OUTSIDE, "h.test", "s@a.test",
     "x@other.test", "454 4.7.1 <x@other.test>: Relay access denied"},
    {"", INSIDE, "h.test", "s@a.test", "x@other.test", NULL},
    {"", OUTSIDE, "h.test", "s@a.test", "x%other.test@local.example",
     "554 5.7.1 <x%other.test@local.example>: Relay access denied"},
    {"", OUTSIDE, "h.test", "s@a.test", "x@relay.example", NULL},
    {"relay_recipient_maps = inline:{ y@relay.example=1 }\n", OUTSIDE, "h.test", "s@a.test",
     "x@relay.example",
     "550 5.1.1 <x@relay.example>: Recipient address rejected: User unknown in relay recipient table"},
    {"", OUTSIDE, "h.test", "s@a.test", "no@local.example",
     "550 5.1.1 <no@local.example>: Recipient address rejected: User unknown in local recipient table"},
    {"show_user_unknown_table_name = no\n", OUTSIDE, "h.test", "s@a.test", "no@local.example",
     "550 5.1.1 <no@local.example>: Recipient address rejected: User unknown"},
    {"smtpd_reject_unlisted_recipient = no\n", OUTSIDE, "h.test", "s@a.test", "no@local.example",
     NULL},
    {"receive_override_options = no_unknown_recipient_checks\n", OUTSIDE, "h.test", "s@a.test",
     "no@local.example", NULL},
    {"", OUTSIDE, "h.test", "s@a.test", "info@alias.example", NULL},
    {"", OUTSIDE, "h.test", "s@a.test", "no@alias.example",
     "550 5.1.1 <no@alias.example>: Recipient address rejected: User unknown in virtual alias table"},
    {"", OUTSIDE, "h.test", "s@a.test", "postmaster", NULL},
    {"smtpd_reject_unlisted_sender = yes\n", OUTSIDE, "h.test", "no@local.example",
     "bob@local.example",
     "550 5.1.0 <no@local.example>: Sender address rejected: User unknown in local recipient table"},
    {"soft_bounce = yes\n", OUTSIDE, "h.test", "s@a.test", "x@other.test",
     "454 4.7.1 <x@other.test>: Relay access denied"},
    {"transport_maps = inline:{ { other.test = error:5.1.2 no way out } }\n", INSIDE, "h.test",
     "s@a.test", "u@other.test",
     "550 5.1.2 <u@other.test>: Recipient address rejected: no way out"},
    {"transport_maps = inline:{ { r.test = retry:4.3.0 later } }\n", INSIDE, "h.test", "s@a.test",
     "u@r.test", "450 4.3.0 <u@r.test>: Recipient address rejected: later"},
    {"transport_maps = fail:x\n", INSIDE, "h.test", "s@a.test", "u@r.test",
     "451 4.3.0 <u@r.test>: Temporary lookup failure"},
    /* plain verdicts and their subjects */
    {"smtpd_client_restrictions = reject\n", OUTSIDE, "h.test", "s@a.test", "bob",
     "554 5.7.1 <out.side.test[198.51.100.7]>: Client host rejected: Access denied"},
    {"smtpd_helo_restrictions = defer\n", OUTSIDE, "h.test", "s@a.test", "bob",
     "450 4.3.2 <h.test>: Helo command rejected: Try again later"},
    {"smtpd_sender_restrictions = reject\n", OUTSIDE, "h.test", "s@a.test", "bob",
     "554 5.7.1 <s@a.test>: Sender address rejected: Access denied"},
    {"smtpd_recipient_restrictions = reject\n", OUTSIDE, "h.test", "s@a.test", "bob",
     "554 5.7.1 <bob>: Recipient address rejected: Access denied"},
    {"smtpd_client_restrictions = warn_if_reject reject\n", OUTSIDE, "h.test", "s@a.test", "bob",
     NULL},
    {"smtpd_client_restrictions = permit\nsmtpd_helo_restrictions = reject\n", OUTSIDE, "h.test",
     "s@a.test", "bob", "554 5.7.1 <h.test>: Helo command rejected: Access denied"},
    {"smtpd_client_restrictions = defer_if_permit\n", OUTSIDE, "h.test", "s@a.test", "bob",
     "450 4.7.0 <out.side.test[198.51.100.7]>: Client host rejected: defer_if_permit requested"},
    {"smtpd_client_restrictions = defer_if_permit\n", OUTSIDE, "h.test", "s@a.test", "x@other.test",
     "554 5.7.1 <x@other.test>: Relay access denied"},
    {"smtpd_client_restrictions = defer_if_reject\n", OUTSIDE, "h.test", "s@a.test", "x@other.test",
     "450 4.7.0 <out.side.test[198.51.100.7]>: Client host rejected: defer_if_reject requested"},
    {"smtpd_client_restrictions = defer_if_reject\n", OUTSIDE, "h.test", "s@a.test", "bob", NULL},
    /* classes */
    {"smtpd_restriction_classes = strict, lax\nstrict = reject\nlax = permit\n"
     "smtpd_recipient_restrictions = check_recipient_access inline:{ amy@mx.example=strict, bob@mx.example=lax "
     "}, reject\n",
     OUTSIDE, "h.test", "s@a.test", "bob", NULL},
    {"smtpd_restriction_classes = strict\nstrict = reject\n"
     "smtpd_recipient_restrictions = check_recipient_access inline:{ amy@mx.example=strict }\n",
     OUTSIDE, "h.test", "s@a.test", "amy",
     "554 5.7.1 <amy>: Recipient address rejected: Access denied"},
    {"smtpd_restriction_classes = a, b\na = b\nb = a\nsmtpd_client_restrictions = a\n", OUTSIDE,
     "h.test", "s@a.test", "bob", "451 4.3.5 Server configuration error"},
    /* clients */
    {"smtpd_client_restrictions = reject_unknown_client_hostname\n", "unknown", "198.51.100.7",
     "h.test", "s@a.test", "bob",
     "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.7]"},
    {"smtpd_client_restrictions = reject_plaintext_session\n", OUTSIDE, "h.test", "s@a.test", "bob",
     "450 4.7.1 Session encryption is required"},
    /* HELO */
    {"smtpd_helo_restrictions = reject_non_fqdn_helo_hostname\n", OUTSIDE, "h", "s@a.test", "bob",
     "504 5.5.2 <h>: Helo command rejected: need fully-qualified hostname"},
    {"smtpd_helo_restrictions = reject_non_fqdn_helo_hostname\n", OUTSIDE, "[198.51.100.7]",
     "s@a.test", "bob", NULL},
    {"smtpd_helo_restrictions = reject_invalid_helo_hostname\n", OUTSIDE, "a..b", "s@a.test", "bob",
     "501 5.5.2 <a..b>: Helo command rejected: Invalid name"},
    {"smtpd_helo_restrictions = reject_invalid_helo_hostname\n", OUTSIDE, "[1.2.3]", "s@a.test",
     "bob", "501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address"},
    {"smtpd_helo_restrictions = reject_invalid_helo_hostname\n", OUTSIDE, "[IPv6:2001:db8::1]",
     "s@a.test", "bob", NULL},
    /* addresses */
    {"smtpd_sender_restrictions = reject_non_fqdn_sender\n", OUTSIDE, "h.test", "s@a", "bob",
     "504 5.5.2 <s@a>: Sender address rejected: need fully-qualified address"},
    {"smtpd_sender_restrictions = reject_non_fqdn_sender\n", OUTSIDE, "h.test", "", "bob", NULL},
    {"smtpd_recipient_restrictions = reject_non_fqdn_recipient\n", OUTSIDE, "h.test", "s@a.test",
     "bob", "504 5.5.2 <bob>: Recipient address rejected: need fully-qualified address"},
    {"smtpd_sender_login_maps = inline:{ bob@mx.example=bob }\n"
     "smtpd_sender_restrictions = reject_sender_login_mismatch\n",
     OUTSIDE, "h.test", "bob@mx.example", "bob",
     "553 5.7.1 <bob@mx.example>: Sender address rejected: not logged in"},
};

static void test_rcpt(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct world w;
        enum verdict v;
        open_world(&w, vectors[i].settings);
        set_client(&w, vectors[i].name, vectors[i].address);
        w.c.helo = str_of(vectors[i].helo);
        w.c.sender = str_of(vectors[i].sender);
        w.c.recipient = str_of(vectors[i].recipient);
        v = access_at_rcpt(&w.c);
        if (vectors[i].reply == NULL && v == REJECT)
            fail_msg("row %zu: refused with " STR_FMT, i, STR_ARG(w.c.reply));
        if (vectors[i].reply && v != REJECT)
            fail_msg("row %zu: accepted, want %s", i, vectors[i].reply);
        if (vectors[i].reply)
            assert_str(w.c.reply, vectors[i].reply);
        close_world(&w);
    }
}

/* results of access tables, for a client */
static const struct {
    const char *value;
    enum verdict verdict;
    const char *reply;
} results[] = {
    {"DUNNO", DUNNO, NULL},
    {"dunno", DUNNO, NULL},
    {"OK", PERMIT, NULL},
    {"RELAY", PERMIT, NULL},
    {"12345", PERMIT, NULL},
    {"550", PERMIT, NULL},
    {"", PERMIT, NULL},
    {"permit", PERMIT, NULL},
    {"REJECT", REJECT, "554 5.7.1 <n.test[198.51.100.7]>: Client host rejected: Access denied"},
    {"REJECT go away", REJECT, "554 5.7.1 <n.test[198.51.100.7]>: Client host rejected: go away"},
    {"REJECT 5.5.5 go", REJECT, "554 5.5.5 <n.test[198.51.100.7]>: Client host rejected: go"},
    {"REJECT 5.1.1 no such user", REJECT,
     "554 5.0.0 <n.test[198.51.100.7]>: Client host rejected: no such user"},
    {"DEFER", REJECT, "450 4.7.1 <n.test[198.51.100.7]>: Client host rejected: Access denied"},
    {"551 moved", REJECT, "551 5.7.1 <n.test[198.51.100.7]>: Client host rejected: moved"},
    {"421 4.3.2 later", REJECT, "421 4.3.2 <n.test[198.51.100.7]>: Client host rejected: later"},
    {"450 5.9.9 later", REJECT, "450 4.9.9 <n.test[198.51.100.7]>: Client host rejected: later"},
    {"reject", REJECT, "554 5.7.1 <n.test[198.51.100.7]>: Client host rejected: Access denied"},
    {"permit_mynetworks, defer", REJECT,
     "450 4.3.2 <n.test[198.51.100.7]>: Client host rejected: Try again later"},
    {"nonsense", REJECT, "451 4.3.5 Server configuration error"},
    {"check_client_access hash:x", REJECT, "451 4.3.5 Server configuration error"},
    {"DEFER_IF_PERMIT", DUNNO, NULL},
    {"HOLD spam", DUNNO, NULL},
    {"DISCARD", PERMIT, NULL},
    {"FILTER smtp:[127.0.0.1]:10025", DUNNO, NULL},
    {"FILTER nonsense", DUNNO, NULL},
    {"REDIRECT a@b.test", DUNNO, NULL},
    {"BCC a@b.test", DUNNO, NULL},
    {"PREPEND X-Note: yes", DUNNO, NULL},
    {"PREPEND no header", DUNNO, NULL},
    {"WARN note", DUNNO, NULL},
    {"INFO note", DUNNO, NULL},
    {"HANGUP", HANGUP, NULL},
};

static void test_results(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(results); i++) {
        char settings[256];
        struct world w;
        enum verdict v;
        snprintf(settings, sizeof settings,
                 "smtpd_client_restrictions = check_client_access inline:{ { n.test = %s } }\n",
                 results[i].value);
        open_world(&w, settings);
        set_client(&w, "n.test", "198.51.100.7");
        w.c.sender = STR("s@a.test");
        w.c.recipient = STR("bob");
        w.c.subject = w.c.client.label;
        w.c.subject_class = "Client host";
        v = access_run(access_program(w.access, ACCESS_CLIENT), &w.c);
        if (v != results[i].verdict)
            fail_msg("%s: verdict %d, want %d; " STR_FMT, results[i].value, v, results[i].verdict,
                     STR_ARG(w.c.reply));
        if (results[i].reply)
            assert_str(w.c.reply, results[i].reply);
        if (strcmp(results[i].value, "HOLD spam") == 0)
            assert_true(w.c.actions.hold);
        if (strcmp(results[i].value, "DISCARD") == 0)
            assert_true(w.c.actions.discard);
        if (strcmp(results[i].value, "BCC a@b.test") == 0)
            assert_int_equal(w.c.actions.bcc.n, 1);
        assert_int_equal(w.c.actions.headers.n,
                         strcmp(results[i].value, "PREPEND X-Note: yes") == 0);
        assert_int_equal(w.c.actions.filter.n != 0,
                         strcmp(results[i].value, "FILTER smtp:[127.0.0.1]:10025") == 0);
        close_world(&w);
    }
}

/* which key is found */
static const struct {
    const char *rule, *table;
    bool found;
} keys[] = {
    {"check_client_access", "a.b.test=REJECT", true},
    {"check_client_access", "b.test=REJECT", true},
    {"check_client_access", "test=REJECT", true},
    {"check_client_access", ".b.test=REJECT", false},
    {"check_client_access", "198.51.100.7=REJECT", true},
    {"check_client_access", "198.51.100=REJECT", true},
    {"check_client_access", "198.51=REJECT", true},
    {"check_client_access", "198=REJECT", true},
    {"check_client_access", "198.51.100.=REJECT", false},
    {"check_helo_access", "h.test=REJECT", true},
    {"check_sender_access", "u+ext@s.test=REJECT", true},
    {"check_sender_access", "u@s.test=REJECT", true},
    {"check_sender_access", "s.test=REJECT", true},
    {"check_sender_access", "test=REJECT", true},
    {"check_sender_access", "u+ext@=REJECT", true},
    {"check_sender_access", "u@=REJECT", true},
    {"check_sender_access", "@s.test=REJECT", false},
    {"check_recipient_access", "bob@mx.example=REJECT", true},
    {"check_recipient_access", "mx.example=REJECT", true},
    {"check_recipient_access", "bob=REJECT", false},
};

static void test_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        char settings[256];
        struct world w;
        snprintf(settings, sizeof settings, "smtpd_recipient_restrictions = %s inline:{ %s }\n",
                 keys[i].rule, keys[i].table);
        open_world(&w, settings);
        set_client(&w, "a.b.test", "198.51.100.7");
        w.c.helo = STR("h.test");
        w.c.sender = STR("u+ext@s.test");
        w.c.recipient = STR("bob");
        if ((access_at_rcpt(&w.c) == REJECT) != keys[i].found)
            fail_msg("%s %s: found is not %d; " STR_FMT, keys[i].rule, keys[i].table, keys[i].found,
                     STR_ARG(w.c.reply));
        close_world(&w);
    }
}

/* mistakes */
static const struct {
    const char *settings, *words;
} mistakes[] = {
    {"smtpd_relay_restrictions = permit_mynetworks\n", "specify at least one working instance of"},
    {"smtpd_relay_restrictions = warn_if_reject reject_unauth_destination\n",
     "specify at least one"},
    {"smtpd_client_restrictions = reject_everything\n",
     "unknown restriction \"reject_everything\""},
    {"smtpd_client_restrictions = check_client_access\n",
     "\"check_client_access\" needs an argument"},
    {"smtpd_client_restrictions = check_client_access foo\n", "needs a table type:name behind it"},
    {"smtpd_client_restrictions = check_client_access nosuch:foo\n", "nosuch"},
    {"smtpd_client_restrictions = warn_if_reject\n", "needs a restriction behind it"},
    {"smtpd_client_restrictions = sleep x\n", "needs a number of seconds"},
    {"smtpd_client_restrictions = check_relay_domains\n", "no longer supported"},
    {"smtpd_client_restrictions = reject_rbl_client x.test=1.2.3\n", "bad DNS list filter"},
    {"smtpd_client_restrictions = check_policy_service { }\n", "names no server"},
    {"smtpd_client_restrictions = check_policy_service inet:127.0.0.1\n", "policy server"},
    {"smtpd_restriction_classes = foo\n", "which is not defined"},
    {"smtpd_restriction_classes = reject\nreject = permit\n", "choose another"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct world w;
        struct why why = {0};
        assert_int_equal(try_open(&w, mistakes[i].settings, &why), RC_CONFIG);
        if (strstr(why.text, mistakes[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", why.text, mistakes[i].words);
        close_world(&w);
    }
}

static void test_early(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, "smtpd_delay_reject = no\nsmtpd_client_restrictions = check_client_access "
                   "inline:{ { n.test = HOLD } }, reject\n");
    set_client(&w, "n.test", "198.51.100.7");
    w.c.protocol = STR_NONE;
    assert_int_equal(access_at_connect(&w.c), REJECT);
    assert_str(w.c.reply, "554 5.7.1 <n.test[198.51.100.7]>: Client host rejected: Access denied");
    assert_false(w.c.actions.hold); /* there is no message yet */
    close_world(&w);
}

static void test_rewrite_clients(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, "local_header_rewrite_clients = permit_mynetworks, inline:{ 198.51.100.8=x }\n");
    set_client(&w, "n.test", "192.0.2.1");
    assert_true(access_rewrites_locally(&w.c));
    set_client(&w, "n.test", "198.51.100.8");
    assert_true(access_rewrites_locally(&w.c));
    set_client(&w, "n.test", "198.51.100.9");
    assert_false(access_rewrites_locally(&w.c));
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rcpt),  cmocka_unit_test(test_results),
        cmocka_unit_test(test_keys),  cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_early), cmocka_unit_test(test_rewrite_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
