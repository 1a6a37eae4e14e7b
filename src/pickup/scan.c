/* maildrop/: files of postdrop(1) and of "postsuper -r". */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "pickup/pickup.h"
#include "submit/local.h"
#include "util/file.h"

struct scan {
    struct pickup *pickup;
    struct service_env *env;
    struct arena *arena; /* of one message */
};

/* RC_NONE: not complete yet, or somebody works on it. RC_PERM: not a file of ours. */
static enum rc open_drop(struct scan *s, const char *path, int *out, struct stat *st,
                         struct why *why)
{
    int fd = openat(s->pickup->queue.dir, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    enum rc rc = RC_OK;

    if (fd < 0)
        return errno == ENOENT ? RC_NONE : FAIL(why, RC_TEMP, "open %s: %m", path);
    if (fstat(fd, st) < 0)
        rc = FAIL(why, RC_TEMP, "%s: %m", path);
    else if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
        rc = FAIL(why, RC_PERM, "%s: not a regular file with one name", path);
    else if (!(st->st_mode & QUEUE_MODE_IS_READY) || flock(fd, LOCK_EX | LOCK_NB) < 0)
        rc = RC_NONE;
    if (rc == RC_OK)
        *out = fd;
    else
        close(fd);
    return rc;
}

static enum rc read_drop(struct scan *s, struct local_message *m, int fd, struct why *why)
{
    struct local_check check = {0};
    struct record_reader r;
    struct str payload;
    int type = 0;
    enum rc rc;

    record_reader_init(&r, fd, s->arena, 0);
    while (type != REC_END && (rc = record_read(&r, true, &type, &payload, why)) == RC_OK) {
        bool keep = true;
        /* postdrop has checked what users say; the time is the one that it wrote */
        if (!m->trusted && type != REC_TIME)
            TRY(local_check_record(&check, type, payload, &keep, why));
        if (keep)
            TRY(local_message_record(m, type, payload, why));
    }
    if (type == REC_END)
        return RC_OK;
    return rc == RC_NONE ? FAIL(why, RC_PERM, "file ends early") : rc;
}

static void submit_drop(struct scan *s, struct str id, const char *path, int fd,
                        const struct stat *st)
{
    struct pickup *p = s->pickup;
    struct local_message m;
    struct why why = {0};
    struct str reason = STR("");
    unsigned status = 0;
    enum rc rc;

    local_message_init(&m, p, s->env, s->arena, (long)st->st_uid);
    m.trusted = st->st_uid == s->env->mail_uid && !s->env->rootless;
    if (m.trusted)
        m.original_id = id;
    rc = read_drop(s, &m, fd, &why);
    if (rc == RC_OK)
        status = local_message_finish(&m, &reason);
    if (rc == RC_PERM) {
        log_warning(&s->env->log, "uid=%lu: %s: %s; moved to corrupt/", (unsigned long)st->st_uid,
                    path, why.text);
        if (queue_move(&p->queue, STR("maildrop"), STR("corrupt"), id, &why) != RC_OK)
            log_warning(&s->env->log, "%s: %s", path, why.text);
    } else if (rc != RC_OK || status != 0) {
        log_warning(&s->env->log, "%s: not submitted (%s" STR_FMT "); tried again later", path,
                    rc != RC_OK ? why.text : "", STR_ARG(reason));
    } else if (unlinkat(p->queue.dir, path, 0) < 0 && errno != ENOENT) {
        log_warning(&s->env->log, "remove %s: %m", path);
    }
}

static bool one_file(void *context, struct str id, const char *path)
{
    struct scan *s = context;
    struct why why = {0};
    struct stat st;
    int fd = -1;
    enum rc rc = open_drop(s, path, &fd, &st, &why);

    if (rc == RC_OK) {
        submit_drop(s, id, path, fd, &st);
        close(fd);
    } else if (rc != RC_NONE) {
        log_warning(&s->env->log, "%s", why.text);
    }
    arena_reset(s->arena);
    return !service_is_draining(s->env);
}

void pickup_scan(struct service_env *env, void *state, struct str requests)
{
    AUTO_ARENA arena = arena_new(16 * 1024);
    struct scan s = {state, env, arena};
    struct why why;

    (void)requests;
    if (queue_scan(&s.pickup->queue, STR("maildrop"), one_file, &s, &why) != RC_OK)
        log_warning(&env->log, "%s", why.text);
}
