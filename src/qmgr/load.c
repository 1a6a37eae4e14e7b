#include "qmgr/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/file.h"
#include "util/memory.h"

enum { MESSAGE_ARENA = 4096, NOTICE_GRACE_SECONDS = 2 };

struct load *load_new(struct qmgr *q, struct str queue_name, struct str id, bool ignore_times)
{
    struct load *l = NEW(struct load);

    l->q = q;
    l->queue_name = queue_name;
    l->ignore_times = ignore_times;
    l->most = portion_size(q);
    memcpy(l->text, id.p, id.n);
    l->id = (struct str){l->text, id.n};
    return l;
}

void load_free(struct load *l)
{
    free(l);
}

void message_discard(struct message *msg)
{
    close(msg->fd);
    arena_free(msg->arena);
}

static int open_in(struct load *l, struct str queue_name)
{
    char path[QUEUE_PATH_SIZE];
    int fd;

    queue_path(&l->q->queue, queue_name, l->id, path);
    fd = openat(l->q->queue.dir, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        l->queue_name = queue_name;
    else if (errno != ENOENT)
        log_warning(l->q->log, "open %s: %m", path);
    return fd;
}

static int open_file(struct load *l)
{
    int fd;

    if (l->queue_name.n)
        return open_in(l, l->queue_name);
    if ((fd = open_in(l, STR("deferred"))) < 0 && (fd = open_in(l, STR("incoming"))) < 0)
        fd = open_in(l, STR("active"));
    return fd;
}

static void put_away(struct load *l, int fd, const struct why *why)
{
    struct log log = *l->q->log;
    struct why trouble = {0};

    log_set_queue_id(&log, l->id);
    log_warning(&log, "damaged queue file (%s); moved to the directory corrupt", why->text);
    (void)fchmod(fd, QUEUE_MODE_CORRUPT);
    if (queue_move(&l->q->queue, l->queue_name, STR("corrupt"), l->id, &trouble) != RC_OK)
        log_warning(&log, "%s", trouble.text);
}

/* Requests that stand in the mode of the file count once. */
static void take_mode(struct message *msg, const struct stat *st)
{
    msg->force_expire = st->st_mode & QUEUE_MODE_FORCE_EXPIRE;
    if (st->st_mode & QUEUE_MODE_UNTHROTTLE) {
        msg->ignore_times = true;
        (void)fchmod(msg->fd, st->st_mode & 07777 & ~(mode_t)QUEUE_MODE_UNTHROTTLE);
    }
}

static void read_message(struct load *l, int fd, const struct stat *st)
{
    struct arena *a = arena_new(MESSAGE_ARENA);
    struct message *msg = arena_new_of(a, struct message);
    struct why why = {0};
    enum rc rc;

    *msg = (struct message){.q = l->q,
                            .arena = a,
                            .fd = fd,
                            .queue_name = l->queue_name,
                            .ignore_times = l->ignore_times,
                            .hurried = l->hurried,
                            .has_bounces = true, /* an earlier attempt may have left logs */
                            .has_trace = true};
    rc = queue_file_read_envelope(fd, l->id, l->most, a, &msg->m, &msg->rest, &why);
    if (rc != RC_OK) {
        if (rc == RC_PERM)
            put_away(l, fd, &why);
        else
            log_warning(l->q->log, STR_FMT ": %s", STR_ARG(l->id), why.text);
        message_discard(msg);
        return;
    }
    take_mode(msg, st);
    if (str_eq(l->queue_name, STR("deferred"))) /* reasons of this attempt only */
        (void)!bounce_log_remove(&l->q->queue, STR("defer"), l->id, &why);
    route_resolve(l->q, msg, msg->m.recipients, msg->m.n_recipients, a);
    l->message = msg;
    l->result = LOAD_DONE;
}

static void load_file(struct load *l)
{
    int fd = open_file(l);
    struct stat st;
    struct why why;

    if (fd < 0) {
        if (str_eq(l->queue_name, STR("deferred")))
            index_remove(l->q, l->id);
        return;
    }
    if (fstat(fd, &st) == 0 && st.st_mode & QUEUE_MODE_IS_READY && S_ISREG(st.st_mode)) {
        l->age = clock_seconds() - st.st_mtim.tv_sec;
        if (fd_lock(fd, true, false, &why) != RC_OK) {
            l->result = LOAD_LOCKED;
        } else {
            read_message(l, fd, &st);
            return;
        }
    }
    close(fd);
}

void load_work(void *load)
{
    struct load *l = load;
    struct timespec began = log_profile_begin(l->q->log, LOG_PROFILE_QUEUE);

    load_file(l);
    log_profile_end(l->q->log, began, "profile-queue: message_load");
}

struct scan *scan_new(struct qmgr *q, unsigned what)
{
    struct arena *a = arena_new(4096);
    struct scan *s = arena_new_of(a, struct scan);

    s->q = q;
    s->arena = a;
    s->what = what;
    return s;
}

void scan_free(struct scan *s)
{
    arena_free(s->arena);
}

static bool scan_file(void *context, struct str id, const char *path)
{
    struct scan *s = context;
    struct scan_file file = {.queue_name = s->queue_name};
    struct stat st;

    if (!queue_id_is_valid(id) || fstatat(s->q->queue.dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode) || !(st.st_mode & QUEUE_MODE_IS_READY))
        return true;
    if (!(s->what & SCAN_IGNORE_TIMES) && st.st_mtim.tv_sec > clock_seconds())
        return true;
    memcpy(file.id, id.p, id.n);
    vec_add(s->arena, &s->found, file);
    return true;
}

static void scan_queue(struct scan *s, struct str queue_name)
{
    struct why why = {0};

    s->queue_name = queue_name;
    if (queue_scan(&s->q->queue, queue_name, scan_file, s, &why) == RC_TEMP)
        log_warning(s->q->log, "%s", why.text);
}

void scan_work(void *scan)
{
    struct scan *s = scan;

    if (s->what & SCAN_ACTIVE)
        scan_queue(s, STR("active"));
    if (s->what & SCAN_INCOMING)
        scan_queue(s, STR("incoming"));
    if (s->what & SCAN_DEFERRED)
        scan_queue(s, STR("deferred"));
}
