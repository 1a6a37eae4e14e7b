/* Notes behind the end record of a queue file. */
#include <stdio.h>
#include <unistd.h>

#include "queue/queue.h"

enum { NOTES_MAX = 128 };

/* From here to the end there are attributes only. */
static bool is_notes(struct str tail)
{
    struct str payload;
    struct why why;
    int type;

    while (tail.n)
        if (record_take(&tail, &type, &payload, &why) != RC_OK || type != REC_ATTR)
            return false;
    return true;
}

/*
 * Where the notes begin in the last bytes of a file, behind an end record; -1: there is none.
 * Nothing else looks like that: content is followed by a record that is no attribute.
 */
static ssize_t find_notes(struct str tail)
{
    for (size_t i = 2; i <= tail.n; i++)
        if (tail.p[i - 2] == REC_END && tail.p[i - 1] == '\0' && is_notes(str_from(tail, i)))
            return (ssize_t)i;
    return -1;
}

/* The last bytes, and where in the file they begin. */
static off_t read_tail(int fd, char text[NOTES_MAX], struct str *tail)
{
    struct stat st = {0};
    off_t start = fstat(fd, &st) == 0 && st.st_size > NOTES_MAX ? st.st_size - NOTES_MAX : 0;
    ssize_t n = pread(fd, text, NOTES_MAX, start);

    *tail = (struct str){text, n > 0 ? (size_t)n : 0};
    return start;
}

void queue_file_read_notes(int fd, struct queue_notes *out)
{
    char text[NOTES_MAX];
    struct str tail, payload;
    struct why why;
    ssize_t at;
    int type;

    *out = (struct queue_notes){0};
    (void)read_tail(fd, text, &tail);
    at = find_notes(tail);
    tail = str_from(tail, at < 0 ? tail.n : (size_t)at);
    while (tail.n && record_take(&tail, &type, &payload, &why) == RC_OK) {
        struct str value = payload, name = str_cut(&value, '=');
        if (str_eq(name, STR("split_from")) && queue_id_is_valid(value))
            snprintf(out->split_from, sizeof out->split_from, STR_FMT, STR_ARG(value));
        else if (str_eq(name, STR("attempts")))
            (void)str_to_long(value, 0, LONG_MAX, &out->attempts);
    }
}

/* In one piece, and as a rule as long as before: the number has a fixed width. */
enum rc queue_file_write_notes(int fd, const struct queue_notes *notes, struct why *why)
{
    char text[NOTES_MAX], number[32];
    struct str tail;
    off_t start = read_tail(fd, text, &tail);
    ssize_t at = find_notes(tail);
    AUTO_BUF records;

    buf_init(&records, NOTES_MAX);
    if (at < 0)
        return FAIL(why, RC_PERM, "the file does not end with an end record");
    if (notes->split_from[0]) {
        char origin[QUEUE_ID_SIZE + 16];
        snprintf(origin, sizeof origin, "split_from=%s", notes->split_from);
        record_put(&records, REC_ATTR, str_of(origin));
    }
    snprintf(number, sizeof number, "attempts=%010ld", notes->attempts);
    record_put(&records, REC_ATTR, str_of(number));
    if (pwrite(fd, records.p, records.n, start + at) != (ssize_t)records.n)
        return FAIL(why, RC_TEMP, "write notes: %m");
    if (tail.n - (size_t)at > records.n && ftruncate(fd, start + at + (off_t)records.n) < 0)
        return FAIL(why, RC_TEMP, "write notes: %m");
    return RC_OK;
}
