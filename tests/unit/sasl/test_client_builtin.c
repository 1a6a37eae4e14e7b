#include "sasl/client.h"
#include "sasl/scram.h"
#include "unit/unit.h"

struct vector {
    const char *offered;
    unsigned security;
    bool is_token, send_authzid;
    const char *mechanism; /* NULL: none fits */
    const char *initial;   /* decoded, with '|' for NUL and '^' for 0x01; NULL: the server begins */
    const char *challenges[3], *responses[3];
    enum login_status last; /* of the challenge without response here */
};

static const struct vector vectors[] = {
    {"PLAIN LOGIN",
     0,
     false,
     false,
     "PLAIN",
     "|tim|tanstaaftanstaaf",
     {"x"},
     {NULL},
     LOGIN_MALFORMED},
    {"plain", 0, false, true, "PLAIN", "tim|tim|tanstaaftanstaaf", {NULL}, {NULL}, LOGIN_OK},
    {"LOGIN X",
     0,
     false,
     false,
     "LOGIN",
     NULL,
     {"Username:", "Password:", "More:"},
     {"tim", "tanstaaftanstaaf", NULL},
     LOGIN_MALFORMED},
    {"PLAIN LOGIN", LOGIN_NOPLAINTEXT, false, false, NULL, NULL, {NULL}, {NULL}, LOGIN_OK},
    {"", 0, false, false, NULL, NULL, {NULL}, {NULL}, LOGIN_OK},
    {"XOAUTH2 OAUTHBEARER", 0, false, false, NULL, NULL, {NULL}, {NULL}, LOGIN_OK},
    {"PLAIN", 0, true, false, NULL, NULL, {NULL}, {NULL}, LOGIN_OK},
    {"PLAIN XOAUTH2",
     0,
     true,
     false,
     "XOAUTH2",
     "user=tim^auth=Bearer tanstaaftanstaaf^^",
     {"{\"status\":\"400\"}", "again"},
     {"", NULL},
     LOGIN_MALFORMED},
    {"XOAUTH2", LOGIN_NOPLAINTEXT, true, false, NULL, NULL, {NULL}, {NULL}, LOGIN_OK},
    {"XOAUTH2 OAUTHBEARER",
     LOGIN_NOANONYMOUS,
     true,
     false,
     "OAUTHBEARER",
     "n,a=tim,^host=mx.test^port=587^auth=Bearer tanstaaftanstaaf^^",
     {"{}", "again"},
     {"^", NULL},
     LOGIN_MALFORMED},
#ifdef HAVE_OPENSSL
    /* RFC 2195 */
    {"PLAIN CRAM-MD5",
     LOGIN_NOPLAINTEXT,
     false,
     false,
     "CRAM-MD5",
     NULL,
     {"<1896.697170952@postoffice.reston.mci.net>", "x"},
     {"tim b913a602c7eda7a495b4e6e7334d3890", NULL},
     LOGIN_MALFORMED},
#endif
};

static struct str decode(struct arena *a, struct str text)
{
    struct str bytes = STR_NONE;
    char *p;

    assert_int_equal(login_decode(a, text, 1000, &bytes, NULL), RC_OK);
    p = arena_text(a, bytes);
    for (size_t i = 0; i < bytes.n; i++)
        if (p[i] == '\0' || p[i] == '\001')
            p[i] = p[i] ? '^' : '|';
    return (struct str){p, bytes.n};
}

static struct login_client *open_builtin(void)
{
    const struct login_client_options o = {.type = STR("builtin")};
    struct login_client *c = NULL;

    assert_int_equal(login_client_open(&o, &c, NULL), RC_OK);
    return c;
}

static void run(struct login_client *c, const struct vector *v)
{
    AUTO_ARENA a = arena_new(1024);
    struct login_account account = {.service = STR("smtp"),
                                    .server = STR("mx.test"),
                                    .username = STR("tim"),
                                    .password = STR("tanstaaftanstaaf"),
                                    .mechanisms = str_of(v->offered),
                                    .security = v->security,
                                    .is_token = v->is_token,
                                    .send_authzid = v->send_authzid,
                                    .port = 587};
    struct login_attempt *t = NULL;
    struct login_reply reply;
    enum login_status status = login_client_begin(c, &account, a, &t, &reply);

    if (v->mechanism == NULL) {
        assert_int_equal(status, LOGIN_FAILED);
        assert_true(reply.reason.n > 0);
        return;
    }
    assert_int_equal(status, LOGIN_MORE);
    assert_true(str_eq(reply.mechanism, str_of(v->mechanism)));
    assert_int_equal(reply.text.p != NULL, v->initial != NULL);
    if (v->initial)
        assert_true(str_eq(decode(a, reply.text), str_of(v->initial)));
    for (int i = 0; i < 3 && v->challenges[i]; i++) {
        status = login_client_step(t, login_encode(a, str_of(v->challenges[i])), &reply);
        if (v->responses[i]) {
            assert_int_equal(status, LOGIN_MORE);
            assert_true(str_eq(decode(a, reply.text), str_of(v->responses[i])));
        } else {
            assert_int_equal(status, v->last);
        }
    }
    login_client_end(t);
}

static void test_exchanges(void **state)
{
    struct login_client *c = open_builtin();

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        run(c, &vectors[i]);
}

static void test_challenges_that_are_none(void **state)
{
    static const struct {
        const char *mechanism, *challenge; /* base64 */
    } rows[] = {
        {"LOGIN", "***"},
        {"LOGIN", "a"},
#ifdef HAVE_OPENSSL
        {"SCRAM-SHA-256", ""},
        {"SCRAM-SHA-256", "cj14LHM9eCxpPTQwOTY="},     /* r=x,s=x,i=4096: not our nonce */
        {"SCRAM-SHA-256", "bT14LHI9eCxzPXgsaT00MDk2"}, /* m=: an extension */
#endif
    };
    struct login_client *c = open_builtin();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_ARENA a = arena_new(1024);
        struct login_account account = {
            .username = STR("tim"), .password = STR("x"), .mechanisms = str_of(rows[i].mechanism)};
        struct login_attempt *t = NULL;
        struct login_reply reply;
        assert_int_equal(login_client_begin(c, &account, a, &t, &reply), LOGIN_MORE);
        assert_int_equal(login_client_step(t, str_of(rows[i].challenge), &reply), LOGIN_MALFORMED);
        assert_true(reply.reason.n > 0);
    }
}

#ifdef HAVE_OPENSSL
/* Our client and our server, which know the same password or not. */
static enum login_status meet(const char *ours, const char *theirs, struct arena *a)
{
    struct login_client *c = open_builtin();
    struct login_account account = {
        .username = STR("a=b,c"), .password = str_of(ours), .mechanisms = STR(SCRAM_NAME)};
    struct login_attempt *t = NULL;
    struct login_reply reply;
    struct scram_verifier v;
    struct scram server = {.arena = a};
    struct str message, answer = STR_NONE;
    enum login_status status = LOGIN_FAILED;

    assert_int_equal(scram_verifier_make(str_of(theirs), STR("salt"), 4096, &v, NULL), RC_OK);
    assert_int_equal(login_client_begin(c, &account, a, &t, &reply), LOGIN_MORE);
    assert_int_equal(login_decode(a, reply.text, 1000, &message, NULL), RC_OK);
    assert_int_equal(scram_first(&server, message, NULL), RC_OK);
    assert_str(server.username, "a=b,c");
    assert_int_equal(
        login_client_step(t, login_encode(a, scram_challenge(&server, &v, STR("nonce"))), &reply),
        LOGIN_MORE);
    assert_int_equal(login_decode(a, reply.text, 1000, &message, NULL), RC_OK);
    if (scram_final(&server, &v, message, &answer, NULL) == RC_OK)
        status = login_client_step(t, login_encode(a, answer), &reply);
    login_client_end(t);
    return status;
}

static void test_both_ends(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    assert_int_equal(meet("pencil", "pencil", a), LOGIN_OK);
    assert_int_equal(meet("pencil", "pen", a), LOGIN_FAILED);
}
#endif

static void test_unknown_type(void **state)
{
    const struct login_client_options o = {.type = STR("magic")};
    struct login_client *c = NULL;
    struct why why;

    (void)state;
    assert_int_equal(login_client_open(&o, &c, &why), RC_CONFIG);
    assert_non_null(strstr(why.text, "magic"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges),
        cmocka_unit_test(test_challenges_that_are_none),
#ifdef HAVE_OPENSSL
        cmocka_unit_test(test_both_ends),
#endif
        cmocka_unit_test(test_unknown_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
