#include "unit/submit/desk.h"
#include "util/clock.h"

static const char body[] = "From: s@x.test\nSubject: hi\nDate: Sat, 21 Nov 2026 10:35:00 +0000\n"
                           "Message-Id: <1@x.test>\n\nbody\n";

/* ---- the file ---- */

static void file_of_smtp_message(void **state)
{
    struct desk d;
    char want[2048];
    const char *id, *dump;
    struct recipient r = {.dsn_orcpt = STR("rfc822;a@y.test"), .address = STR("a@y.test")};
    long created, received;

    (void)state;
    desk_open(&d, "");
    desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "s@x.test");
    submit_attribute(d.message, "client_name", STR("localhost"));
    submit_attribute(d.message, "client_address_type", STR("2"));
    submit_recipient(d.message, &r);
    r.dsn_notify = 10;
    r.dsn_orcpt = STR("rfc822;b@y.test");
    r.address = STR("b@y.test");
    submit_recipient(d.message, &r);
    submit_prepend_header(d.message, STR("Received: from cl.test\n\tby mx.example.test; date"));
    desk_content(&d, body);
    id = submit_queue_id(d.message);
    assert_int_equal(desk_finish(&d), 0);
    dump = desk_dump(&d, "incoming");
    assert_non_null(dump);
    assert_int_equal(sscanf(strstr(dump, "create_time="), "create_time=%ld", &created), 1);
    received = clock_seconds();
    assert_in_range(created, received - 5, received);
    snprintf(want, sizeof want,
             "C             155             565               2              20             155"
             "               0\n"
             "T 1795257300 5\n"
             "A create_time=%ld\n"
             "A log_ident=%s\n"
             "A rewrite_context=local\n"
             "S s@x.test\n"
             "A log_client_name=localhost\n"
             "A log_client_address=127.0.0.1\n"
             "A log_client_port=4711\n"
             "A log_message_origin=localhost[127.0.0.1]\n"
             "A log_helo_name=cl.test\n"
             "A log_protocol_name=ESMTP\n"
             "A client_name=localhost\n"
             "A client_address_type=2\n"
             "A dsn_orig_rcpt=rfc822;a@y.test\n"
             "O a@y.test\n"
             "R a@y.test\n"
             "A notify_flags=10\n"
             "A dsn_orig_rcpt=rfc822;b@y.test\n"
             "O b@y.test\n"
             "R b@y.test\n"
             "M \n"
             "N Received: from cl.test\n"
             "N \tby mx.example.test; date\n"
             "N From: s@x.test\n"
             "N Subject: hi\n"
             "N Date: Sat, 21 Nov 2026 10:35:00 +0000\n"
             "N Message-Id: <1@x.test>\n"
             "N \n"
             "N body\n"
             "X \n"
             "A message_id=<1@x.test>\n"
             "E \n",
             created, id);
    /* offsets depend on the length of the id */
    assert_string_equal(strchr(dump, '\n'), strchr(want, '\n'));
    assert_logged(&d, "message-id=<1@x.test>");
    desk_close(&d);
}

static void size_record(void **state)
{
    struct desk d;
    long n[6], offset = 0, message = 0, extracted = 0;
    char path[128];
    struct record_reader r;
    struct str payload;
    struct why why;
    struct stat st;
    int type, fd;

    (void)state;
    desk_open(&d, "");
    desk_begin(&d, SUBMIT_FLAGS_EXTERNAL | SUBMIT_SMTPUTF8 | SUBMIT_REQUIRETLS, "s@x.test");
    desk_recipient(&d, "a@y.test");
    desk_content(&d, body);
    assert_int_equal(desk_finish(&d), 0);
    snprintf(path, sizeof path, "%s/incoming/%s", d.dir, submit_queue_id(d.message));
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    record_reader_init(&r, fd, d.arena, 0);
    assert_int_equal(record_read(&r, true, &type, &payload, &why), RC_OK);
    assert_int_equal(payload.n, 95);
    assert_int_equal(sscanf(arena_text(d.arena, payload), "%ld %ld %ld %ld %ld %ld", n, n + 1,
                            n + 2, n + 3, n + 4, n + 5),
                     6);
    while (record_read(&r, true, &type, &payload, &why) == RC_OK) {
        if (type == REC_MESSAGE)
            message = r.offset;
        if (type == REC_EXTRACTED)
            extracted = r.offset;
        offset = r.offset;
    }
    assert_int_equal(n[1], message + 2);
    assert_int_equal(n[0], extracted - n[1]);
    assert_int_equal(n[2], 1);
    assert_int_equal(n[3], 0);
    assert_int_equal(n[4], n[0]);
    assert_int_equal(n[5], 1 | 32);
    assert_int_equal(offset + 2, st.st_size);
    close(fd);
    desk_close(&d);
}

static void file_of_local_message(void **state)
{
    struct desk d;
    const char *dump;
    struct recipient r = {.address = STR("root")};

    (void)state;
    desk_open(&d, "delay_warning_time = 4h\n");
    desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "root");
    d.begin.origin = (struct origin){.rewrite_context = STR("local")};
    d.begin.full_name = STR("Charlie Root");
    d.begin.envid = STR("env1");
    d.begin.dsn_ret = 2;
    d.begin.trace_flags = 1024;
    d.begin.verp = STR("+=");
    d.begin.encoding = STR("8bit");
    submit_recipient(d.message, &r);
    desk_content(&d, "Subject: x\nTo: root\n\n");
    assert_int_equal(desk_finish(&d), 0);
    dump = desk_records(&d, "incoming", "AFSVWORL");
    dump = strchr(dump, '\n') + 1; /* create_time */
    assert_true(str_has_prefix(str_of(dump), STR("A envelope_id=env1\n"
                                                 "A ret_flags=2\n"
                                                 "A rewrite_context=local\n"
                                                 "F Charlie Root\n"
                                                 "S root@example.test\n"
                                                 "A trace_flags=1024\n"
                                                 "A encoding=8bit\n"
                                                 "A log_message_origin=local\n"
                                                 "V +=\n"
                                                 "W ")));
    assert_non_null(strstr(dump, "W      1795271700\nA dsn_orig_rcpt=rfc822;root@example.test\n"
                                 "O root\nR root@example.test\n"));
    desk_close(&d);
}

/* ---- hand-over ---- */

static void handed_over(void **state)
{
    struct desk d;
    struct ipc c;
    struct message_ready m = {0};
    struct stat st, file;
    struct why why = {0};
    char path[128];
    int fd = -1, accepted;

    (void)state;
    desk_open(&d, "relayhost = [relay.test]:26\n");
    desk_listen(&d);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a+x@y.test bob@example.test", body),
                         0);
        if (i == 0) {
            accepted = desk_accept(d.qmgr);
            assert_true(accepted >= 0);
            ipc_init(&c, accepted, 5000);
        }
        if (ipc_read_message_ready(&c, d.arena, &m, &fd, &why) != RC_OK)
            fail_msg("%s", why.text);
        assert_str(m.queue_id, submit_queue_id(d.message));
        assert_str(m.sender, "s@x.test");
        assert_true(m.complete);
        assert_int_equal(m.arrival_sec, 1795257300);
        assert_int_equal(m.n_recipients, 2);
        assert_str(m.recipients[0].address, "a+x@y.test");
        assert_str(m.recipients[0].transport, "smtp");
        assert_str(m.recipients[0].nexthop, "[relay.test]:26");
        assert_str(m.recipients[1].transport, "local");
        assert_str(m.origin.client_name, "localhost");
        snprintf(path, sizeof path, "%s/incoming/%s", d.dir, submit_queue_id(d.message));
        assert_int_equal(stat(path, &file), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_ino, file.st_ino);
        assert_int_equal(queue_file_mark_done(fd, m.recipients[1].offset, &why), RC_OK);
        assert_int_not_equal(fd_lock(open(path, O_RDWR | O_CLOEXEC), true, false, &why), RC_OK);
        close(fd);
    }
    ipc_done(&c);
    /* another qmgr */
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", body), 0);
    accepted = desk_accept(d.qmgr);
    assert_true(accepted >= 0);
    ipc_init(&c, accepted, 5000);
    assert_int_equal(ipc_read_message_ready(&c, d.arena, &m, NULL, &why), RC_OK);
    assert_str(m.queue_id, submit_queue_id(d.message));
    ipc_done(&c);
    desk_close(&d);
}

static void nobody_there(void **state)
{
    struct desk d;
    char trigger = 0;
    int accepted;

    (void)state;
    desk_open(&d, "");
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test", body), 0);
    assert_non_null(desk_dump(&d, "incoming"));
    desk_listen(&d);
    accepted = desk_accept(d.qmgr);
    assert_int_equal(read(accepted, &trigger, 1), 1);
    assert_int_equal(trigger, 'I'); /* look into incoming/ for what was missed */
    close(accepted);
    desk_close(&d);
}

/* ---- ends ---- */

static int count_files(struct desk *d, const char *queue)
{
    char path[96];
    int n = 0;
    DIR *dir;

    snprintf(path, sizeof path, "%s/%s", d->dir, queue);
    dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void other_ends(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d, "hopcount_limit = 3\n");
    /* forgotten */
    desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "s@x.test");
    assert_int_equal(count_files(&d, "incoming"), 1);
    arena_reset(d.arena);
    assert_int_equal(count_files(&d, "incoming"), 0);
    assert_logged(&d, "removed (canceled)");
    /* discarded */
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL | SUBMIT_DISCARD, "a@y.test", body), 0);
    assert_int_equal(count_files(&d, "incoming"), 0);
    assert_logged(&d, "removed (discarded)");
    /* held */
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL | SUBMIT_HOLD, "a@y.test", body), 0);
    assert_int_equal(count_files(&d, "incoming"), 0);
    assert_int_equal(count_files(&d, "hold"), 1);
    /* refused */
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "", body), SUBMIT_NO_RECIPIENTS);
    assert_int_equal(desk_send(&d, SUBMIT_FLAGS_EXTERNAL, "a@y.test",
                               "Received: 1\nReceived: 2\nReceived: 3\n\n"),
                     SUBMIT_HOPS);
    assert_logged(&d, "warning: ");
    assert_logged(&d, "message rejected: hopcount exceeded");
    assert_int_equal(count_files(&d, "incoming"), 0);
    desk_close(&d);
}

static void too_big(void **state)
{
    struct desk d;
    char line[1001];

    (void)state;
    memset(line, 'x', sizeof line);
    line[1000] = '\0';
    desk_open(&d, "");
    desk_begin(&d, SUBMIT_FLAGS_EXTERNAL, "s@x.test");
    desk_recipient(&d, "a@y.test");
    for (int i = 0; i < 30; i++)
        submit_line(d.message, str_of(line), false);
    assert_int_equal(submit_status(d.message), SUBMIT_SIZE);
    assert_int_equal(desk_finish(&d), SUBMIT_SIZE);
    assert_string_equal(submit_outcome(SUBMIT_SIZE)->dsn, "5.3.4");
    assert_logged(&d, "queue file size limit exceeded");
    assert_int_equal(count_files(&d, "incoming"), 0);
    desk_close(&d);
}

static void no_space(void **state)
{
    struct desk d;
    struct why why = {0};

    (void)state;
    desk_open(&d, "queue_minfree = 9000000000000000\n");
    d.begin = (struct submit_begin){.sender = STR("s@x.test")};
    assert_int_equal(submit_begin(d.lib, &d.begin, d.arena, &d.log, &d.message, &why), RC_TEMP);
    assert_non_null(strstr(why.text, "not enough free space"));
    desk_close(&d);
}

static void milters_are_refused(void **state)
{
    struct desk d;
    struct why why = {0};
    struct submit_library *lib = NULL;
    struct config *other;
    const struct config_setting milter = {STR("smtpd_milters"), STR("inet:127.0.0.1:1"), STR_NONE};

    (void)state;
    desk_open(&d, "");
    assert_int_equal(config_overlay(d.config, &milter, 1, &other, &why), RC_OK);
    assert_int_equal(submit_open(other, d.rewriter, &d.log, &lib, &why), RC_CONFIG);
    assert_non_null(strstr(why.text, "smtpd_milters"));
    config_free(other);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_of_smtp_message),
        cmocka_unit_test(size_record),
        cmocka_unit_test(file_of_local_message),
        cmocka_unit_test(handed_over),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(other_ends),
        cmocka_unit_test(too_big),
        cmocka_unit_test(no_space),
        cmocka_unit_test(milters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
