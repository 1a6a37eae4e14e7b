#include "unit/submit/desk.h"

static const char message[] =
    "Subject: x-me\nFrom: a@b.test\nContent-Type: multipart/mixed; boundary=B\n\n"
    "--B\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody-me\n--B--\n";

/* A table in the queue directory, and a parameter that names it. */
static void desk_table(struct desk *d, const char *settings, const char *rules)
{
    char dir[64], path[96];
    struct str text;
    struct arena *a = arena_new(1024);
    struct why why;

    snprintf(dir, sizeof dir, "/tmp/checks-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/rules", dir);
    assert_int_equal(file_replace(path, str_of(rules), 0644, &why), RC_OK);
    text = arena_printf(a, "%s = regexp:%s\n", settings, path);
    desk_open(d, text.p);
    unlink(path);
    rmdir(dir);
    arena_free(a);
}

struct row {
    const char *parameter, *rules;
    unsigned status;
    const char *log;  /* what must be in the log, or NULL */
    const char *text; /* what must be in the content, or NULL */
};

/* "ID" stands for the queue id. */
static bool was_logged(struct desk *d, const char *text)
{
    struct str rest = str_of(text);

    if (!str_has_prefix(rest, STR("ID: ")))
        return desk_logged(d, text);
    return desk_logged(d, arena_printf(d->keep, "%s" STR_FMT, submit_queue_id(d->message),
                                       STR_ARG(str_from(rest, 2)))
                              .p);
}

static void actions(void **state)
{
    static const struct row rows[] = {
        {"header_checks", "/^Subject: x/ WARN hmm", 0,
         "ID: warning: header Subject: x-me from localhost[127.0.0.1]; from=<s@x.test> "
         "to=<a@y.test> proto=ESMTP helo=<cl.test>: hmm",
         "Subject: x-me\n"},
        {"header_checks", "/^Subject: x/ INFO", 0,
         "info: header Subject: x-me from localhost[127.0.0.1]; from=<s@x.test> to=<a@y.test> "
         "proto=ESMTP helo=<cl.test>\n",
         NULL},
        {"header_checks", "/^Subject: x/ REJECT no x", SUBMIT_CONTENT,
         "reject: header Subject: x-me from localhost[127.0.0.1]; from=<s@x.test> to=<a@y.test> "
         "proto=ESMTP helo=<cl.test>: 5.7.1 no x\n",
         NULL},
        {"header_checks", "/^Subject: x/ reject 5.6.6 no x", SUBMIT_CONTENT, ": 5.6.6 no x\n",
         NULL},
        {"header_checks", "/^Subject: x/ REJECT", SUBMIT_CONTENT,
         ": 5.7.1 message content rejected\n", NULL},
        {"header_checks", "/^Subject: (x)/ REPLACE Subject: was $1", 0,
         "replace: header Subject: x-me ", "Subject: was x\nFrom"},
        {"header_checks", "/^Subject: x/ PREPEND X-New: 1", 0, "prepend: header ",
         "X-New: 1\nSubject: x-me\n"},
        {"header_checks", "/^Subject: x/ PREPEND no header", 0, "bad PREPEND header text",
         "Subject: x-me\nFrom"},
        {"header_checks", "/^Subject: x/ IGNORE", 0, NULL, "From: a@b.test\n"},
        {"header_checks", "/^Subject: x/ STRIP gone", 0, "strip: header Subject: x-me from", NULL},
        {"header_checks", "/^Subject: x/ DISCARD", 0, "discard: header Subject", NULL},
        {"header_checks", "/^Subject: x/ HOLD", 0, "hold: header Subject", NULL},
        {"header_checks", "/^Subject: x/ FILTER smtp:[f.test]", 0, "filter: header Subject", NULL},
        {"header_checks", "/^Subject: x/ FILTER nonsense", 0, "bad FILTER command", NULL},
        {"header_checks", "/^Subject: x/ REDIRECT r@z.test", 0, "redirect: header Subject", NULL},
        {"header_checks", "/^Subject: x/ REDIRECT nobody", 0, "bad REDIRECT target", NULL},
        {"header_checks", "/^Subject: x/ BCC c@z.test", 0, "bcc: header Subject", NULL},
        {"header_checks", "/^Subject: x/ NONSENSE", 0, "unknown command in header_checks map",
         NULL},
        {"header_checks", "/^Subject: x/ PASS\n/^From/ REJECT", 0, "pass: header Subject", NULL},
        {"header_checks", "/^Subject: x/ DUNNO", 0, NULL, "Subject: x-me\n"},
        /* where which table counts */
        {"mime_header_checks", "/^Content-Type: multipart/ WARN a", 0,
         "warning: header Content-Type: mul", NULL},
        {"mime_header_checks", "/^Content-Type: message/ WARN b", 0,
         "warning: header Content-Type: message/rfc822 from", NULL},
        {"nested_header_checks", "/^Subject: inner/ REJECT", SUBMIT_CONTENT,
         "reject: header Subject: inner", NULL},
        {"nested_header_checks", "/^Subject: x/ REJECT", 0, NULL, NULL},
        {"body_checks", "/body-me/ REJECT not me", SUBMIT_CONTENT,
         "reject: body body-me from localhost[127.0.0.1]; from=<s@x.test> to=<a@y.test> proto=ESMTP "
         "helo=<cl.test>: 5.7.1 not me\n",
         NULL},
        {"body_checks", "/body-me/ REPLACE you", 0, "replace: body body-me", "\nyou\n"},
        {"body_checks", "/body-me/ PREPEND above", 0, NULL, "\nabove\nbody-me\n"},
        {"body_checks", "/body-me/ IGNORE", 0, NULL, "Subject: inner\n\n--B--\n"},
        {"body_checks", "/^Subject/ REJECT", 0, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct desk d;
        unsigned status;
        desk_table(&d, rows[i].parameter, rows[i].rules);
        status = desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", message);
        if (status != rows[i].status)
            fail_msg("row %zu: status %u " STR_FMT, i, status, STR_ARG(d.reason));
        if (rows[i].log && !was_logged(&d, rows[i].log)) {
            desk_run(&d, "cat log");
            fail_msg("row %zu: not logged: %s", i, rows[i].log);
        }
        if (rows[i].text && !strstr(desk_text(&d), rows[i].text))
            fail_msg("row %zu: got %s", i, desk_text(&d));
        desk_close(&d);
    }
}

static void what_actions_leave(void **state)
{
    struct desk d;

    (void)state;
    desk_table(&d, "header_checks",
               "/^Subject:/ FILTER smtp:[f.test]\n/^To:/ REDIRECT r@z.test\n/^Cc:/ BCC c@z.test\n"
               "/^X-Hold/ HOLD\n/^X-Discard/ DISCARD\n");
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test",
                               "Subject: x\nTo: y\nCc: z\nMessage-Id: <1>\n\n"),
                     0);
    assert_non_null(strstr(desk_dump(&d, "incoming"),
                           "X \nL smtp:[f.test]\n> r@z.test\nA message_id=<1>\nA notify_flags=1\n"
                           "O c@z.test\nR c@z.test\nE \n"));
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", "X-Hold: 1\n\n"), 0);
    assert_null(desk_dump(&d, "incoming"));
    assert_non_null(desk_dump(&d, "hold"));
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", "X-Discard: 1\n\n"), 0);
    assert_null(desk_dump(&d, "incoming"));
    /* mail of our own is not checked */
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_INTERNAL, "a@y.test", "X-Discard: 1\n\n"), 0);
    assert_non_null(desk_dump(&d, "incoming"));
    desk_close(&d);
}

static void broken_table(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d, "header_checks = fail:broken\n");
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", message), SUBMIT_WRITE);
    assert_logged(&d, "header_checks map lookup problem");
    desk_close(&d);
}

static void body_limit(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d, "body_checks = inline:{{evil=REJECT}}\nbody_checks_size_limit = 10\n");
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", "\nevil\n"), SUBMIT_CONTENT);
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", "\n1234567890\nevil\n"), 0);
    desk_close(&d);
}

static void strict_options(void **state)
{
    static const struct {
        const char *settings, *content, *log;
        unsigned status;
    } rows[] = {
        {"strict_8bitmime = yes\n", "Subject: \303\274\n\n",
         "reject: mime-error improper use of 8-bit data in message header: Subject: \303\274 from "
         "localhost[127.0.0.1]; from=<s@x.test> to=<a@y.test>",
         SUBMIT_CONTENT},
        {"strict_8bitmime_body = yes\n", "\n\303\274\n",
         "mime-error improper use of 8-bit data in message body: ", SUBMIT_CONTENT},
        {"strict_8bitmime_body = yes\n", "Subject: \303\274\n\nbody\n", NULL, 0},
        {"strict_7bit_headers = yes\n", "\n\303\274\n", NULL, 0},
        {"strict_mime_encoding_domain = yes\n",
         "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n",
         "mime-error invalid message/* or multipart/* encoding domain: ", SUBMIT_CONTENT},
        {"strict_8bitmime = yes\nmime_nesting_limit = 1\n",
         "Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nA: 1\n\n",
         "mime-error MIME nesting exceeds safety limit: ", SUBMIT_CONTENT},
        {"", "Subject: \303\274\n\n\303\274\n", NULL, 0},
        {"non_empty_end_of_header_action = reject\n", "A: 1\nno header\n",
         "reject: mime-error message header was not terminated by empty line: no header from",
         SUBMIT_CONTENT},
        {"message_reject_characters = \\0\n", "A: 1\n\nno zero\n", NULL, 0},
        {"message_reject_characters = x\n", "A: 1\n\nbox\n",
         "reject: content box from localhost[127.0.0.1]; from=<s@x.test> to=<a@y.test> proto=ESMTP "
         "helo=<cl.test>: 5.7.1 disallowed character",
         SUBMIT_CONTENT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct desk d;
        unsigned status;
        desk_open(&d, rows[i].settings);
        status = desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", rows[i].content);
        if (status != rows[i].status)
            fail_msg("row %zu: status %u", i, status);
        if (rows[i].log && !desk_logged(&d, rows[i].log)) {
            desk_run(&d, "cat log");
            fail_msg("row %zu: not logged: %s", i, rows[i].log);
        }
        if (status)
            assert_true(d.reason.n > 0);
        desk_close(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions),        cmocka_unit_test(what_actions_leave),
        cmocka_unit_test(broken_table),   cmocka_unit_test(body_limit),
        cmocka_unit_test(strict_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
