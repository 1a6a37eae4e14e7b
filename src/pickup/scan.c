/* Files of maildrop/, which postdrop(1) and postsuper(1) leave there. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "pickup/pickup.h"
#include "util/file.h"

struct scan {
    struct service_env *env;
    struct pickup *pickup;
};

/* A file that was in the queue before begins with the sizes that cleanup wrote. */
static bool is_queue_file(int fd, struct arena *a)
{
    struct record_reader r;
    struct str payload, field;
    struct why why;
    long offset = 0;
    int type;

    record_reader_init(&r, fd, a, 0);
    return record_read(&r, true, &type, &payload, &why) == RC_OK && type == REC_SIZE &&
           str_token(&payload, " ", &field) && str_token(&payload, " ", &field) &&
           str_to_long(field, 1, LONG_MAX, &offset);
}

/* What users drop is not packed. */
static void init_reader(struct record_reader *r, const struct message *m, int fd, long offset)
{
    record_reader_init(r, fd, m->arena, offset);
    if (m->drop.source == DROP_FROM_QUEUE)
        record_reader_unpack(r, m->pickup->queue.keys);
}

/* Everything but the content; *content: where that begins. */
static enum rc read_envelope(struct message *m, int fd, long *content, struct why *why)
{
    struct record_reader r;
    struct str payload;
    bool is_text;
    int type;

    init_reader(&r, m, fd, 0);
    while (m->drop.part != DROP_COMPLETE) {
        enum rc rc = record_read(&r, true, &type, &payload, why);
        if (rc == RC_NONE)
            return FAIL(why, RC_PERM, "the file ends early");
        if (rc != RC_OK)
            return rc;
        TRY(message_record(m, type, payload, &is_text, why));
        if (type == REC_MESSAGE)
            *content = record_tell(&r);
    }
    return drop_check(&m->drop, why);
}

static enum rc copy_content(struct message *m, int fd, long content, struct why *why)
{
    struct record_reader r;
    struct str payload;
    int type;

    init_reader(&r, m, fd, content);
    for (;;) {
        TRY(record_read(&r, true, &type, &payload, why));
        if (type == REC_EXTRACTED)
            return RC_OK;
        message_line(m, payload, type == REC_CONT);
    }
}

static enum rc try_submit(struct message *m, int fd, long content, struct why *why)
{
    struct str reason = STR("");
    unsigned status;

    if (m->submission == NULL && message_open(m, why) != RC_OK)
        return RC_TEMP;
    TRY(copy_content(m, fd, content, why));
    status = message_finish(m, &reason);
    if (status != 0)
        return FAIL(why, RC_TEMP, STR_FMT,
                    STR_ARG(reason.n ? reason : str_of(submit_outcome(status)->text)));
    return RC_OK;
}

/* RC_OK: the message is in the queue, or its sender was told that it cannot be. */
static enum rc submit_file(struct message *m, int fd, struct why *why)
{
    long content = 0;
    enum rc rc;

    TRY(read_envelope(m, fd, &content, why));
    rc = try_submit(m, fd, content, why);
    if (rc != RC_OK && m->refusal.n && m->refusal.p[0] == '5') {
        m->submission = NULL; /* what was begun goes with the arena */
        TRY(message_return(m, why));
        rc = try_submit(m, fd, content, why);
    }
    message_end(m, false);
    return rc;
}

/* Ours to take: complete, a file of its own, and no other pickup works on it. */
static bool is_ready(int fd, struct stat *st)
{
    return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_nlink == 1 &&
           (st->st_mode & QUEUE_MODE_IS_READY) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
           fstat(fd, st) == 0 && st->st_nlink == 1;
}

static void done(struct scan *s, struct message *m, struct str id, enum rc rc, struct why *why)
{
    struct queue *q = &s->pickup->queue;

    if (rc == RC_OK)
        rc = queue_remove(q, STR("maildrop"), id, why);
    else if (rc == RC_PERM) {
        log_warning(&m->log, "maildrop/" STR_FMT ": %s -- saving damaged message to corrupt/",
                    STR_ARG(id), why->text);
        rc = queue_move(q, STR("maildrop"), STR("corrupt"), id, why);
    }
    if (rc != RC_OK && rc != RC_NONE)
        log_warning(&m->log, "maildrop/" STR_FMT ": %s", STR_ARG(id), why->text);
}

static bool take_file(void *context, struct str id, const char *path)
{
    struct scan *s = context;
    AUTO_ARENA a = NULL;
    AUTO_CLOSE int fd = openat(s->pickup->queue.dir, path,
                               O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct message m;
    struct why why = {0};
    struct stat st;

    if (fd < 0 || !is_ready(fd, &st))
        return true; /* being written, or gone */
    a = arena_new(16 * 1024);
    message_init(&m, s->env, s->pickup, DROP_FROM_MAILDROP, st.st_uid, a);
    if (st.st_uid == s->env->mail_uid && is_queue_file(fd, a)) {
        m.drop.source = DROP_FROM_QUEUE;
        m.orig_id = id;
    }
    done(s, &m, id, submit_file(&m, fd, &why), &why);
    service_progress(s->env);
    return !service_is_draining(s->env);
}

void pickup_scan(struct service_env *env, void *state, struct str requests)
{
    struct scan s = {env, state};
    struct why why = {0};
    enum rc rc = queue_scan(&s.pickup->queue, STR("maildrop"), take_file, &s, &why);

    (void)requests;
    if (rc != RC_OK && rc != RC_NONE)
        log_warning(&env->log, "scan maildrop: %s", why.text);
}
