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

/* The end of a file. */
struct place {
    char text[NOTES_MAX];
    struct str notes; /* what stands behind the end record */
    off_t offset;     /* where that begins; -1: nobody may write there */
};

static void find_place(int fd, struct place *p)
{
    struct stat st = {0};
    off_t start = fstat(fd, &st) == 0 && st.st_size > NOTES_MAX ? st.st_size - NOTES_MAX : 0;
    ssize_t n = pread(fd, p->text, NOTES_MAX, start), at;

    p->notes = (struct str){p->text, n > 0 ? (size_t)n : 0};
    at = find_notes(p->notes);
    p->offset = at < 0 ? -1 : start + at;
    p->notes = str_from(p->notes, at < 0 ? p->notes.n : (size_t)at);
}

static void take_notes(struct str rest, struct queue_notes *out)
{
    struct str payload;
    struct why why;
    int type;

    *out = (struct queue_notes){0};
    while (rest.n && record_take(&rest, &type, &payload, &why) == RC_OK) {
        struct str value = payload, name = str_cut(&value, '=');
        if (str_eq(name, STR("split_from")) && queue_id_is_valid(value))
            snprintf(out->split_from, sizeof out->split_from, STR_FMT, STR_ARG(value));
        else if (str_eq(name, STR("attempts")))
            (void)str_to_long(value, 0, LONG_MAX, &out->attempts);
    }
}

/* In one piece, and as a rule as long as before: the number has a fixed width. */
static enum rc put_notes(int fd, const struct place *p, const struct queue_notes *notes,
                         struct why *why)
{
    char number[32];
    AUTO_BUF records;

    buf_init(&records, NOTES_MAX);
    if (p->offset < 0)
        return FAIL(why, RC_PERM, "the file does not end with an end record");
    if (notes->split_from[0]) {
        char origin[QUEUE_ID_SIZE + 16];
        snprintf(origin, sizeof origin, "split_from=%s", notes->split_from);
        record_put(&records, REC_ATTR, str_of(origin));
    }
    snprintf(number, sizeof number, "attempts=%010ld", notes->attempts);
    record_put(&records, REC_ATTR, str_of(number));
    if (pwrite(fd, records.p, records.n, p->offset) != (ssize_t)records.n)
        return FAIL(why, RC_TEMP, "write notes: %m");
    if (p->notes.n > records.n && ftruncate(fd, p->offset + (off_t)records.n) < 0)
        return FAIL(why, RC_TEMP, "write notes: %m");
    return RC_OK;
}

void queue_file_read_notes(int fd, struct queue_notes *out)
{
    struct place p;

    find_place(fd, &p);
    take_notes(p.notes, out);
}

enum rc queue_file_write_notes(int fd, const struct queue_notes *notes, struct why *why)
{
    struct place p;

    find_place(fd, &p);
    return put_notes(fd, &p, notes, why);
}

enum rc queue_file_add_attempt(int fd, bool was_tried, struct why *why)
{
    struct queue_notes notes;
    struct place p;

    find_place(fd, &p);
    take_notes(p.notes, &notes);
    if (notes.attempts == 0 && was_tried)
        notes.attempts = 1;
    notes.attempts++;
    return put_notes(fd, &p, &notes, why);
}
