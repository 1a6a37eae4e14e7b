/* Records of local programs: what is taken, ignored, refused. */
#include "submit/drop.h"
#include "unit/unit.h"

struct step {
    int type;
    const char *payload;
    int kind; /* -1: refused */
};

#define REFUSED (-1)

static void run(enum drop_source source, const struct step *steps, struct drop *d, struct arena *a)
{
    drop_init(d, source, 42, a);
    for (; steps->type; steps++) {
        enum drop_kind kind = DROP_IGNORED;
        struct why why = {0};
        enum rc rc = drop_record(d, steps->type, str_of(steps->payload), &kind, &why);
        if (steps->kind == REFUSED) {
            if (rc != RC_PERM || strncmp(why.text, "uid=42: ", 8) != 0)
                fail_msg("%c \"%s\": not refused", steps->type, steps->payload);
            return;
        }
        if (rc != RC_OK || (int)kind != steps->kind)
            fail_msg("%c \"%s\": rc %d kind %d %s", steps->type, steps->payload, rc, kind,
                     why.text);
    }
}

static void test_message(void **state)
{
    static const struct step steps[] = {
        {'T', "5 6", DROP_IGNORED},
        {'C', "-1 -1 -1 -1 -1 97", DROP_KEPT},
        {'A', "envelope_id=e1", DROP_KEPT},
        {'A', "ret_flags=2", DROP_KEPT},
        {'A', "rewrite_context=remote", DROP_KEPT},
        {'A', "trace_flags=1024", DROP_KEPT},
        {'A', "trace_flags=256", DROP_UNKNOWN},
        {'A', "trace_flags=1536", DROP_UNKNOWN},
        {'A', "encoding=8bit", DROP_KEPT},
        {'A', "encoding=9bit", DROP_UNKNOWN},
        {'A', "sasl_username=root", DROP_UNKNOWN},
        {'A', "novalue", DROP_UNKNOWN},
        {'F', "Full Name", DROP_KEPT},
        {'S', "s@x.test", DROP_KEPT},
        {'V', "+=", DROP_KEPT},
        {'A', "notify_flags=2", DROP_KEPT},
        {'A', "dsn_orig_rcpt=rfc822;a", DROP_KEPT},
        {'R', "a@y.test", DROP_RECIPIENT},
        {'M', "", DROP_KEPT},
        {'N', "Subject: x", DROP_TEXT},
        {'L', "a\rb", DROP_TEXT},
        {'X', "", DROP_KEPT},
        {'R', "b@y.test", DROP_RECIPIENT},
        {'E', "", DROP_KEPT},
        {'E', "", REFUSED},
        {0},
    };
    AUTO_ARENA a = arena_new(1024);
    struct drop d;
    struct why why = {0};

    (void)state;
    run(DROP_FROM_PROGRAM, steps, &d, a);
    assert_int_equal(drop_check(&d, &why), RC_OK);
    assert_int_equal(d.n_recipients, 2);
    assert_str(d.begin.sender, "s@x.test");
    assert_str(d.begin.envid, "e1");
    assert_str(d.begin.full_name, "Full Name");
    assert_str(d.begin.encoding, "8bit");
    assert_str(d.begin.verp, "+=");
    assert_str(d.begin.origin.rewrite_context, "remote");
    assert_int_equal(d.begin.dsn_ret, 2);
    assert_int_equal(d.begin.trace_flags, 1024);
    assert_int_equal(d.begin.sendopts, 33); /* SMTPUTF8 and REQUIRETLS; the rest is not theirs */
    assert_int_equal(d.begin.arrival_sec, 0);
    assert_str(d.recipient.address, "b@y.test");
    assert_int_equal(d.recipient.dsn_notify, 0); /* that of a@ was for a@ */
}

static void test_refused_or_incomplete(void **state)
{
    static const struct step rows[][5] = {
        {{'p', "0", REFUSED}},
        {{'D', "x", REFUSED}},
        {{'L', "smtp:x", REFUSED}},
        {{'>', "x", REFUSED}},
        {{'W', "1", REFUSED}},
        {{'K', "", REFUSED}},
        {{'f', "1", REFUSED}},
        {{'E', "", REFUSED}},
        {{'S', "a\nb", REFUSED}},
        {{'R', "a\rb", REFUSED}},
        {{'A', "envelope_id=a\nb", REFUSED}},
        {{'M', "", DROP_KEPT}, {'R', "x", REFUSED}},
        {{'M', "", DROP_KEPT}, {'p', "0", REFUSED}},
        {{'M', "", DROP_KEPT}, {'X', "", DROP_KEPT}, {'N', "x", REFUSED}},
        {{'M', "", DROP_KEPT}, {'X', "", DROP_KEPT}, {'S', "x", REFUSED}},
        {{'R', "r", DROP_RECIPIENT},
         {'M', "", DROP_KEPT},
         {'X', "", DROP_KEPT},
         {'E', "", DROP_KEPT}}, /* no sender */
        {{'S', "s", DROP_KEPT},
         {'M', "", DROP_KEPT},
         {'X', "", DROP_KEPT},
         {'E', "", DROP_KEPT}}, /* no recipient */
        {{'S', "s", DROP_KEPT},
         {'R', "r", DROP_RECIPIENT},
         {'M', "", DROP_KEPT},
         {'X', "", DROP_KEPT}}, /* no end */
    };
    AUTO_ARENA a = arena_new(1024);
    struct drop d;
    struct why why;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        run(DROP_FROM_PROGRAM, rows[i], &d, a);
        assert_int_equal(drop_check(&d, &why), RC_PERM);
    }
}

/* postsuper -r: a queue file with everything in it. */
static void test_requeued(void **state)
{
    static const struct step steps[] = {
        {'C', "285 675 2 0 285 1", DROP_KEPT},
        {'T', "1795257429 579204", DROP_IGNORED},
        {'A', "create_time=1795257429", DROP_KEPT},
        {'L', "smtp:filter", DROP_IGNORED},
        {'A', "log_client_name=client.test", DROP_KEPT},
        {'A', "client_port=25", DROP_IGNORED},
        {'S', "s@x.test", DROP_KEPT},
        {'W', "1", DROP_IGNORED},
        {'A', "notify_flags=1", DROP_KEPT},
        {'O', "o@y.test", DROP_IGNORED},
        {'D', "done@y.test", DROP_IGNORED},
        {'O', "o@y.test", DROP_IGNORED},
        {'R', "left@y.test", DROP_RECIPIENT},
        {'M', "", DROP_KEPT},
        {'N', "x", DROP_TEXT},
        {'X', "", DROP_KEPT},
        {'A', "message_id=<x>", DROP_IGNORED},
        {'D', "done@y.test", DROP_IGNORED},
        {'E', "", DROP_KEPT},
        {0},
    };
    AUTO_ARENA a = arena_new(1024);
    struct drop d;
    struct why why = {0};

    (void)state;
    run(DROP_FROM_QUEUE, steps, &d, a);
    assert_int_equal(drop_check(&d, &why), RC_OK);
    assert_int_equal(d.n_recipients, 1);
    assert_int_equal(d.begin.arrival_sec, 1795257429);
    assert_int_equal(d.begin.arrival_usec, 579204);
    assert_int_equal(d.begin.sendopts, 1);
    assert_str(d.begin.origin.client_name, "client.test");
}

/* A recipient that is done takes its attributes with it. */
static void test_attributes_of_done_recipients(void **state)
{
    static const struct step steps[] = {{'A', "notify_flags=1", DROP_KEPT},
                                        {'D', "done@y.test", DROP_IGNORED},
                                        {'R', "left@y.test", DROP_RECIPIENT},
                                        {0}};
    AUTO_ARENA a = arena_new(1024);
    struct drop d;

    (void)state;
    run(DROP_FROM_QUEUE, steps, &d, a);
    assert_int_equal(d.recipient.dsn_notify, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_refused_or_incomplete),
        cmocka_unit_test(test_requeued),
        cmocka_unit_test(test_attributes_of_done_recipients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
