/* Packed content: what was put comes out again, and nothing else does. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "queue/pack.h"
#include "unit/unit.h"

static const char key_a[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
                  key_b[] = "# short\n\n  0123456789ABCDEF0123456789abcdef  \n";

struct fixture {
    struct queue q;
    char directory[64];
    struct arena *a;
    struct queue_keys *a_only, *b_only, *b_then_a, *off_then_a;
};

static struct queue_keys *keys_of(const char *first, const char *second, const char *third)
{
    AUTO_ARENA a = arena_new(512);
    struct str text = arena_printf(a, "%s%s%s", first, second, third);
    struct queue_keys *k = NULL;
    struct why why;

    if (queue_keys_parse(text, "/key", &k, &why) != RC_OK)
        fail_msg("%s", why.text);
    return k;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    strcpy(f->directory, "/tmp/pack-test.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->q = (struct queue){.dir = open(f->directory, O_RDONLY | O_DIRECTORY),
                          .directory = str_of(f->directory),
                          .committers = calloc(1, sizeof(sem_t))};
    sem_init(f->q.committers, 0, 2);
    mkdirat(f->q.dir, "incoming", 0700);
    f->a = arena_new(4096);
    f->a_only = keys_of(key_a, "", "");
    f->b_only = keys_of(key_b, "", "");
    f->b_then_a = keys_of(key_b, key_a, "");
    f->off_then_a = keys_of("off\n", key_a, "");
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
    queue_keys_free(f->a_only);
    queue_keys_free(f->b_only);
    queue_keys_free(f->b_then_a);
    queue_keys_free(f->off_then_a);
    snprintf(command, sizeof command, "rm -rf %s", f->directory);
    free(f);
    return system(command);
}

/* ---- content that can be checked ---- */

/* Lines of one length; bytes differ, so that order shows. noise: cannot be compressed. */
static struct str line_of(struct arena *a, size_t n, size_t number, bool noise)
{
    char *p = arena_alloc(a, n + 1);
    unsigned long x = number * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005ul + 1442695040888963407ul;
        p[i] = noise ? (char)(x >> 56) : (char)('a' + (number + i / 97) % 26);
    }
    return (struct str){p, n};
}

struct content {
    size_t lines, bytes; /* of each line */
    bool noise;
};

struct written {
    int fd;
    long data_offset, data_end, size; /* size: without packing */
};

static struct written put_message(struct fixture *f, const struct content *c)
{
    AUTO_ARENA a = arena_new(4096);
    struct queue_file *file = NULL;
    struct written w = {.fd = -1};
    struct why why = {0};

    assert_int_equal(queue_file_create(&f->q, STR("incoming"), f->a, &file, &why), RC_OK);
    queue_file_put(file, REC_SENDER, STR("s@x.test"));
    queue_file_put(file, REC_FILTER, STR("the type of a content record"));
    queue_file_put(file, REC_MESSAGE, STR(""));
    w.data_offset = queue_file_offset(file);
    for (size_t i = 0; i < c->lines; i++) {
        queue_file_put(file, i % 7 == 3 ? REC_CONT : REC_NORM, line_of(a, c->bytes, i, c->noise));
        arena_reset(a);
    }
    w.size = queue_file_size(file) - w.data_offset;
    w.data_end = queue_file_end_content(file);
    assert_int_equal(queue_file_offset(file), w.data_end);
    queue_file_put(file, REC_EXTRACTED, STR(""));
    queue_file_put(file, REC_FILTER, STR("once more"));
    queue_file_put(file, REC_RCPT, STR("r@x.test"));
    queue_file_put(file, REC_END, STR(""));
    assert_int_equal(queue_file_commit(file, STR("incoming"), &w.fd, &why), RC_OK);
    return w;
}

/* Text with line ends, up to the end of the content. */
static enum rc get_text(int fd, long offset, const struct queue_keys *keys, struct buf *out,
                        struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct record_reader r;
    struct str payload;
    int type;

    buf_init(out, 64 * 1024 * 1024);
    record_reader_init(&r, fd, a, offset);
    record_reader_unpack(&r, keys);
    for (;;) {
        TRY(record_read(&r, true, &type, &payload, why));
        if (type == REC_EXTRACTED)
            return RC_OK;
        if (type != REC_NORM && type != REC_CONT)
            return FAIL(why, RC_PERM, "record type %d in the content", type);
        buf_add(out, payload);
        if (type == REC_NORM)
            buf_addc(out, '\n');
    }
}

static bool is_content(struct str text, const struct content *c)
{
    AUTO_ARENA a = arena_new(4096);

    for (size_t i = 0; i < c->lines; i++) {
        struct str line = line_of(a, c->bytes, i, c->noise);
        if (!str_has_prefix(text, line))
            return false;
        text = str_from(text, line.n);
        if (i % 7 != 3 && !str_has_prefix(text, STR("\n")))
            return false;
        text = str_from(text, i % 7 != 3);
        arena_reset(a);
    }
    return text.n == 0;
}

static void check_content(const struct written *w, const struct queue_keys *keys,
                          const struct content *c)
{
    struct why why = {0};
    AUTO_BUF text;

    if (get_text(w->fd, w->data_offset, keys, &text, &why) != RC_OK)
        fail_msg("%zu lines of %zu: %s", c->lines, c->bytes, why.text);
    assert_true(is_content(buf_str(&text), c));
}

static const struct content contents[] = {
    {0, 0, false},
    {1, 0, false},
    {1, 1, true},
    {3, 100, false},
    {1, PACK_RECORD_MAX - 1, true},
    {2, PACK_RECORD_MAX, true},
    {3, PACK_RECORD_MAX + 1, true},
    {2, PACK_PLAIN_MAX - 4, true}, /* fills a piece, with its head */
    {2, PACK_PLAIN_MAX - 3, true},
    {2, PACK_PLAIN_MAX + 1, false},
    {1, 1000000, true},
    {2, 1000000, false},
    {PACK_PLAIN_MAX / 8, 6, true}, /* records of 8 bytes: one piece exactly */
    {PACK_PLAIN_MAX / 8 + 1, 6, true},
    {PACK_PLAIN_MAX / 8 * 3, 6, false},
    {PACK_PLAIN_MAX, 0, false},
    {5000, 78, false},
    {5000, 998, true},
};
enum { CONTENTS = sizeof contents / sizeof *contents };

static void test_round_trip(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < CONTENTS * 4; i++) {
        const struct content *c = &contents[i / 4];
        struct written w;
        f->q.compresses = i & 1;
        f->q.keys = i & 2 ? f->a_only : NULL;
        w = put_message(f, c);
        check_content(&w, f->b_then_a, c);
        if ((i & 3) == 0)
            assert_int_equal(w.data_end - w.data_offset, w.size);
        if ((i & 3) == 1 && c->lines * c->bytes > 10000 && !c->noise)
            assert_true(w.data_end - w.data_offset < w.size / 2);
        if (c->bytes <= PACK_RECORD_MAX) /* the size does not depend on packing */
            assert_int_equal(w.size, c->lines * (c->bytes + 1 +
                                                 (c->bytes < 128     ? 1
                                                  : c->bytes < 16384 ? 2
                                                                     : 3)));
        close(w.fd);
    }
}

/* What packs at the end, and what is not packed at all. */
static void test_only_content_is_packed(void **state)
{
    struct fixture *f = *state;
    struct record_reader r;
    struct str payload;
    struct why why;
    struct written w;
    char types[32];
    size_t n = 0;
    int type;

    f->q.keys = f->a_only;
    w = put_message(f, &(struct content){5000, 20, true});
    record_reader_init(&r, w.fd, f->a, 0);
    while (n < sizeof types - 1 && record_read(&r, false, &type, &payload, &why) == RC_OK)
        types[n++] = (char)type;
    types[n] = '\0';
    assert_string_equal(types, "SLMZZXLRE");
    close(w.fd);
    f->q.keys = f->off_then_a;
    w = put_message(f, &(struct content){1, 20, true});
    assert_int_equal(w.data_end - w.data_offset, w.size);
    close(w.fd);
}

/* ---- what must not be accepted ---- */

static void check_refused(const struct written *w, const struct queue_keys *keys, const char *words)
{
    struct why why = {0};
    AUTO_BUF text;

    assert_int_equal(get_text(w->fd, w->data_offset, keys, &text, &why), RC_TEMP);
    if (strstr(why.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why.text, words);
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    struct content c = {3000, 40, true};
    struct written w;

    f->q.keys = f->a_only;
    w = put_message(f, &c);
    check_content(&w, f->a_only, &c);
    check_content(&w, f->b_then_a, &c);
    check_content(&w, f->off_then_a, &c);
    check_refused(&w, f->b_only, "a key that is not in /key (queue_encryption_key)");
    check_refused(&w, NULL, "queue_encryption_key is not set");
    close(w.fd);
    f->q.keys = f->b_then_a; /* the first encrypts */
    w = put_message(f, &c);
    check_content(&w, f->b_only, &c);
    check_refused(&w, f->a_only, "a key that is not in /key");
    close(w.fd);
}

struct piece {
    struct str bytes; /* the whole record */
};

/* The packed records of a file, and what stands before and behind them. */
static size_t take_pieces(struct fixture *f, const struct written *w, struct str *all,
                          struct piece *pieces, size_t max)
{
    char *p = arena_alloc(f->a, (size_t)w->data_end + 100);
    ssize_t size = pread(w->fd, p, (size_t)w->data_end + 100, 0);
    struct str rest, payload;
    struct why why;
    size_t n = 0;
    int type;

    *all = (struct str){p, (size_t)size};
    rest = str_head(str_from(*all, (size_t)w->data_offset), (size_t)(w->data_end - w->data_offset));
    while (rest.n && n < max) {
        pieces[n].bytes.p = rest.p;
        assert_int_equal(record_take(&rest, &type, &payload, &why), RC_OK);
        assert_int_equal(type, REC_PACKED);
        pieces[n].bytes.n = (size_t)(rest.p - pieces[n].bytes.p);
        n++;
    }
    return n;
}

/* A file like w with these pieces. */
static struct written with_pieces(struct fixture *f, const struct written *w, struct str all,
                                  const struct piece *const *pieces, size_t n)
{
    struct written copy = *w;
    char path[128];
    struct str end = str_from(all, (size_t)w->data_end);

    snprintf(path, sizeof path, "%s/copy", f->directory);
    copy.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(copy.fd, all.p, (size_t)w->data_offset), w->data_offset);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(write(copy.fd, pieces[i]->bytes.p, pieces[i]->bytes.n),
                         pieces[i]->bytes.n);
    assert_int_equal(write(copy.fd, end.p, end.n), end.n);
    return copy;
}

static void test_pieces_in_their_places(void **state)
{
    struct fixture *f = *state;
    struct content c = {4000, 40, true};
    struct piece mine[4], other[4];
    struct written w, w2, copy;
    struct str all, all2;

    for (int compresses = 0; compresses < 2; compresses++) {
        f->q.keys = f->a_only;
        f->q.compresses = compresses;
        w = put_message(f, &c);
        w2 = put_message(f, &c);
        assert_int_equal(take_pieces(f, &w, &all, mine, 4), 3);
        assert_int_equal(take_pieces(f, &w2, &all2, other, 4), 3);
        const struct {
            const struct piece *p[4];
            size_t n;
            const char *words; /* NULL: accepted */
        } rows[] = {
            {{&mine[0], &mine[1], &mine[2]}, 3, NULL},
            {{&mine[1], &mine[0], &mine[2]}, 3, "not in"},
            {{&mine[0], &mine[2], &mine[1]}, 3, "damaged"},
            {{&mine[0], &mine[2]}, 2, "damaged"},
            {{&mine[1], &mine[2]}, 2, "not in"},
            {{&mine[0], &mine[1]}, 2, "the end of the packed content is missing"},
            {{&mine[0], &mine[1], &mine[1], &mine[2]}, 4, "damaged"},
            {{&mine[0], &mine[1], &mine[2], &mine[2]}, 4, "not in its place"},
            {{&mine[0], &other[1], &mine[2]}, 3, "damaged"},
            {{&mine[0], &mine[1], &other[2]}, 3, "damaged"},
        };
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            copy = with_pieces(f, &w, all, rows[i].p, rows[i].n);
            if (rows[i].words)
                check_refused(&copy, f->a_only, rows[i].words);
            else
                check_content(&copy, f->a_only, &c);
            close(copy.fd);
        }
        close(w.fd);
        close(w2.fd);
    }
}

/* Any byte of the content that is another makes it unreadable, and never other than it was. */
static void test_damage(void **state)
{
    struct fixture *f = *state;
    struct content c = {9, 30, false};

    for (int way = 1; way < 4; way++) {
        struct written w;
        f->q.compresses = way & 1;
        f->q.keys = way & 2 ? f->a_only : NULL;
        w = put_message(f, &c);
        for (long at = w.data_offset; at < w.data_end; at++) {
            struct why why = {0};
            AUTO_BUF text;
            char byte, wrong;
            enum rc rc;
            assert_int_equal(pread(w.fd, &byte, 1, at), 1);
            wrong = (char)(byte ^ 1 << at % 8);
            assert_int_equal(pwrite(w.fd, &wrong, 1, at), 1);
            rc = get_text(w.fd, w.data_offset, f->a_only, &text, &why);
            if (at >= w.data_offset + 3) /* behind type and length of the record */
                assert_true(rc == RC_TEMP || is_content(buf_str(&text), &c));
            if (at >= w.data_offset + 3 && way & 2)
                assert_int_equal(rc, RC_TEMP);
            assert_int_equal(pwrite(w.fd, &byte, 1, at), 1);
        }
        check_content(&w, f->a_only, &c);
        close(w.fd);
    }
}

/* ---- the key file ---- */

static void test_key_texts(void **state)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "there is no key in it"},
        {"# only\n\n", "there is no key in it"},
        {"off\n", "there is no key in it"},
        {"00112233445566778899aabbccddeeff0\n", "/k, line 1: a key is 64 (or 32)"},
        {"\n00112233445566778899aabbccddeefg\n", "/k, line 2: a key is 64 (or 32)"},
        {"00112233445566778899aabbccddeeff\noff\n", "/k, line 2"},
        {"off\noff\n00112233445566778899aabbccddeeff\n", "/k, line 2"},
        {"00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff\n", "/k, line 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct queue_keys *k = NULL;
        struct why why = {0};
        assert_int_equal(queue_keys_parse(str_of(rows[i].text), "/k", &k, &why), RC_CONFIG);
        if (strstr(why.text, rows[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", why.text, rows[i].words);
    }
}

static void test_key_file(void **state)
{
    struct fixture *f = *state;
    static const struct {
        mode_t mode;
        const char *words; /* NULL: accepted */
    } rows[] = {
        {0600, NULL}, {0400, NULL}, {0604, "chmod 600"}, {0640, "chmod 600"}, {0620, "chmod 600"}};
    struct str path = arena_printf(f->a, "%s/key", f->directory),
               main_cf = arena_printf(f->a, "queue_encryption_key = %s\n", path.p);
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct config *config = NULL;
    struct why why = {0};
    struct queue_keys *k;
    int fd;

    assert_int_equal(config_load(&request, &config, &why), RC_OK);
    assert_int_equal(queue_keys_open(config, &k, &why), RC_CONFIG);
    assert_non_null(strstr(why.text, "No such file"));
    fd = open(path.p, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, key_a, sizeof key_a - 1), sizeof key_a - 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fchmod(fd, rows[i].mode);
        assert_int_equal(queue_keys_open(config, &k, &why), rows[i].words ? RC_CONFIG : RC_OK);
        assert_true(rows[i].words ? k == NULL && strstr(why.text, rows[i].words) : k != NULL);
        queue_keys_free(k);
    }
    close(fd);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_content_is_packed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces_in_their_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test(test_key_texts),
        cmocka_unit_test_setup_teardown(test_key_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
