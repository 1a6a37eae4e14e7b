/* Actions on messages that are named, or on all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postsuper/postsuper.h"

enum { ASK_TIMEOUT_MS = 10 * 1000 };

struct rule {
    enum action action;
    const char *queues; /* where the messages may be */
    const char *line;   /* what is logged for each message that is named */
    bool (*act)(struct postsuper *p, struct str queue_name, struct str id, const char *path);
    size_t counter; /* in struct counts */
};

/* ---- qmgr ---- */
bool tell_qmgr(struct postsuper *p, long operation, struct str id)
{
    struct qmgr_control word = {.operation = operation, .queue_id = id};
    AUTO_ARENA a = arena_new(512);
    struct status_reply reply = {0};
    struct why why;

    if (!p->qmgr_tried) {
        p->qmgr_tried = true;
        if (ipc_connect(&p->qmgr, p->command.config->queue_directory, "public/qmgr", ASK_TIMEOUT_MS,
                        &why) != RC_OK)
            p->qmgr.fd = -1; /* the system is down: nobody holds the message */
    }
    if (p->qmgr.fd < 0)
        return false;
    if (ipc_send_qmgr_control(&p->qmgr, &word, -1, &why) != RC_OK ||
        ipc_read_status_reply(&p->qmgr, a, &reply, NULL, &why) != RC_OK) {
        log_warning(&p->command.log, "queue manager: %s", why.text);
        ipc_done(&p->qmgr);
    }
    return reply.status == 1;
}

static void wake_pickup(struct postsuper *p)
{
    struct ipc pickup;

    if (ipc_connect(&pickup, p->command.config->queue_directory, "public/pickup", ASK_TIMEOUT_MS,
                    NULL) == RC_OK) {
        (void)!write(pickup.fd, "W", 1);
        ipc_done(&pickup);
    }
}

/* ---- single actions; false: not done, words are logged ---- */
static void remove_logs(struct postsuper *p, struct str id)
{
    static const char *const classes[] = {"bounce", "defer", "trace"};
    struct why why;

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (bounce_log_remove(&p->queue, str_of(classes[i]), id, &why) == RC_TEMP)
            log_warning(&p->command.log, "%s", why.text);
}

static bool delete_message(struct postsuper *p, struct str queue_name, struct str id,
                           const char *path)
{
    if (!str_eq(queue_name, STR("hold")))
        (void)tell_qmgr(p, 'd', id);
    remove_logs(p, id);
    if (unlinkat(p->queue.dir, path, 0) == 0)
        return true;
    if (errno != ENOENT)
        log_warning(&p->command.log, "remove file %s: %m", path);
    return false;
}

static bool move(struct postsuper *p, struct str to, struct str id, const char *path)
{
    char target[QUEUE_PATH_SIZE];
    struct why why;

    queue_path(&p->queue, to, id, target);
    switch (queue_rename(&p->queue, path, target, &why)) {
    case RC_OK: return true;
    case RC_NONE: return false;
    default: log_warning(&p->command.log, "%s", why.text); return false;
    }
}

static bool hold_message(struct postsuper *p, struct str queue_name, struct str id,
                         const char *path)
{
    (void)queue_name;
    (void)tell_qmgr(p, 'd', id);
    return move(p, STR("hold"), id, path);
}

static bool release_message(struct postsuper *p, struct str queue_name, struct str id,
                            const char *path)
{
    (void)queue_name;
    utimensat(p->queue.dir, path, NULL, AT_SYMLINK_NOFOLLOW); /* due now */
    if (!move(p, STR("deferred"), id, path))
        return false;
    (void)tell_qmgr(p, 'n', id);
    return true;
}

/* pickup finds it in maildrop/ and submits it anew, under another id. */
static bool requeue_message(struct postsuper *p, struct str queue_name, struct str id,
                            const char *path)
{
    if (!str_eq(queue_name, STR("hold")) && tell_qmgr(p, 'r', id)) {
        log_warning(&p->command.log, STR_FMT ": not requeued: it is being delivered", STR_ARG(id));
        return false;
    }
    if (fchmodat(p->queue.dir, path, QUEUE_MODE_READY, 0) < 0 ||
        !move(p, STR("maildrop"), id, path))
        return false;
    remove_logs(p, id);
    return true;
}

static bool mark_expired(struct postsuper *p, const char *path)
{
    struct stat st;

    if (fstatat(p->queue.dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (fchmodat(p->queue.dir, path, (st.st_mode & 07777) | QUEUE_MODE_FORCE_EXPIRE, 0) == 0)
        return true;
    log_warning(&p->command.log, "chmod %s: %m", path);
    return false;
}

static bool expire_message(struct postsuper *p, struct str queue_name, struct str id,
                           const char *path)
{
    if (!mark_expired(p, path))
        return false;
    if (str_eq(queue_name, STR("deferred"))) {
        utimensat(p->queue.dir, path, NULL, AT_SYMLINK_NOFOLLOW); /* due now */
        (void)tell_qmgr(p, 'n', id);
        if (p->qmgr.fd < 0) /* the next qmgr shall see that the queue was changed */
            utimensat(p->queue.dir, "deferred", NULL, 0);
    }
    return true;
}

static bool expire_and_release(struct postsuper *p, struct str queue_name, struct str id,
                               const char *path)
{
    if (!str_eq(queue_name, STR("hold")))
        return expire_message(p, queue_name, id, path);
    if (!mark_expired(p, path) || !release_message(p, queue_name, id, path))
        return false;
    p->counts.released++;
    return true;
}

static const struct rule rules[] = {
    {ACTION_DELETE, "hold incoming active deferred", "removed", delete_message,
     offsetof(struct counts, deleted)},
    {ACTION_EXPIRE, "hold incoming active deferred", "expired", expire_message,
     offsetof(struct counts, expired)},
    {ACTION_EXPIRE_AND_RELEASE, "hold incoming active deferred", "expired", expire_and_release,
     offsetof(struct counts, expired)},
    {ACTION_HOLD, "incoming active deferred", "placed on hold", hold_message,
     offsetof(struct counts, held)},
    {ACTION_RELEASE, "hold", "released from hold", release_message,
     offsetof(struct counts, released)},
    {ACTION_REQUEUE, "hold incoming active deferred", "requeued", requeue_message,
     offsetof(struct counts, requeued)},
};

/* ---- which messages ---- */
struct work {
    struct postsuper *p;
    const struct rule *rule;
    struct str queue_name;
};

static bool act(struct work *w, struct str id, const char *path)
{
    if (!w->rule->act(w->p, w->queue_name, id, path))
        return false;
    ++*(long *)((char *)&w->p->counts + w->rule->counter);
    return true;
}

static bool act_on_file(void *context, struct str id, const char *path)
{
    if (queue_id_is_valid(id))
        (void)act(context, id, path);
    return true;
}

/* Queues of the rule, as far as they were named. */
static bool next_queue(struct work *w, struct str *rest)
{
    const struct postsuper *p = w->p;

    while (str_token(rest, " ", &w->queue_name)) {
        if (p->directories.n == 0)
            return true;
        for (size_t i = 0; i < p->directories.n; i++)
            if (str_eq(p->directories.v[i], w->queue_name))
                return true;
    }
    return false;
}

static void act_on_all(struct work *w)
{
    struct str rest = str_of(w->rule->queues);
    struct why why = {0};

    while (next_queue(w, &rest))
        if (queue_scan(&w->p->queue, w->queue_name, act_on_file, w, &why) == RC_TEMP)
            log_warning(&w->p->command.log, "%s", why.text);
}

static void act_on_id(struct work *w, struct str id)
{
    struct str rest = str_of(w->rule->queues);
    const struct log *log = &w->p->command.log;

    if (!queue_id_is_valid(id)) {
        log_warning(log, "invalid mail queue id: " STR_FMT, STR_ARG(id));
        return;
    }
    while (next_queue(w, &rest)) {
        char path[QUEUE_PATH_SIZE];
        queue_path(&w->p->queue, w->queue_name, id, path);
        if (faccessat(w->p->queue.dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 || !act(w, id, path))
            continue;
        log_info(log, STR_FMT ": %s", STR_ARG(id), w->rule->line);
        if (w->rule->action == ACTION_EXPIRE_AND_RELEASE && str_eq(w->queue_name, STR("hold")))
            log_info(log, STR_FMT ": released from hold", STR_ARG(id));
        return;
    }
}

static void act_on_input(struct work *w)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    while ((n = getline(&line, &size, stdin)) > 0) {
        struct str id = str_trim((struct str){line, (size_t)n});
        if (id.n)
            act_on_id(w, id);
    }
    free(line);
}

void act_on(struct postsuper *p, enum action action, const char *id)
{
    struct work w = {.p = p};

    p->asked[action] = true;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].action == action)
            w.rule = &rules[i];
    if (strcmp(id, "ALL") == 0)
        act_on_all(&w);
    else if (strcmp(id, "-") == 0)
        act_on_input(&w);
    else
        act_on_id(&w, str_of(id));
    if (action == ACTION_REQUEUE && p->counts.requeued)
        wake_pickup(p);
}
