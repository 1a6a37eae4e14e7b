/*
 * One recipient of a message for itself: a copy of the queue file with that recipient alone, in
 * another queue. Queue files have no place for the state of a single recipient, so a message that
 * is held has to be a file of its own.
 *
 * Behind the end of the copy stands "split_from=ID", which nobody else reads: with it the envelope
 * keeps its number. The copy is complete before the recipient is marked done in the original: a
 * crash in between leaves the recipient twice, never not at all.
 */
#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include "smtpctl/smtpctl.h"
#include "util/file.h"

static const char mark[] = "split_from=";

enum { MARK_MAX = sizeof mark + QUEUE_ID_SIZE + 2 };

struct str split_origin(int fd, struct arena *a)
{
    char text[MARK_MAX];
    off_t end = lseek(fd, 0, SEEK_END);
    off_t start = end > MARK_MAX ? end - MARK_MAX : 0;
    ssize_t n = end < 0 ? -1 : pread(fd, text, sizeof text, start), at;
    struct str tail = {text, n > 0 ? (size_t)n : 0}, id;

    at = str_find(tail, str_of(mark));
    if (at < 2 || text[at - 2] != REC_ATTR ||
        (size_t)(unsigned char)text[at - 1] != tail.n - (size_t)at)
        return STR_NONE;
    id = str_from(tail, (size_t)at + sizeof mark - 1);
    return queue_id_is_valid(id) ? arena_copy(a, id) : STR_NONE;
}

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
    struct str origin = split_origin(m->fd, a);
    struct queue_file *copy;
    int fd = -1;

    TRY(queue_file_create(&s->queue, queue_name, a, &copy, why));
    TRY(copy_records(m->fd, copy, a, why));
    queue_file_putf(copy, REC_ATTR, "%s" STR_FMT, mark, STR_ARG(origin.n ? origin : m->queue_id));
    for (size_t i = 0; i < m->n; i++)
        if (m->envelopes[i].recipient != chosen)
            queue_file_patch(copy, m->envelopes[i].recipient->offset, STR("D"));
    *id = arena_copy(a, str_of(queue_file_id(copy)));
    TRY(queue_file_commit(copy, queue_name, &fd, why));
    close(fd);
    return RC_OK;
}

enum rc split_off(struct smtpctl *s, struct message *m, const struct recipient *chosen,
                  struct str queue_name, struct arena *a, struct str *id, struct why *why)
{
    const struct passwd *owner = getuid() == 0 ? getpwnam(s->command.config->mail_owner.p) : NULL;
    enum rc rc;

    AUTO_CLOSE int fd = openat(s->queue.dir, m->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return FAIL(why, RC_TEMP, "open %s: %m", m->path);
    /* files and directories that are made must be the queue's owner's */
    if (owner && (setegid(owner->pw_gid) < 0 || seteuid(owner->pw_uid) < 0))
        return FAIL(why, RC_TEMP, "become " STR_FMT ": %m", STR_ARG(s->command.config->mail_owner));
    rc = make_copy(s, m, chosen, queue_name, a, id, why);
    if (owner && (seteuid(0) < 0 || setegid(0) < 0))
        log_fatal(&s->command.log, STATUS_FAILED, "become root again: %m");
    TRY(rc);
    return queue_file_mark_done(fd, chosen->offset, why);
}
