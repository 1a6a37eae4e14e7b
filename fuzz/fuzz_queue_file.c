/* Queue files: records in all ways of reading, also packed ones, the envelope as a whole and in
 * portions. */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "queue/queue.h"
#include "util/file.h"

/* Whatever stands there, reading comes to an end, and what was read lies within the file. */
static void read_records(int fd, struct arena *a, size_t size, int way)
{
    struct record_reader r;
    struct str payload;
    struct why why;
    int type;

    record_reader_init(&r, fd, a, 0);
    for (;;) {
        enum rc rc = way == 2 ? record_read_shown(&r, &type, &payload, &why)
                              : record_read(&r, way == 1, &type, &payload, &why);
        if (rc != RC_OK)
            break;
        FUZZ_CHECK(r.offset >= 0 && (size_t)r.offset + payload.n < size);
        FUZZ_CHECK(way != 1 || (type != REC_POINTER && type != REC_PAD));
    }
}

/* A piece is good once, and in its place only. */
static void read_unpacked(int fd, struct arena *a, size_t size)
{
    static const char key[] = "000102030405060708090a0b0c0d0e0f"; /* of the corpus */
    struct queue_keys *keys = NULL;
    struct record_reader r;
    struct str payload;
    struct why why;
    enum rc rc;
    int type;

    FUZZ_CHECK(queue_keys_parse(str_of(key), "key", &keys, &why) == RC_OK);
    record_reader_init(&r, fd, a, 0);
    record_reader_unpack(&r, keys);
    while ((rc = record_read(&r, true, &type, &payload, &why)) == RC_OK)
        FUZZ_CHECK(r.offset >= 0 && (size_t)r.offset < size && type != REC_PACKED);
    FUZZ_CHECK(rc == RC_NONE || why.rc == rc);
    queue_keys_free(keys);
}

/* What we take apart we put together to the same bytes. */
static void take_and_put(struct str bytes)
{
    struct str rest = bytes, payload;
    struct why why;
    int type;

    while (record_take(&rest, &type, &payload, &why) == RC_OK) {
        AUTO_BUF b;
        struct str again, copy;
        int type_again;
        buf_init(&b, payload.n + 16);
        record_put(&b, type, payload);
        again = buf_str(&b);
        FUZZ_CHECK(record_take(&again, &type_again, &copy, &why) == RC_OK);
        FUZZ_CHECK(type == type_again && str_eq(copy, payload) && again.n == 0);
    }
}

static void check_recipients(const struct recipient *r, size_t n, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(r[i].offset >= 0 && (size_t)r[i].offset < size);
        FUZZ_CHECK(data[r[i].offset] == REC_RCPT);
    }
}

static void read_portions(int fd, struct arena *a, const struct message_ready *whole,
                          const uint8_t *data, size_t size)
{
    struct message_ready m = {0};
    struct envelope_rest rest = {0};
    struct why why;
    size_t n;

    FUZZ_CHECK(queue_file_read_envelope(fd, STR("A"), 2, a, &m, &rest, &why) == RC_OK);
    FUZZ_CHECK(str_eq(m.sender, whole->sender) && m.n_recipients <= 2);
    FUZZ_CHECK(m.n_recipients + rest.unread == whole->n_recipients);
    n = m.n_recipients;
    while (rest.unread) {
        struct recipient *r = NULL;
        size_t before = rest.unread, got = 0;
        if (queue_file_read_recipients(fd, &rest, 2, a, &r, &got, &why) != RC_OK)
            return;
        check_recipients(r, got, data, size);
        for (size_t i = 0; i < got && n + i < whole->n_recipients; i++)
            FUZZ_CHECK(str_eq(r[i].address, whole->recipients[n + i].address));
        n += got;
        FUZZ_CHECK(rest.unread < before);
    }
}

/* Notes are found again, and written anew in the same place; what was there before stays. */
static void notes(int fd, struct arena *a, struct str before)
{
    struct queue_notes n, again;
    size_t kept = before.n > 128 ? before.n - 128 : 0;
    struct str after;
    struct stat st = {0};
    struct why why;
    off_t size;

    queue_file_read_notes(fd, &n);
    snprintf(n.split_from, sizeof n.split_from, "A1");
    if (queue_file_write_notes(fd, &n, &why) != RC_OK)
        return;
    FUZZ_CHECK(fstat(fd, &st) == 0);
    size = st.st_size;
    n.attempts = 7;
    FUZZ_CHECK(queue_file_write_notes(fd, &n, &why) == RC_OK);
    queue_file_read_notes(fd, &again);
    FUZZ_CHECK(again.attempts == 7 && strcmp(again.split_from, "A1") == 0);
    FUZZ_CHECK(fstat(fd, &st) == 0 && st.st_size == size);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0 && fd_read_all(fd, 1 << 30, a, &after, &why) == RC_OK);
    FUZZ_CHECK(after.n >= kept && memcmp(after.p, before.p, kept) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct message_ready m = {0};
    struct envelope_rest rest;
    struct why why;
    int fd = memfd_create("queue", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    for (int way = 0; way < 3; way++)
        read_records(fd, a, size, way);
    read_unpacked(fd, a, size);
    take_and_put((struct str){(const char *)data, size});
    if (queue_file_read_envelope(fd, STR("A"), SIZE_MAX, a, &m, &rest, &why) == RC_OK) {
        FUZZ_CHECK(m.complete);
        check_recipients(m.recipients, m.n_recipients, data, size);
        read_portions(fd, a, &m, data, size);
        if (m.n_recipients) {
            FUZZ_CHECK(queue_file_mark_done(fd, m.recipients[0].offset, &why) == RC_OK);
            FUZZ_CHECK(queue_file_mark_done(fd, m.recipients[0].offset, &why) == RC_OK);
        }
    }
    close(fd);
    if ((fd = memfd_create("queue", MFD_CLOEXEC)) < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    notes(fd, a, (struct str){(const char *)data, size});
    close(fd);
    return 0;
}
