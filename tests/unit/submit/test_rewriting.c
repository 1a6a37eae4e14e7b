#include "unit/submit/desk.h"

/* Recipients, blanks between -> R records in the file, blanks between. */
struct row {
    const char *settings, *recipients, *found;
    unsigned status;
};

static void check_recipients(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct desk d;
        unsigned status;
        struct str found = STR(""), rest;
        desk_open(&d, rows[i].settings);
        status = desk_send(&d, SUBMIT_FLAGS_EXTERNAL, rows[i].recipients, "To: x@y.test\n\nbody\n");
        if (status != rows[i].status)
            fail_msg("row %zu: status %u " STR_FMT, i, status, STR_ARG(d.reason));
        if (status == 0) {
            rest = str_of(desk_records(&d, "incoming", "R"));
            while (rest.n) {
                struct str line = str_cut(&rest, '\n');
                if (line.n)
                    found = arena_printf(d.arena, STR_FMT "%s" STR_FMT, STR_ARG(found),
                                         found.n ? " " : "", STR_ARG(str_from(line, 2)));
            }
            if (!str_eq(found, str_of(rows[i].found)))
                fail_msg("row %zu: got " STR_FMT, i, STR_ARG(found));
        }
        desk_close(&d);
    }
}

static void recipients(void **state)
{
    static const struct row rows[] = {
        {"", "a@y.test", "a@y.test", 0},
        {"", "a", "a@example.test", 0},
        {"", "a@y.test A@Y.test b@y.test a@y.test", "a@y.test b@y.test", 0},
        {"enable_original_recipient = no\n"
         "recipient_canonical_maps = inline:{x@y.test=a@y.test}\n",
         "x@y.test a@y.test", "a@y.test", 0},
        {"recipient_canonical_maps = inline:{x@y.test=a@y.test}\n", "x@y.test a@y.test",
         "a@y.test a@y.test", 0},
        /* canonical */
        {"canonical_maps = inline:{a@y.test=b@y.test}\n", "a@y.test", "b@y.test", 0},
        {"canonical_maps = inline:{a@y.test=b@y.test, b@y.test=c@y.test}\n", "a@y.test", "c@y.test",
         0},
        {"canonical_maps = inline:{a@y.test=b@y.test}\ncanonical_classes = envelope_sender\n",
         "a@y.test", "a@y.test", 0},
        {"canonical_maps = inline:{@y.test=@z.test}\n", "a@y.test b@y.test", "a@z.test b@z.test",
         0},
        {"canonical_maps = inline:{a@y.test=b}\n", "a+ext@y.test", "b+ext@example.test", 0},
        {"canonical_maps = inline:{a@y.test=b}\npropagate_unmatched_extensions =\n", "a+ext@y.test",
         "b@example.test", 0},
        {"recipient_canonical_maps = inline:{a=b}\n", "a@example.test a@y.test",
         "b@example.test a@y.test", 0},
        {"sender_canonical_maps = inline:{a@y.test=b@y.test}\n", "a@y.test", "a@y.test", 0},
        {"canonical_maps = inline:{a@y.test=b@y.test, b@y.test=a@y.test}\n", "a@y.test", "",
         SUBMIT_WRITE},
        {"canonical_maps = fail:x\n", "a@y.test", "", SUBMIT_WRITE},
        /* masquerade: not for envelope recipients by default */
        {"masquerade_domains = y.test\n", "a@h.y.test", "a@h.y.test", 0},
        {"masquerade_domains = !no.y.test y.test\nmasquerade_classes = envelope_recipient\n"
         "masquerade_exceptions = root\n",
         "a@h.y.test a@y.test root@h.y.test a@x.no.y.test a@hy.test",
         "a@y.test a@y.test root@h.y.test a@x.no.y.test a@hy.test", 0},
        /* virtual aliases */
        {"virtual_alias_maps = inline:{{a@y.test=b@y.test, c}}\n", "a@y.test",
         "b@y.test c@example.test", 0},
        {"virtual_alias_maps = inline:{{a@y.test=a@y.test b@y.test}}\n", "a@y.test",
         "a@y.test b@y.test", 0},
        {"virtual_alias_maps = inline:{{a@y.test=b@y.test}, {b@y.test=c@y.test, d@y.test}}\n",
         "a@y.test", "c@y.test d@y.test", 0},
        {"virtual_alias_maps = inline:{@y.test=@z.test}\n", "a@y.test", "a@z.test", 0},
        {"virtual_alias_maps = inline:{a@y.test=b@z.test}\n", "a+x@y.test", "b+x@z.test", 0},
        {"virtual_alias_maps = inline:{{a@y.test=\"two words\"@z.test}}\n", "a@y.test",
         "two words@z.test", 0},
        {"virtual_alias_maps = inline:{a@y.test=b@y.test, b@y.test=a@y.test}\n", "a@y.test", "",
         SUBMIT_DEFER},
        {"virtual_alias_maps = inline:{{a@y.test=b c d e}}\nvirtual_alias_expansion_limit = 3\n",
         "a@y.test", "", SUBMIT_DEFER},
        {"virtual_alias_maps = inline:{a@y.test=bbbbbbbbbbbbbbbbbb@y.test}\n"
         "virtual_alias_address_length_limit = 10\n",
         "a@y.test", "", SUBMIT_DEFER},
        {"virtual_alias_maps = inline:{a@y.test=b, b@example.test=c, c@example.test=d}\n"
         "virtual_alias_recursion_limit = 2\n",
         "a@y.test", "", SUBMIT_DEFER},
        {"virtual_alias_maps = fail:x\n", "a@y.test", "", SUBMIT_WRITE},
        /* blind copies */
        {"always_bcc = all@y.test\n", "a@y.test", "a@y.test all@y.test", 0},
        {"always_bcc = a@y.test\nenable_original_recipient = no\n", "a@y.test", "a@y.test", 0},
        {"sender_bcc_maps = inline:{s@x.test=boss}\n", "a@y.test", "boss@example.test a@y.test", 0},
        {"recipient_bcc_maps = inline:{@y.test=copy@z.test}\n", "a@y.test b@w.test",
         "a@y.test copy@z.test b@w.test", 0},
        {"recipient_bcc_maps = static:copy@z.test\n", "a@y.test b@w.test",
         "a@y.test copy@z.test b@w.test", 0},
        {"recipient_bcc_maps = fail:x\n", "a@y.test", "", SUBMIT_WRITE},
    };

    (void)state;
    check_recipients(rows, COUNT(rows));
}

static void blind_copies_ask_for_no_notice(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d, "always_bcc = all@y.test\n");
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", "Message-Id: <1>\n\n"), 0);
    assert_non_null(
        strstr(desk_dump(&d, "incoming"),
               "X \nA message_id=<1>\nA notify_flags=1\nO all@y.test\nR all@y.test\nE "));
    /* nor for mail of our own */
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_INTERNAL, "a@y.test", "Message-Id: <1>\n\n"), 0);
    assert_null(strstr(desk_dump(&d, "incoming"), "all@y.test"));
    desk_close(&d);
}

static void mapping_can_be_off(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d, "canonical_maps = static:x@y.test\nvirtual_alias_maps = static:x@y.test\n");
    assert_int_equal(
        desk_send(&d, SUBMIT_FLAGS_EXTERNAL & ~SUBMIT_MAP_OK, "a@y.test", "To: b@y.test\n\n"), 0);
    assert_string_equal(desk_records(&d, "incoming", "SR"), "S s@x.test\nR a@y.test\n");
    desk_close(&d);
}

static void utf8_is_noticed(void **state)
{
    struct desk d;
    const char *dump;

    (void)state;
    desk_open(&d, "");
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL | SUBMIT_AUTO_UTF8, "gr\303\274n@y.test",
                               "Subject: \303\274\n\n"),
                     0);
    dump = desk_dump(&d, "incoming");
    assert_int_equal(strtol(dump + 2 + 5 * 16, NULL, 10), 2 | 8);
    desk_close(&d);
}

/* ---- header fields ---- */

struct header_row {
    const char *settings, *context, *in, *out;
};

static void headers(void **state)
{
    static const struct header_row rows[] = {
        {"", "local", "From: joe\nTo: a, B <b>, c@d.test\nMessage-Id: <1>\nDate: now\n\n",
         "From: joe@example.test\nTo: a@example.test, B <b@example.test>, c@d.test\n"
         "Message-Id: <1>\nDate: now\n\n"},
        {"", "remote", "From: joe\nTo: a\n\n", "From: joe\nTo: a\n\n"},
        {"remote_header_rewrite_domain = domain.invalid\n", "remote",
         "From: joe\nMessage-Id: <1>\nDate: now\n\n",
         "From: joe@domain.invalid\nMessage-Id: <1>\nDate: now\n\n"},
        {"", "remote", "Bcc: x@y\nContent-Length: 5\nReturn-Path: <x>\nResent-Bcc: a\nA: 1\n\n",
         "A: 1\n\n"},
        {"message_drop_headers =\n", "remote", "Bcc: x@y\nA: 1\n\n", "Bcc: x@y\nA: 1\n\n"},
        {"canonical_maps = inline:{joe@example.test=Joe.Doe@y.test}\n", "local",
         "From: joe (x),\n\tJim\nSubject: joe\nMessage-Id: <1>\nDate: now\n\n",
         "From: Joe.Doe@y.test (x),\n\tJim@example.test\nSubject: joe\nMessage-Id: <1>\nDate: now\n"
         "\n"},
        {"canonical_maps = inline:{joe@example.test=j}\n", "remote", "From: joe@example.test\n\n",
         "From: joe@example.test\n\n"},
        {"sender_canonical_maps = static:s@y.test\nrecipient_canonical_maps = static:r@y.test\n",
         "local", "From: a\nTo: b\nReply-To: c\nCc: d\nMessage-Id: <1>\nDate: now\n\n",
         "From: s@y.test\nTo: r@y.test\nReply-To: s@y.test\nCc: r@y.test\nMessage-Id: <1>\n"
         "Date: now\n\n"},
        {"masquerade_domains = y.test\n", "local",
         "From: a@h.y.test\nTo: b@h.y.test\nMessage-Id: <1>\nDate: now\n\n",
         "From: a@y.test\nTo: b@y.test\nMessage-Id: <1>\nDate: now\n\n"},
        {"undisclosed_recipients_header = To: undisclosed-recipients:;\n", "local",
         "From: a@y.test\nMessage-Id: <1>\nDate: now\n\n",
         "From: a@y.test\nMessage-Id: <1>\nDate: now\nTo: undisclosed-recipients:;\n\n"},
        {"undisclosed_recipients_header = To: undisclosed-recipients:;\n", "local",
         "From: a@y.test\nMessage-Id: <1>\nDate: now\nCc: x@y.test\n\n",
         "From: a@y.test\nMessage-Id: <1>\nDate: now\nCc: x@y.test\n\n"},
        {"", "remote", "Subject : blank\n\n", "Subject: blank\n\n"},
        {"", "remote", "not a header\n", "\nnot a header\n"},
        {"non_empty_end_of_header_action = add_header\n", "remote", "A: 1\nnot a header\n",
         "A: 1\nMIME-Error: message header was not terminated by empty line\n\nnot a header\n"},
        {"", "remote", "A: 1\n\nstray\rCR\n", "A: 1\n\nstray CR\n"},
        {"cleanup_replace_stray_cr_lf = no\n", "remote", "A: 1\n\nstray\rCR\n",
         "A: 1\n\nstray\rCR\n"},
        {"message_strip_characters = \\1x\n", "remote", "A: 1\n\nax\001b\n", "A: 1\n\nab\n"},
        {"", "remote", "A: 1\n", "A: 1\n"},
        {"force_mime_input_conversion = yes\n", "remote",
         "Content-Transfer-Encoding: 8bit\n\n\303\274\n",
         "Content-Transfer-Encoding: quoted-printable\n\n=C3=BC\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct desk d;
        unsigned status;
        desk_open(&d, rows[i].settings);
        desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "s@x.test");
        d.begin.origin.rewrite_context = str_of(rows[i].context);
        desk_recipient(&d, "a@y.test");
        desk_content(&d, rows[i].in);
        status = desk_finish(&d);
        if (status)
            fail_msg("row %zu: status %u", i, status);
        if (strcmp(desk_text(&d), rows[i].out) != 0)
            fail_msg("row %zu: got %s", i, desk_text(&d));
        desk_close(&d);
    }
}

static void missing_fields(void **state)
{
    struct desk d;
    const char *text, *id;

    (void)state;
    setenv("TZ", "UTC0", 1);
    tzset();
    desk_open(&d, "");
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", "Subject: x\n\n"), 0);
    text = desk_text(&d);
    id = submit_queue_id(d.message);
    assert_non_null(strstr(text, "Subject: x\nMessage-Id: <20"));
    assert_non_null(strstr(text, arena_printf(d.arena,
                                              ".%s@mx.example.test>\n"
                                              "Date: Sat, 21 Nov 2026 10:35:00 +0000 (UTC)\n"
                                              "From: s@x.test\n\n",
                                              id)
                                     .p));
    /* by hand forwarded again */
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test",
                               "Message-Id: <1>\nResent-To: b@y.test\n\n"),
                     0);
    text = desk_text(&d);
    assert_non_null(strstr(text, "\nResent-Message-Id: <20"));
    assert_non_null(strstr(text, "\nResent-Date: Sat"));
    assert_non_null(strstr(text, "\nResent-From: s@x.test\n"));
    assert_logged(&d, "resent-message-id=<20");
    /* strangers must do it themselves */
    arena_reset(d.arena);
    desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "s@x.test");
    d.begin.origin.rewrite_context = STR("remote");
    desk_recipient(&d, "a@y.test");
    desk_content(&d, "Subject: x\n\n");
    assert_int_equal(desk_finish(&d), 0);
    assert_string_equal(desk_text(&d), "Subject: x\n\n");
    assert_logged(&d, "message-id=<>");
    desk_close(&d);
}

static void full_names(void **state)
{
    static const struct {
        const char *settings, *name, *sender, *from;
    } rows[] = {
        {"", "Joe Doe", "joe@y.test", "From: Joe Doe <joe@y.test>\n"},
        {"", "Doe, Joe \"J\"", "joe@y.test", "From: \"Doe, Joe \\\"J\\\"\" <joe@y.test>\n"},
        {"", "J\303\274", "joe@y.test", "From: =?utf-8?Q?J=C3=BC?= <joe@y.test>\n"},
        {"header_from_format = obsolete\n", "Joe Doe", "joe@y.test",
         "From: joe@y.test (Joe Doe)\n"},
        {"", "", "", "From: MAILER-DAEMON\n"},
        {"", "", "two words@y.test", "From: \"two words\"@y.test\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct desk d;
        desk_open(&d, rows[i].settings);
        desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, rows[i].sender);
        d.begin.full_name = str_of(rows[i].name);
        desk_recipient(&d, "a@y.test");
        desk_content(&d, "\n");
        assert_int_equal(desk_finish(&d), 0);
        if (!strstr(desk_text(&d), rows[i].from))
            fail_msg("row %zu: got %s", i, desk_text(&d));
        desk_close(&d);
    }
}

/* What a client sends first must not become part of the header put in front of it. */
static void our_header_stays_whole(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {" continued\n", "Received: x\n\n continued\n"},
        {"From joe Mon\nA: 1\n\n", "Received: x\nX-Mailbox-Line: From joe Mon\nA: 1\n\n"},
        {">From joe Mon\n\n", "Received: x\nX-Mailbox-Line: >From joe Mon\n\n"},
        {"\nbody\n", "Received: x\n\nbody\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct desk d;
        desk_open(&d, "");
        desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "s@x.test");
        d.begin.origin.rewrite_context = STR("remote");
        desk_recipient(&d, "a@y.test");
        submit_prepend_header(d.message, STR("Received: x"));
        desk_content(&d, rows[i].in);
        assert_int_equal(desk_finish(&d), 0);
        assert_string_equal(desk_text(&d), rows[i].out);
        desk_close(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipients),
        cmocka_unit_test(blind_copies_ask_for_no_notice),
        cmocka_unit_test(mapping_can_be_off),
        cmocka_unit_test(utf8_is_noticed),
        cmocka_unit_test(headers),
        cmocka_unit_test(missing_fields),
        cmocka_unit_test(full_names),
        cmocka_unit_test(our_header_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
