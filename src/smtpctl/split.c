/*
 * One recipient of a message for itself: a copy of the queue file with that recipient alone, in
 * another queue. Queue files have no place for the state of a single recipient, so a message that
 * is held has to be a file of its own.
 *
 * The notes of the copy say of what message it is a part: with that the envelope keeps its number.
 * The copy is complete before the recipient is marked done in the original: a crash in between
 * leaves the recipient twice, never not at all.
 */
#include <fcntl.h>
#include <unistd.h>

#include "smtpctl/smtpctl.h"
#include "util/file.h"

static enum rc copy_records(int fd, struct queue_file *to, struct arena *a, struct why *why)
{
    struct record_reader r;
    struct str payload;
    int type = 0;

    record_reader_init(&r, fd, a, 0);
    while (type != REC_END) {
        enum rc rc = record_read(&r, false, &type, &payload, why);
        if (rc == RC_NONE)
            return FAIL(why, RC_PERM, "the file ends early");
        TRY(rc);
        queue_file_put(to, type, payload);
    }
    return RC_OK;
}

static enum rc make_copy(struct smtpctl *s, struct message *m, const struct recipient *chosen,
                         struct str queue_name, struct arena *a, struct str *id, struct why *why)
{
    struct queue_notes notes = m->notes;
    struct queue_file *copy;
    int fd = -1;

    TRY(queue_file_create(&s->queue, queue_name, a, &copy, why));
    TRY(copy_records(m->fd, copy, a, why));
    for (size_t i = 0; i < m->n; i++)
        if (m->envelopes[i].recipient != chosen)
            queue_file_patch(copy, m->envelopes[i].recipient->offset, STR("D"));
    *id = arena_copy(a, str_of(queue_file_id(copy)));
    if (notes.split_from[0] == '\0')
        snprintf(notes.split_from, sizeof notes.split_from, STR_FMT, STR_ARG(m->queue_id));
    TRY(queue_file_commit(copy, queue_name, &fd, why));
    if (queue_file_write_notes(fd, &notes, why) != RC_OK) /* it has a number of its own then */
        log_warning(&s->command.log, "%s: %s", queue_file_id(copy), why->text);
    close(fd);
    return RC_OK;
}

enum rc split_off(struct smtpctl *s, struct message *m, const struct recipient *chosen,
                  struct str queue_name, struct arena *a, struct str *id, struct why *why)
{
    AUTO_CLOSE int fd = openat(s->queue.dir, m->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return FAIL(why, RC_TEMP, "open %s: %m", m->path);
    TRY(make_copy(s, m, chosen, queue_name, a, id, why));
    return queue_file_mark_done(fd, chosen->offset, why);
}
