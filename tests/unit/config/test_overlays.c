/* Overlays that sessions share, and settings of a client. */
#include <pthread.h>
#include <stdlib.h>

#include "config/client_settings.h"
#include "config/overlays.h"
#include "unit/unit.h"

static enum rc make(void *context, const struct config *config, void **state, struct why *why)
{
    int *made = context;

    if (config->smtpd_recipient_limit == 13)
        return FAIL(why, RC_CONFIG, "unlucky");
    (*made)++;
    *state = made;
    return RC_OK;
}

static void unmake(void *context, void *state)
{
    (void)state;
    *(int *)context += 1000;
}

static struct config *base(void)
{
    struct str text = STR("myhostname = mx.example.test\nsmtpd_relay_restrictions = "
                          "reject_unauth_destination\nsmtpd_banner = $myhostname hello\n"
                          "smtpd_sender_first_restrictions = check_sender_access hash:/good\n");
    struct config_request request = {.dir = "/nonexistent", .main_cf = &text};
    struct config *config = NULL;
    struct why why;

    if (config_load(&request, &config, &why) != RC_OK)
        fail_msg("%s", why.text);
    return config;
}

static struct config_setting limit(const char *value)
{
    return (struct config_setting){STR("smtpd_recipient_limit"), str_of(value), STR_NONE};
}

static const struct overlay *take(struct overlays *o, const struct config *c, const char *value)
{
    struct config_setting s = limit(value);
    const struct overlay *overlay = NULL;

    assert_int_equal(overlay_take(o, c, &s, 1, &overlay, NULL), RC_OK);
    return overlay;
}

static void test_overlays(void **unused)
{
    int made = 0;
    struct overlays_user user = {make, unmake, &made};
    struct config *c = base();
    struct overlays *o = overlays_new(&user, 2);
    const struct overlay *five = take(o, c, "5"), *again = take(o, c, "5"), *six;
    struct config_setting bad = limit("13");
    struct why why = {0};
    size_t there, count;

    (void)unused;
    assert_ptr_equal(five, again); /* the same settings: the same overlay */
    assert_int_equal(five->config->smtpd_recipient_limit, 5);
    assert_int_equal(c->smtpd_recipient_limit, 1000);
    assert_str(five->config->smtpd_banner, "mx.example.test hello");
    six = take(o, c, "6");
    assert_int_equal(made, 2);
    overlay_give(o, five);
    overlay_give(o, six);
    assert_ptr_equal(take(o, c, "5"), five); /* still used by the other one */
    overlay_give(o, again);
    overlay_give(o, five);
    overlay_give(o, take(o, c, "7")); /* 6 has waited longest */
    overlays_count(o, &there, &count);
    assert_int_equal(there, 2);
    assert_int_equal(count, 3);
    assert_int_equal(made, 1003);
    assert_int_equal(overlay_take(o, c, &bad, 1, &six, &why), RC_CONFIG);
    bad.value = STR("many");
    assert_int_equal(overlay_take(o, c, &bad, 1, &six, &why), RC_CONFIG);
    overlays_free(o);
    config_free(c);
}

/* Many threads, few places: whoever holds an overlay sees its own settings. */
struct crowd {
    struct overlays *overlays;
    struct config *config;
    unsigned seed;
};

static enum rc make_nothing(void *context, const struct config *config, void **state,
                            struct why *why)
{
    (void)context;
    (void)why;
    *state = (void *)config;
    return RC_OK;
}

static void *come_and_go(void *context)
{
    struct crowd *c = context;

    for (int i = 0; i < 300; i++) {
        const struct overlay *o;
        char value[16];
        long n = rand_r(&c->seed) % 9 + 1;
        snprintf(value, sizeof value, "%ld", n);
        o = take(c->overlays, c->config, value);
        if (o->config->smtpd_recipient_limit != n || o->state != o->config)
            abort();
        overlay_give(c->overlays, o);
    }
    return NULL;
}

static void test_threads(void **unused)
{
    struct overlays_user user = {make_nothing, NULL, NULL};
    struct config *config = base();
    struct overlays *o = overlays_new(&user, 3);
    struct crowd crowd[4];
    pthread_t threads[4];
    size_t there, made;

    (void)unused;
    for (unsigned i = 0; i < COUNT(crowd); i++) {
        crowd[i] = (struct crowd){o, config, i};
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd[i]), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    overlays_count(o, &there, &made);
    assert_int_equal(there, 3);
    assert_true(made >= 9);
    overlays_free(o);
    config_free(config);
}

static const struct {
    const char *name, *value, *parameter, *result;
} settings[] = {
    {"RELAYCLIENT", "", "smtpd_relay_client", "yes"},
    {"RELAYCLIENT", "@x.test", "smtpd_relay_client_suffix", "@x.test"},
    {"AUTHPREPEND", "a $b", "smtpd_sasl_received_prefix", "a $$b"},
    {"AUTHPREPEND", "a", "smtpd_sasl_authenticated_header", "yes"},
    {"MAXRCPTCOUNT", "0", "smtpd_recipient_limit", "2147483647"},
    {"MAXRCPTCOUNT", "7", "smtpd_recipient_limit", "7"},
    {"MAXRCPTCOUNT", "7", "smtpd_recipient_limit_reject_code", "553"},
    {"LOGLEVEL", "9", "smtpd_session_log_level", "4"},
    {"SENDERCHECK", "", "smtpd_sender_check", "yes"},
    {"SENDERCHECK", "strict", "smtpd_sender_check", "strict"},
    {"SENDERCHECK", "LOOSE", "smtpd_sender_check", "loose"},
    {"SMTPAUTH", "", "smtpd_sasl_auth_enable", "yes"},
    {"SMTPAUTH", "", "smtpd_tls_auth_only", "no"},
    {"SMTPAUTH", "TLSREQUIRED", "smtpd_tls_auth_only", "yes"},
    {"SMTPAUTH", "", "smtpd_relay_restrictions",
     "permit_sasl_authenticated, reject_unauth_destination"},
    {"550GREETING", "", "smtpd_reject_greeting", "Service not available for this client"},
    {"550GREETING", "no", "smtpd_reject_greeting", "no"},
    {"TARPITDELAY", "3", "smtpd_tarpit_delay", "3s"},
    {"DATABYTES", "1000", "message_size_limit", "1000"},
    {"NOBOUNCE", "", "smtpd_sender_first_restrictions",
     "check_sender_access hash:/good, reject_null_sender"},
    {"BLOCKRELAYPROBE", "0", "smtpd_recipient_first_restrictions", "reject_relay_probe"},
    {"LDAPSOFTOK", "", "smtpd_unlisted_tempfail_action", "permit"},
    {"NOPBS", "", "smtpd_pop_before_smtp_maps", ""},
    {"QMAILQUEUE", "/x", "smtpd_queue_program", "/x"},
    {"smtpd_timeout", "7s", "smtpd_timeout", "7s"},
};

static void test_translation(void **unused)
{
    struct config *c = base();
    struct arena *a = arena_new(4096);

    (void)unused;
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct config_setting s = {str_of(settings[i].name), str_of(settings[i].value), STR_NONE};
        struct config_setting *out = NULL;
        bool found = false;
        size_t n = 0;
        assert_int_equal(client_settings_translate(c, &s, 1, a, &out, &n, NULL), RC_OK);
        for (size_t k = 0; k < n; k++)
            if (str_eq(out[k].name, str_of(settings[i].parameter))) {
                assert_str(out[k].value, settings[i].result);
                found = true;
            }
        if (!found)
            fail_msg("%s does not set %s", settings[i].name, settings[i].parameter);
    }
    arena_free(a);
    config_free(c);
}

/* Whatever order a rule has, senders are looked at in that of qmail-ldap. */
static void test_order(void **unused)
{
    struct config *c = base();
    struct arena *a = arena_new(4096);
    struct config_setting given[] = {{STR("RETURNMXCHECK"), STR(""), STR_NONE},
                                     {STR("RBL"), STR(""), STR_NONE},
                                     {STR("NOBOUNCE"), STR(""), STR_NONE},
                                     {STR("SANITYCHECK"), STR(""), STR_NONE}};
    struct config_setting *out = NULL;
    size_t n = 0;

    (void)unused;
    assert_int_equal(client_settings_translate(c, given, COUNT(given), a, &out, &n, NULL), RC_OK);
    for (size_t k = 0; k < n; k++)
        if (str_eq(out[k].name, STR("smtpd_sender_first_restrictions")))
            assert_str(
                out[k].value,
                "check_sender_access hash:/good, reject_null_sender, reject_malformed_sender, "
                "check_rbl_list, reject_unknown_sender_domain");
    arena_free(a);
    config_free(c);
}

static void test_every_variable_names_a_parameter(void **unused)
{
    struct config *c = base();
    struct arena *a = arena_new(4096);
    static const struct {
        const char *name;
    } variables[] = {
#define VARIABLE(name, kind, parameter, value) {name},
#include "config/client_variables.def"
#undef VARIABLE
    };

    (void)unused;
    for (size_t i = 0; i < COUNT(variables); i++) {
        struct config_setting s = {str_of(variables[i].name), STR("1"), STR_NONE};
        struct config_setting *out = NULL;
        size_t n = 0;
        if (client_settings_translate(c, &s, 1, a, &out, &n, NULL) == RC_CONFIG)
            continue; /* TCPREMOTE... */
        for (size_t k = 0; k < n; k++)
            if (!session_param_is(out[k].name))
                fail_msg("%s sets " STR_FMT ", which a session cannot have", variables[i].name,
                         STR_ARG(out[k].name));
    }
    arena_free(a);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlays),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_translation),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_every_variable_names_a_parameter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
