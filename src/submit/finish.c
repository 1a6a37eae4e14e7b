/* The end of a message: the file is completed, committed, and handed to qmgr; or removed. */
#include <stdio.h>
#include <unistd.h>

#include "submit/intake.h"

/* What came up while the content passed: actions of checks, and recipients nobody named. */
static void put_extracted(struct submission *s)
{
    const struct config *c = s->lib->config;

    queue_file_put(s->file, REC_EXTRACTED, STR(""));
    if (s->filter_changed)
        queue_file_put(s->file, REC_FILTER, s->filter);
    if (s->redirect.n)
        queue_file_put(s->file, REC_REDIRECT, s->redirect);
    if (s->encoding.n)
        queue_file_putf(s->file, REC_ATTR, "encoding=" STR_FMT, STR_ARG(s->encoding));
    if (s->message_id.n)
        queue_file_putf(s->file, REC_ATTR, "message_id=" STR_FMT, STR_ARG(s->message_id));
    for (size_t i = 0; i < s->late.n && s->status == 0; i++)
        envelope_recipient(s, &s->late.v[i], false);
    if (c->always_bcc.n && (s->flags & SUBMIT_BCC_OK) && s->n_recipients > 0)
        submit_add_bcc(s, c->always_bcc);
    envelope_put_bcc(s);
    queue_file_put(s->file, REC_END, STR(""));
}

static void complete_file(struct submission *s)
{
    char text[128];
    int n;

    content_end(s);
    s->size = queue_file_size(s->file) - s->data_offset;
    s->data_size = queue_file_end_content(s->file) - s->data_offset;
    put_extracted(s);
    n = snprintf(text, sizeof text, "%15ld %15ld %15ld %15ld %15ld %15ld", s->data_size,
                 s->data_offset, s->n_recipients, s->notify_seen << 1, s->size, s->sendopts);
    queue_file_patch(s->file, 2, (struct str){text, (size_t)n});
}

static void tell_qmgr(struct submission *s, int fd)
{
    struct timespec created = queue_file_created(s->file);
    struct message_ready m = {
        .queue_id = str_of(queue_file_id(s->file)),
        .sender = s->sender,
        .arrival_sec = s->arrival.tv_sec,
        .arrival_usec = s->arrival.tv_nsec / 1000,
        .create_sec = created.tv_sec,
        .size = s->size,
        .data_offset = s->data_offset,
        .data_size = s->data_size,
        .encoding = s->encoding,
        .sendopts = s->sendopts,
        .envid = s->envid,
        .dsn_ret = s->dsn_ret,
        .trace_flags = s->trace_flags,
        .filter = s->filter,
        .redirect = s->redirect,
        .verp = s->verp,
        .warn_time = s->warn_time,
        .warn_offset = s->warn_offset,
        .complete = s->n_recipients <= HANDED_OVER_RECIPIENTS,
        .traced = s->traced,
        .origin = s->origin,
        .recipients = s->recipients.v,
        .n_recipients =
            s->recipients.n < HANDED_OVER_RECIPIENTS ? s->recipients.n : HANDED_OVER_RECIPIENTS,
    };

    handover_send(s->lib, &m, fd);
}

static void remove_file(struct submission *s, const char *word)
{
    queue_file_abandon(s->file);
    log_info(&s->log, "removed (%s)", word);
    s->is_over = true;
}

/*
 * bounce(8) reads the message: it must lie in the queue. Our lock keeps qmgr away from it, and the
 * recipients are marked as done first, so that a crash does not deliver what was refused.
 */
static bool bounce(struct submission *s)
{
    struct why why;
    char path[QUEUE_PATH_SIZE];
    bool done;
    int fd;

    for (size_t i = 0; i < s->recipients.n; i++)
        queue_file_patch(s->file, s->recipients.v[i].offset, STR("D"));
    if (queue_file_commit(s->file, STR("incoming"), &fd, &why) != RC_OK)
        return false;
    s->is_over = true;
    done = refuse_bounce(s);
    queue_path(&s->lib->queue, STR("incoming"), str_of(queue_file_id(s->file)), path);
    unlinkat(s->lib->queue.dir, path, 0);
    close(fd);
    if (done)
        log_info(&s->log, "removed (discarded)");
    return done;
}

static unsigned refuse(struct submission *s, struct str *reason)
{
    if (submission_may_bounce(s) && bounce(s)) {
        *reason = STR("");
        return 0;
    }
    if (!s->is_over)
        remove_file(s, "canceled");
    s->is_over = true;
    *reason = s->reason;
    return s->status;
}

unsigned submit_finish(struct submission *s, struct str *reason)
{
    struct why why;
    bool hold = s->flags & SUBMIT_HOLD;
    struct timespec began;
    int fd;

    complete_file(s);
    if (s->n_recipients == 0 && s->status == 0)
        submission_fail(s, SUBMIT_NO_RECIPIENTS, STR_NONE);
    if (s->status)
        return refuse(s, reason);
    *reason = STR("");
    if (s->flags & SUBMIT_DISCARD) {
        remove_file(s, "discarded");
        return 0;
    }
    began = log_profile_begin(&s->log, LOG_PROFILE_QUEUE);
    if (queue_file_commit(s->file, hold ? STR("hold") : STR("incoming"), &fd, &why) != RC_OK) {
        log_warning(&s->log, "%s", why.text);
        submission_fail(s, SUBMIT_WRITE, STR_NONE);
        return refuse(s, reason);
    }
    log_profile_end(&s->log, began, "profile-queue: message_commit");
    s->is_over = s->is_queued = true;
    if (!hold)
        tell_qmgr(s, fd);
    close(fd);
    return 0;
}
