/*
 * Changes to what is in the queue. Messages are held, released and removed by postsuper(1), tried
 * by postqueue(1); only what concerns a single recipient of several is done here.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtpctl/smtpctl.h"
#include "util/file.h"

struct work {
    struct smtpctl *s;
    struct selection selection;
    const char *queues; /* messages elsewhere are not concerned; NULL: all are */
    /* What is done with one recipient of several. */
    enum rc (*change)(struct work *w, struct message *m, const struct recipient *r,
                      struct why *why);
    struct str to;       /* the queue of a recipient that is split off */
    struct str split_id; /* his queue id then; n == 0: he is gone */
    bool schedules;
    struct buf ids; /* queue ids, a line each */
    long envelopes; /* that are concerned */
    long partly;    /* of messages of which others remain */
};

static void work_begin(struct work *w, struct smtpctl *s, const char *what)
{
    if (!s->running)
        ask_connect(s); /* says so and ends; postsuper(1) and postqueue(1) do without */
    queue_begin(s);
    *w = (struct work){.s = s, .selection = selection_of(s, what)};
    buf_init(&w->ids, 256 * 1024 * 1024);
}

static bool is_listed_in(const char *queues, struct str name)
{
    struct str rest = str_of(queues), word;

    while (str_token(&rest, " ", &word))
        if (str_eq(word, name))
            return true;
    return queues == NULL;
}

/* postsuper -LETTER, for all ids. */
static bool postsuper(struct work *w, const char *letter)
{
    const char *argv[] = {"postsuper", letter, "-", NULL};

    return w->ids.n == 0 || run_command(w->s, argv, buf_str(&w->ids), true) == 0;
}

static int say_count(const struct work *w, bool ok, const char *done)
{
    if (!ok)
        return say_result(false, STR("see the log"));
    printf("%ld envelope%s %s\n", w->envelopes, w->envelopes > 1 ? "s" : "", done);
    return STATUS_DONE;
}

/* ---- remove ---- */

static long tell_qmgr(struct smtpctl *s, long operation, struct str id)
{
    struct qmgr_control word = {.operation = operation, .queue_id = id};
    struct why why = {0};
    long status = 0;

    if (ask_qmgr(s, &word, &status, &why) != RC_OK)
        log_warning(&s->command.log, "%s", why.text);
    return status;
}

/* Files are as old as before: that is when the others were tried, or will be. */
static void set_time(struct work *w, const char *path, long when)
{
    struct timespec times[2] = {{when, 0}, {when, 0}};

    if (when && utimensat(w->s->queue.dir, path, times, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
        log_warning(&w->s->command.log, "%s: set the time: %m", path);
}

/* What is made and changed in the queue must be its owner's. */
static void become_owner(const struct smtpctl *s, bool on)
{
    const struct passwd *owner = getuid() == 0 ? getpwnam(s->command.config->mail_owner.p) : NULL;

    if (owner == NULL)
        return;
    if (on ? setegid(owner->pw_gid) < 0 || seteuid(owner->pw_uid) < 0
           : seteuid(0) < 0 || setegid(0) < 0)
        log_fatal(&s->command.log, STATUS_FAILED, "become %s: %m",
                  on ? owner->pw_name : "root again");
}

static void append_reason(struct work *w, struct str id, const struct bounce_log_entry *e)
{
    struct why why;

    if (bounce_log_append(&w->s->queue, STR("defer"), id, &e->recipient, &e->dsn, true, &why) !=
        RC_OK)
        log_warning(&w->s->command.log, "%s", why.text);
}

static void set_log_time(struct work *w, struct str id, long when)
{
    char path[QUEUE_PATH_SIZE];

    queue_path(&w->s->queue, STR("defer"), id, path);
    set_time(w, path, when);
}

/* Why a recipient was not reached goes with him; when he is gone it concerns nobody any more. */
static void move_reason(struct work *w, struct message *m, const struct recipient *r)
{
    struct bounce_log_entry *log = NULL;
    const struct queue *q = &w->s->queue;
    struct why why;
    size_t n = 0;

    if (bounce_log_read(q, STR("defer"), m->queue_id, m->arena, &log, &n, &why) != RC_OK ||
        bounce_log_remove(q, STR("defer"), m->queue_id, &why) != RC_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        bool is_his = str_eq(log[i].recipient.address, r->address);
        if (!is_his || w->split_id.n)
            append_reason(w, is_his ? w->split_id : m->queue_id, &log[i]);
    }
    set_log_time(w, m->queue_id, m->last_attempt);
    if (w->split_id.n)
        set_log_time(w, w->split_id, m->last_attempt);
}

/* qmgr lets go of the message while one of its recipients is changed, and sees it anew afterwards.
 */
static bool change_recipient(struct work *w, struct message *m, const struct recipient *r)
{
    const struct log *log = &w->s->command.log;
    bool held = str_eq(m->queue_name, STR("hold"));
    struct why why = {0};
    enum rc rc;

    if (!held && tell_qmgr(w->s, 'r', m->queue_id)) {
        log_warning(log, STR_FMT ": not changed: it is being delivered", STR_ARG(m->queue_id));
        return false;
    }
    become_owner(w->s, true);
    w->split_id = STR_NONE;
    rc = w->change(w, m, r, &why);
    if (rc == RC_OK)
        move_reason(w, m, r);
    else
        log_warning(log, "%s", why.text);
    set_time(w, m->path, m->next_attempt);
    become_owner(w->s, false);
    if (!held)
        (void)tell_qmgr(w->s, m->next_attempt && !m->active ? 'i' : 'n', m->queue_id);
    if (rc == RC_OK && w->schedules)
        buf_addf(&w->ids, STR_FMT "\n", STR_ARG(w->split_id));
    else if (rc == RC_OK && str_eq(w->to, STR("deferred")))
        (void)tell_qmgr(w->s, 'n', w->split_id);
    return rc == RC_OK;
}

/* Messages as a whole are collected, single recipients of several are changed at once. */
static bool collect(void *context, struct message *m)
{
    struct work *w = context;
    bool is_whole = w->selection.envelope == 0 || m->n == 1;

    if (!selection_has_message(&w->selection, m) || !is_listed_in(w->queues, m->queue_name))
        return true;
    for (size_t i = 0; !is_whole && i < m->n; i++) {
        if (!selection_has(&w->selection, &m->envelopes[i]))
            continue;
        if (change_recipient(w, m, m->envelopes[i].recipient))
            w->envelopes++;
        else
            w->partly++;
        if (w->schedules) /* what was split off stands in the same queue */
            return false;
    }
    if (is_whole && (m->n == 0 || selection_has(&w->selection, &m->envelopes[0]))) {
        buf_addf(&w->ids, STR_FMT "\n", STR_ARG(m->queue_id));
        w->envelopes += (long)m->n;
    }
    return true;
}

static enum rc mark_done(struct work *w, struct message *m, const struct recipient *r,
                         struct why *why)
{
    AUTO_CLOSE int fd = openat(w->s->queue.dir, m->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return FAIL(why, RC_TEMP, "open %s: %m", m->path);
    TRY(queue_file_mark_done(fd, r->offset, why));
    log_info(&w->s->command.log, STR_FMT ": removed recipient <" STR_FMT ">", STR_ARG(m->queue_id),
             STR_ARG(r->address));
    return RC_OK;
}

int do_remove(struct smtpctl *s)
{
    struct work w;
    bool ok;

    work_begin(&w, s, s->words[0]);
    w.change = mark_done;
    queue_walk(s, collect, &w);
    ok = postsuper(&w, "-d") && w.partly == 0;
    buf_done(&w.ids);
    return say_count(&w, ok, "removed");
}

/* ---- pause, resume ---- */

/* One of several recipients becomes a message of its own, in the other queue. */
static enum rc split(struct work *w, struct message *m, const struct recipient *r, struct why *why)
{
    TRY(split_off(w->s, m, r, w->to, m->arena, &w->split_id, why));
    log_info(&w->s->command.log, STR_FMT ": recipient <" STR_FMT "> goes on as " STR_FMT,
             STR_ARG(m->queue_id), STR_ARG(r->address), STR_ARG(w->split_id));
    return RC_OK;
}

static int hold_or_release(struct smtpctl *s, const char *queues, struct str to, const char *letter,
                           const char *done)
{
    struct work w;
    bool ok;

    work_begin(&w, s, s->words[0]);
    w.queues = queues;
    w.to = to;
    w.change = split;
    queue_walk(s, collect, &w);
    ok = postsuper(&w, letter) && w.partly == 0;
    buf_done(&w.ids);
    return say_count(&w, ok, done);
}

int do_pause_envelope(struct smtpctl *s)
{
    return hold_or_release(s, "incoming active deferred", STR("hold"), "-h", "paused");
}

int do_resume_envelope(struct smtpctl *s)
{
    return hold_or_release(s, "hold", STR("deferred"), "-H", "resumed");
}

/* ---- another try ---- */

static bool flush_all(struct smtpctl *s)
{
    const char *argv[] = {"postqueue", "-f", NULL};

    return run_command(s, argv, STR_NONE, false) == 0;
}

static bool flush_ids(struct work *w)
{
    struct str rest = buf_str(&w->ids), id;
    bool ok = true;

    while (str_token(&rest, "\n", &id)) {
        const char *argv[] = {"postqueue", "-i", arena_text(w->s->arena, id), NULL};
        ok = run_command(w->s, argv, STR_NONE, false) == 0 && ok;
    }
    return ok;
}

int do_schedule(struct smtpctl *s)
{
    struct work w;
    bool ok;

    work_begin(&w, s, s->words[0]);
    w.queues = "deferred";
    w.to = STR("deferred");
    w.schedules = true;
    w.change = split;
    queue_walk(s, collect, &w);
    ok = (w.selection.all ? flush_all(s) : flush_ids(&w)) && w.partly == 0;
    buf_done(&w.ids);
    return say_count(&w, ok, "scheduled");
}

int do_schedule_all(struct smtpctl *s)
{
    s->words[0] = "all";
    return do_schedule(s);
}

/* ---- files put in place by hand ---- */

static bool discover_one(void *context, struct message *m)
{
    struct work *w = context;

    if (!selection_has_message(&w->selection, m) || m->active || str_eq(m->queue_name, STR("hold")))
        return true;
    (void)tell_qmgr(w->s, 'n', m->queue_id);
    w->envelopes += (long)m->n;
    return true;
}

int do_discover(struct smtpctl *s)
{
    struct work w;

    work_begin(&w, s, s->words[0]);
    queue_walk(s, discover_one, &w);
    buf_done(&w.ids);
    printf("%ld envelope%s discovered\n", w.envelopes, w.envelopes == 1 ? "" : "s");
    return STATUS_DONE;
}

static bool uncorrupt_one(void *context, struct str id, const char *path)
{
    struct work *w = context;
    struct why why = {0};

    if (!queue_id_is_valid(id) ||
        !(w->selection.all ||
          (w->selection.queue_id.p ? str_eq(w->selection.queue_id, id)
                                   : w->selection.message == message_number(id))))
        return true;
    if (fchmodat(w->s->queue.dir, path, QUEUE_MODE_READY, 0) < 0 ||
        queue_move(&w->s->queue, STR("corrupt"), STR("deferred"), id, &why) != RC_OK) {
        log_warning(&w->s->command.log, STR_FMT ": %s", STR_ARG(id), why.text);
        w->partly++;
        return true;
    }
    w->envelopes++;
    (void)tell_qmgr(w->s, 'n', id);
    return true;
}

/* A message that was put aside as damaged gets another chance. */
int do_uncorrupt(struct smtpctl *s)
{
    struct work w;
    struct why why = {0};

    work_begin(&w, s, s->words[0]);
    if (queue_scan(&s->queue, STR("corrupt"), uncorrupt_one, &w, &why) == RC_TEMP)
        log_warning(&s->command.log, "%s", why.text);
    buf_done(&w.ids);
    return say_result(w.envelopes > 0 && w.partly == 0, STR("no such message"));
}
