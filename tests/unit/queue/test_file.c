/* Writing and reading queue files, moving them, marking recipients, log files. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue/queue.h"
#include "unit/unit.h"

struct fixture {
    struct queue q;
    char directory[64];
    struct arena *a;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    strcpy(f->directory, "/tmp/queue-test.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->q = (struct queue){.dir = open(f->directory, O_RDONLY | O_DIRECTORY),
                          .directory = str_of(f->directory),
                          .hashed = STR("deferred, defer"),
                          .hash_depth = 2,
                          .committers = calloc(1, sizeof(sem_t))};
    sem_init(f->q.committers, 0, 2);
    mkdirat(f->q.dir, "incoming", 0700);
    mkdirat(f->q.dir, "deferred", 0700);
    mkdirat(f->q.dir, "hold", 0700);
    mkdirat(f->q.dir, "bounce", 0700);
    mkdirat(f->q.dir, "defer", 0700);
    f->a = arena_new(4096);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    arena_free(f->a);
    close(f->q.dir);
    free(f->q.committers);
    snprintf(command, sizeof command, "rm -rf %s", f->directory);
    free(f);
    return system(command);
}

/* A message with n recipients, every third one done, every fifth in the extracted part. */
static struct queue_file *write_message(struct fixture *f, long n, size_t line_bytes)
{
    char *line = memset(arena_alloc(f->a, line_bytes + 1), 'x', line_bytes);
    struct queue_file *file = NULL;
    struct why why = {0};
    long data, end;
    char size[128];

    assert_int_equal(queue_file_create(&f->q, STR("incoming"), f->a, &file, &why), RC_OK);
    queue_file_putf(file, REC_SIZE, "%15d %15d %15d %15d %15d %15d", 0, 0, 0, 0, 0, 0);
    queue_file_putf(file, REC_TIME, "1795257429 579204");
    queue_file_putf(file, REC_ATTR, "create_time=1795257430");
    queue_file_putf(file, REC_ATTR, "log_client_name=localhost");
    queue_file_put(file, REC_SENDER, STR("s@x.test"));
    queue_file_putf(file, REC_WARN, "%15ld", 1795270000L);
    for (long i = 0; i < n; i++) {
        if (i % 5 == 4)
            continue;
        queue_file_putf(file, REC_ATTR, "dsn_orig_rcpt=rfc822;o%ld@x.test", i);
        queue_file_putf(file, REC_ORCPT, "o%ld@x.test", i);
        queue_file_putf(file, i % 3 == 2 ? REC_DONE : REC_RCPT, "r%ld@x.test", i);
    }
    queue_file_put(file, REC_MESSAGE, STR(""));
    data = queue_file_offset(file);
    queue_file_put(file, REC_NORM, STR("Subject: x"));
    for (int i = 0; i < 20; i++)
        queue_file_put(file, REC_NORM, (struct str){line, line_bytes});
    end = queue_file_offset(file);
    queue_file_put(file, REC_EXTRACTED, STR(""));
    queue_file_put(file, REC_FILTER, STR("smtp:[127.0.0.1]:10025"));
    for (long i = 4; i < n; i += 5) {
        queue_file_putf(file, REC_ATTR, "notify_flags=10");
        queue_file_putf(file, i % 3 == 2 ? REC_DONE : REC_RCPT, "r%ld@x.test", i);
    }
    queue_file_put(file, REC_END, STR(""));
    snprintf(size, sizeof size, "%15ld %15ld %15ld %15d %15ld %15d", end - data, data, n, 0,
             end - data, 1);
    queue_file_patch(file, 2, str_of(size));
    return file;
}

static size_t wanted(long n)
{
    size_t count = 0;

    for (long i = 0; i < n; i++)
        count += i % 3 != 2;
    return count;
}

static void check_envelope(struct fixture *f, int fd, struct str id, long n)
{
    struct message_ready m = {0};
    struct envelope_rest rest;
    struct why why = {0};

    if (queue_file_read_envelope(fd, id, SIZE_MAX, f->a, &m, &rest, &why) != RC_OK)
        fail_msg("%s", why.text);
    assert_str(m.sender, "s@x.test");
    assert_str(m.filter, "smtp:[127.0.0.1]:10025");
    assert_str(m.origin.client_name, "localhost");
    assert_int_equal(m.arrival_sec, 1795257429);
    assert_int_equal(m.arrival_usec, 579204);
    assert_int_equal(m.create_sec, 1795257430);
    assert_int_equal(m.warn_time, 1795270000);
    assert_int_equal(m.sendopts, 1);
    assert_true(m.complete);
    assert_int_equal(m.n_recipients, wanted(n));
    for (size_t i = 0; i < m.n_recipients; i++) {
        const struct recipient *r = &m.recipients[i];
        long number = strtol(r->address.p + 1, NULL, 10);
        if (number % 5 == 4) {
            assert_int_equal(r->dsn_notify, 10);
            assert_int_equal(r->original.n, 0);
        } else {
            assert_str(r->original, arena_printf(f->a, "o%ld@x.test", number).p);
            assert_str(r->dsn_orcpt, arena_printf(f->a, "rfc822;o%ld@x.test", number).p);
            assert_int_equal(r->dsn_notify, 0);
        }
    }
}

static void check_portions(struct fixture *f, int fd, struct str id, long n, size_t max)
{
    struct message_ready m = {0};
    struct envelope_rest rest = {0};
    struct why why = {0};
    struct recipient *r;
    size_t count, got;

    assert_int_equal(queue_file_read_envelope(fd, id, max, f->a, &m, &rest, &why), RC_OK);
    count = m.n_recipients;
    assert_int_equal(count + rest.unread, wanted(n));
    while (rest.unread) {
        size_t before = rest.unread;
        assert_int_equal(queue_file_read_recipients(fd, &rest, max, f->a, &r, &got, &why), RC_OK);
        assert_in_range(got, 1, max);
        assert_int_equal(rest.unread, before - got);
        for (size_t i = 0; i < got; i++)
            assert_true(strtol(r[i].address.p + 1, NULL, 10) % 5 == 4 ? r[i].dsn_notify == 10
                                                                      : r[i].dsn_orcpt.n > 0);
        count += got;
    }
    assert_int_equal(rest.offset, 0);
    assert_int_equal(count, wanted(n));
}

static void test_write_and_read(void **state)
{
    static const struct {
        long n;
        size_t line;
    } rows[] = {{1, 10}, {5, 100}, {60, 1000}, {1000, 2000}, {15, 200000}};
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct queue_file *file = write_message(f, rows[i].n, rows[i].line);
        struct str id = arena_copy(f->a, str_of(queue_file_id(file)));
        char path[QUEUE_PATH_SIZE];
        struct why why = {0};
        struct stat st;
        int fd = -1;

        if (queue_file_commit(file, i & 1 ? STR("hold") : STR("incoming"), &fd, &why) != RC_OK)
            fail_msg("%s", why.text);
        queue_path(&f->q, i & 1 ? STR("hold") : STR("incoming"), id, path);
        assert_int_equal(fstatat(f->q.dir, path, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        check_envelope(f, fd, id, rows[i].n);
        check_portions(f, fd, id, rows[i].n, 1);
        check_portions(f, fd, id, rows[i].n, 7);
        check_portions(f, fd, id, rows[i].n, 1000);
        close(fd);
    }
}

static void test_abandoned_file_goes(void **state)
{
    struct fixture *f = *state;
    struct arena *a = arena_new(1024);
    struct queue_file *file = NULL;
    char path[QUEUE_PATH_SIZE];
    struct why why = {0};

    assert_int_equal(queue_file_create(&f->q, STR("incoming"), a, &file, &why), RC_OK);
    queue_path(&f->q, STR("incoming"), str_of(queue_file_id(file)), path);
    assert_int_equal(faccessat(f->q.dir, path, F_OK, 0), 0);
    arena_free(a);
    assert_int_equal(faccessat(f->q.dir, path, F_OK, 0), -1);
}

static bool count_file(void *context, struct str id, const char *path)
{
    (void)path;
    assert_true(queue_id_is_valid(id));
    ++*(int *)context;
    return true;
}

static void test_move_and_mark(void **state)
{
    struct fixture *f = *state;
    struct queue_file *file = write_message(f, 2, 10);
    struct str id = arena_copy(f->a, str_of(queue_file_id(file)));
    struct message_ready m = {0};
    struct envelope_rest rest;
    struct why why = {0};
    char path[QUEUE_PATH_SIZE];
    int fd = -1, n = 0;

    assert_int_equal(queue_file_commit(file, STR("incoming"), &fd, &why), RC_OK);
    assert_int_equal(queue_move(&f->q, STR("incoming"), STR("deferred"), id, &why), RC_OK);
    assert_int_equal(queue_move(&f->q, STR("incoming"), STR("deferred"), id, &why), RC_NONE);
    queue_path(&f->q, STR("deferred"), id, path);
    assert_int_equal(path[strlen("deferred/")], id.p[0]);
    assert_int_equal(path[strlen("deferred/X/")], id.p[1]);
    assert_int_equal(queue_scan(&f->q, STR("deferred"), count_file, &n, &why), RC_OK);
    assert_int_equal(n, 1);

    assert_int_equal(queue_file_read_envelope(fd, id, SIZE_MAX, f->a, &m, &rest, &why), RC_OK);
    assert_int_equal(m.n_recipients, 2);
    assert_int_equal(queue_file_mark_done(fd, m.recipients[0].offset, &why), RC_OK);
    assert_int_equal(queue_file_mark_done(fd, m.recipients[0].offset, &why), RC_OK);
    assert_int_equal(queue_file_mark_done(fd, m.recipients[0].offset + 1, &why), RC_PERM);
    assert_int_equal(queue_file_set_warn_time(fd, m.warn_offset, -1, &why), RC_OK);
    assert_int_equal(queue_file_read_envelope(fd, id, SIZE_MAX, f->a, &m, &rest, &why), RC_OK);
    assert_int_equal(m.n_recipients, 1);
    assert_int_equal(m.warn_time, -1);
    close(fd);
    assert_int_equal(queue_remove(&f->q, STR("deferred"), id, &why), RC_OK);
    assert_int_equal(queue_remove(&f->q, STR("deferred"), id, &why), RC_NONE);
}

static void test_long_ids_hash_like_short_ones(void **state)
{
    struct fixture *f = *state;
    struct timespec t = {1795257429, 579204000};
    char brief[QUEUE_ID_SIZE], lengthy[QUEUE_ID_SIZE], a[QUEUE_PATH_SIZE], b[QUEUE_PATH_SIZE];

    queue_id_make(brief, t, 12345, false);
    queue_id_make(lengthy, t, 12345, true);
    queue_path(&f->q, STR("defer"), str_of(brief), a);
    queue_path(&f->q, STR("defer"), str_of(lengthy), b);
    assert_memory_equal(a, "defer/8/D/", 10);
    assert_memory_equal(b, "defer/8/D/", 10);
    queue_path(&f->q, STR("defer"), STR("A"), a);
    assert_string_equal(a, "defer/A/_/A");
    queue_path(&f->q, STR("active"), str_of(brief), a);
    assert_memory_equal(a, "active/8D", 9);
}

static void test_bounce_log(void **state)
{
    struct fixture *f = *state;
    struct recipient one = {
        .address = STR("a@x.test"), .original = STR("A@x.test"), .offset = 77, .dsn_notify = 4};
    struct recipient two = {.address = STR(""), .original = STR("o@x.test")};
    struct dsn d = {.status = STR("4.4.1"),
                    .action = STR("delayed"),
                    .reason = STR("connect to\n host: refused"),
                    .diag_type = STR("smtp"),
                    .diag_text = STR("450 no = yes"),
                    .mta_type = STR("dns"),
                    .mta_name = STR("mx.test")};
    struct bounce_log_entry *e = NULL;
    struct why why = {0};
    size_t n = 0;

    for (int compatible = 0; compatible < 2; compatible++) {
        assert_int_equal(
            bounce_log_append(&f->q, STR("defer"), STR("ABC12345"), &one, &d, compatible, &why),
            RC_OK);
        assert_int_equal(
            bounce_log_append(&f->q, STR("defer"), STR("ABC12345"), &two, &d, compatible, &why),
            RC_OK);
        assert_int_equal(bounce_log_read(&f->q, STR("defer"), STR("ABC12345"), f->a, &e, &n, &why),
                         RC_OK);
        assert_int_equal(n, 2);
        assert_str(e[0].recipient.address, "a@x.test");
        assert_str(e[0].recipient.original, "a@x.test");
        assert_int_equal(e[0].recipient.offset, 77);
        assert_int_equal(e[0].recipient.dsn_notify, 4);
        assert_str(e[0].dsn.reason, "connect to? host: refused");
        assert_str(e[0].dsn.diag_text, "450 no = yes");
        assert_str(e[0].dsn.mta_name, "mx.test");
        assert_str(e[1].recipient.address, "");
        assert_str(e[1].recipient.original, "o@x.test");
        assert_int_equal(bounce_log_remove(&f->q, STR("defer"), STR("ABC12345"), &why), RC_OK);
    }
    assert_int_equal(bounce_log_read(&f->q, STR("defer"), STR("ABC12345"), f->a, &e, &n, &why),
                     RC_NONE);
}

/* Pointers lead to text behind the end and back; padding is skipped; loops are found. */
static void test_pointers(void **state)
{
    struct fixture *f = *state;
    AUTO_BUF b;
    struct record_reader r;
    struct str payload;
    struct why why = {0};
    char name[] = "/tmp/queue-test.XXXXXX";
    int type, fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    buf_init(&b, 4096);
    record_put(&b, REC_NORM, STR("one"));
    record_put(&b, REC_POINTER, STR("              0"));
    record_put(&b, REC_PAD, STR("xxxx"));
    record_put(&b, REC_POINTER, STR("             53"));
    record_put(&b, REC_NORM, STR("three"));
    assert_int_equal(b.n, 5 + 17 + 6 + 17 + 7);
    record_put(&b, REC_END, STR("")); /* at 52 */
    b.n = 53;
    record_put(&b, REC_NORM, STR("two"));
    record_put(&b, REC_POINTER, STR("             45"));
    assert_int_equal(write(fd, b.p, b.n), (int)b.n);
    record_reader_init(&r, fd, f->a, 0);
    for (const char *const *want = (const char *const[]){"one", "two", "three", NULL}; *want;
         want++) {
        assert_int_equal(record_read(&r, true, &type, &payload, &why), RC_OK);
        assert_int_equal(type, REC_NORM);
        assert_str(payload, *want);
    }
    record_reader_init(&r, fd, f->a, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(record_read(&r, false, &type, &payload, &why), RC_OK);
    assert_str(payload, "three");
    assert_int_equal(r.offset, 45);
    assert_int_equal(pwrite(fd, "p\xf              5", 17, 58), 17);
    record_reader_init(&r, fd, f->a, 0);
    enum rc rc;
    while ((rc = record_read(&r, true, &type, &payload, &why)) == RC_OK)
        continue;
    assert_int_equal(rc, RC_PERM);
    close(fd);
}

/* What stands at the end of a file, and whether there is a place for notes. */
static void test_notes(void **state)
{
    static const struct {
        const char *tail;
        size_t n;
        bool has_place;
        long attempts;
        const char *split_from;
    } ends[] = {
        {"N\1aX\0E\0", 7, true, 0, ""},
        {"X\0E\0A\x13"
         "attempts=0000000007",
         25, true, 7, ""},
        {"X\0E\0A\xdsplit_from=AB", 19, true, 0, "AB"},
        {"E\0A\xdsplit_from=ABA\x13"
         "attempts=0000000012",
         38, true, 12, "AB"},
        {"E\0A\x13"
         "attempts=00000",
         18, false, 0, ""}, /* half of one */
        {"E\0A\x13"
         "attempts=0000000007X\0",
         25, false, 0, ""}, /* content */
        {"E\0A\3x=1", 7, true, 0, ""},
        {"X\0", 2, false, 0, ""},
        {"E\0p\1"
         "5",
         5, false, 0, ""}, /* a Milter's change, by Postfix */
        {"", 0, false, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int fd = memfd_create("queue", MFD_CLOEXEC);
        struct queue_notes notes;
        struct stat before, after;
        struct why why;
        assert_int_equal(write(fd, ends[i].tail, ends[i].n), ends[i].n);
        queue_file_read_notes(fd, &notes);
        assert_int_equal(notes.attempts, ends[i].attempts);
        assert_string_equal(notes.split_from, ends[i].split_from);
        notes.attempts++;
        assert_int_equal(queue_file_write_notes(fd, &notes, &why) == RC_OK, ends[i].has_place);
        if (ends[i].has_place) {
            assert_int_equal(fstat(fd, &before), 0);
            notes.attempts += 10;
            assert_int_equal(queue_file_write_notes(fd, &notes, &why), RC_OK);
            notes = (struct queue_notes){0};
            queue_file_read_notes(fd, &notes);
            assert_int_equal(notes.attempts, ends[i].attempts + 11);
            assert_string_equal(notes.split_from, ends[i].split_from);
            assert_int_equal(fstat(fd, &after), 0);
            assert_int_equal(before.st_size, after.st_size);
        }
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notes),
        cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandoned_file_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move_and_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_ids_hash_like_short_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounce_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pointers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
