/* Delivery into a maildir (file in tmp/, synced, renamed to new/) or a locked mbox file. */
#include "deliver/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "global/dsn.h"
#include "util/clock.h"
#include "util/file.h"

/* Trouble that passes is deferred, a full or impossible mailbox bounces. */
static const char *dsn_of_errno(int error)
{
    switch (error) {
    case EAGAIN:
    case ESTALE:
    case EACCES:
    case EPERM:
    case EROFS:
    case EMFILE:
    case ENFILE:
    case EINTR:
    case EIO: return "4.2.0";
    case ENOSPC: return "4.3.0";
    case EDQUOT:
    case EFBIG: return "5.2.2";
    default: return "5.2.0";
    }
}

static void failed(struct delivery *d, const struct mailbox *m, const char *kind, int error,
                   const char *text, struct dsn *outcome)
{
    struct str reason = arena_printf(d->arena, "%s delivery failed: %s", kind, text);

    if (error == EACCES && !d->env->rootless)
        log_warning(
            &d->log,
            "%s delivery to " STR_FMT
            " as user %u: permission denied; create it with that owner, or correct the owner of its directory",
            kind, STR_ARG(m->path), m->uid);
    *outcome = dsn_simple(dsn_of_errno(error), reason);
}

/* ---- maildir ---- */

/* tmp comes last: another delivery at the same time that finds it finds the others as well. */
static bool make_maildir(const char *maildir)
{
    static const char *const parts[] = {"", "new", "cur", "tmp"};
    char path[PATH_MAX];
    struct why why;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(path, sizeof path, "%s%s", maildir, parts[i]);
        if (dir_make(path, 0700, &why) != RC_OK)
            return false;
    }
    return true;
}

/* Path below the maildir, made with the directories when they are missing. */
static int create_in_tmp(const char *maildir, const char *tmp)
{
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0 || errno != ENOENT || !make_maildir(maildir))
        return fd;
    return open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

/*
 * Into new/, then sync: that makes the name last as well as the bytes, so that the queue file may
 * go even when it lies on another file system.
 */
static enum rc move_to_new(struct delivery *d, const char *dir, const char *tmp, int fd,
                           struct timespec now, struct why *why)
{
    char new[PATH_MAX];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return FAIL(why, RC_TEMP, "fstat: %m");
    snprintf(new, sizeof new, "%snew/%lu.V%lxI%lxM%lu." STR_FMT, dir, (unsigned long)now.tv_sec,
             (unsigned long)st.st_dev, (unsigned long)st.st_ino,
             (unsigned long)(now.tv_nsec / 1000), STR_ARG(d->env->config->myhostname));
    if (rename(tmp, new) < 0 && (errno != ENOENT || !make_maildir(dir) || rename(tmp, new) < 0))
        return FAIL(why, RC_TEMP, "rename to %s: %m", new);
    if (fsync(fd) < 0) {
        int error = errno;
        unlink(new);
        errno = error;
        return FAIL(why, RC_TEMP, "sync: %m");
    }
    return RC_OK;
}

/* A header field "X-Spam: yes"? */
static enum rc look_for_junk(void *context, struct str text, bool more, struct why *why)
{
    struct str value = text, name = str_cut(&value, ':');

    (void)more;
    (void)why;
    if (text.n == 0)
        return RC_NONE; /* the end of the header */
    if (str_eq_nocase(str_trim(name), STR("X-Spam")) &&
        str_has_prefix_nocase(str_trim(value), STR("yes")))
        *(bool *)context = true;
    return RC_OK;
}

static const char *directory_for(struct delivery *d, const struct mailbox *m)
{
    bool is_junk = false;
    struct why why;

    if (m->junk_folder.n && deliver_content(d, look_for_junk, &is_junk, &why) == RC_TEMP)
        is_junk = false;
    if (!is_junk)
        return arena_text(d->arena, m->path);
    return arena_printf(d->arena, STR_FMT STR_FMT "/", STR_ARG(m->path), STR_ARG(m->junk_folder)).p;
}

static void deliver_maildir(struct delivery *d, size_t i, const struct mailbox *m,
                            struct dsn *outcome)
{
    struct timespec now = clock_now();
    const char *dir = directory_for(d, m);
    char tmp[PATH_MAX];
    struct why why = {0};
    enum rc rc;
    int fd;

    if (m->size_limit > 0 && d->request.size > m->size_limit) {
        failed(d, m, "maildir", EFBIG, "message is larger than the mailbox may be", outcome);
        return;
    }
    snprintf(tmp, sizeof tmp, "%stmp/%lu.P%d." STR_FMT, dir, (unsigned long)now.tv_sec,
             (int)getpid(), STR_ARG(d->env->config->myhostname));
    fd = create_in_tmp(dir, tmp);
    if (fd < 0 && errno == EEXIST) { /* left by a crash within this second: make room */
        unlink(tmp);
        fd = create_in_tmp(dir, tmp);
    }
    if (fd < 0) {
        int error = errno;
        why_set(&why, RC_TEMP, "create maildir file %s: %m", tmp);
        failed(d, m, "maildir", error, why.text, outcome);
        return;
    }
    errno = 0;
    rc = deliver_copy(d, i, fd, m->copy_flags, m->delivered_to, STR("\n"), &why);
    if (rc == RC_OK)
        rc = move_to_new(d, dir, tmp, fd, now, &why);
    if (rc != RC_OK) {
        int error = errno ? errno : EIO;
        unlink(tmp);
        failed(d, m, "maildir", error, why.text, outcome);
    } else {
        *outcome = dsn_simple("2.0.0", STR("delivered to maildir"));
    }
    close(fd);
}

/* ---- mbox ---- */

static bool lock_is_used(const struct delivery *d, const char *style)
{
    struct str rest = strcmp(d->env->service->name, "virtual") == 0
                          ? d->env->config->virtual_mailbox_lock
                          : d->env->config->mailbox_delivery_lock;
    struct str word;

    while (str_token(&rest, LIST_SEPARATORS, &word))
        if (str_eq(word, str_of(style)))
            return true;
    return false;
}

/* path.lock, tried deliver_lock_attempts times; a stale one is removed. */
static bool dotlock(const struct delivery *d, const char *lock)
{
    const struct config *c = d->env->config;

    for (long n = 0; n < c->deliver_lock_attempts; n++) {
        struct stat st;
        int fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (fd >= 0) {
            close(fd);
            return true;
        }
        if (errno != EEXIST)
            return false;
        if (stat(lock, &st) == 0 && clock_seconds() - st.st_mtime > c->stale_lock_time)
            unlink(lock);
        else
            sleep((unsigned)c->deliver_lock_delay);
    }
    errno = EAGAIN;
    return false;
}

/* flock and fcntl (an open-file lock, which meets those of other programs); -1 with EAGAIN when
 * they stay taken. */
static int lock_file(const struct delivery *d, int fd)
{
    const struct config *c = d->env->config;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    for (long n = 0; n < c->deliver_lock_attempts; n++) {
        if ((!lock_is_used(d, "flock") || flock(fd, LOCK_EX | LOCK_NB) == 0) &&
            (!lock_is_used(d, "fcntl") || fcntl(fd, F_OFD_SETLK, &whole) == 0))
            return 0;
        sleep((unsigned)c->deliver_lock_delay);
    }
    errno = EAGAIN;
    return -1;
}

static int refuse_file(int fd, int error)
{
    close(fd);
    errno = error;
    return -1;
}

/* The file, a regular one with a single name, owned by the recipient when we make it. */
static int open_mbox(const struct mailbox *m, const char *path, struct stat *st)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);

    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (fd >= 0 && geteuid() == 0 && fchown(fd, m->uid, m->gid) < 0)
            return refuse_file(fd, errno);
    }
    if (fd >= 0 && fstat(fd, st) < 0)
        return refuse_file(fd, errno);
    if (fd >= 0 && (!S_ISREG(st->st_mode) || st->st_nlink != 1))
        return refuse_file(fd, EPERM);
    return fd;
}

/* Somebody else may have made the file in a directory where everybody can. */
static bool is_owner(const struct delivery *d, const struct mailbox *m, const struct stat *st)
{
    return !m->owned || d->env->rootless || !d->env->config->strict_mailbox_ownership ||
           st->st_uid == m->uid;
}

/* In a spool directory: as root where only root may create files, with the group that may write
 * there. */
static enum rc assume_for_spool(struct delivery *d, const struct mailbox *m, struct why *why)
{
    struct stat st;
    struct str dir =
        str_head(m->path, (size_t)(str_rindex(m->path, '/') > 0 ? str_rindex(m->path, '/') : 1));

    if (!m->spool || stat(arena_text(d->arena, dir), &st) < 0)
        return identity_assume(d->env, m->uid, m->gid, why);
    return identity_assume(d->env, st.st_mode & S_IWOTH ? m->uid : 0,
                           st.st_mode & S_IWGRP ? st.st_gid : m->gid, why);
}

static enum rc append(struct delivery *d, size_t i, const struct mailbox *m, int fd,
                      struct why *why)
{
    off_t before = lseek(fd, 0, SEEK_END);
    enum rc rc = RC_OK;
    struct stat st;

    errno = 0;
    if (m->size_limit > 0 && before + d->request.size > m->size_limit) {
        errno = EFBIG;
        return FAIL(why, RC_PERM, "mailbox size limit exceeded");
    }
    rc =
        deliver_copy(d, i, fd, m->copy_flags | COPY_FROM_LINE | COPY_QUOTE_FROM | COPY_BLANK_AT_END,
                     m->delivered_to, STR("\n"), why);
    if (rc == RC_OK && fsync(fd) < 0)
        rc = FAIL(why, RC_TEMP, "sync: %m");
    if (rc != RC_OK && before >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        int error = errno;
        (void)!ftruncate(fd, before);
        errno = error;
    }
    return rc;
}

static void deliver_mbox(struct delivery *d, size_t i, const struct mailbox *m, struct dsn *outcome)
{
    const char *path = arena_text(d->arena, m->path);
    const char *lock = arena_printf(d->arena, "%s.lock", path).p;
    bool want_dotlock = lock_is_used(d, "dotlock"), have_dotlock = false;
    struct why why = {0};
    struct stat st = {0};
    enum rc rc = RC_OK;
    int fd = -1;

    if (want_dotlock && !(have_dotlock = dotlock(d, lock)) && errno != EACCES && errno != EPERM)
        rc = FAIL(&why, RC_TEMP, "unable to create lock file %s: %m", lock);
    if (rc == RC_OK && (fd = open_mbox(m, path, &st)) < 0)
        rc = FAIL(&why, RC_TEMP, "cannot open mailbox %s: %m", path);
    if (rc == RC_OK && !is_owner(d, m, &st)) {
        errno = EPERM;
        rc = FAIL(&why, RC_TEMP, "destination %s is not owned by recipient", path);
        log_warning(&d->log, "%s belongs to user %u, not %u; see strict_mailbox_ownership", path,
                    st.st_uid, m->uid);
        errno = EPERM;
    }
    if (rc == RC_OK && lock_file(d, fd) < 0)
        rc = FAIL(&why, RC_TEMP, "cannot lock mailbox %s: %m", path);
    if (rc == RC_OK)
        rc = append(d, i, m, fd, &why);
    if (rc == RC_OK)
        *outcome = dsn_simple("2.0.0", STR("delivered to mailbox"));
    else
        failed(d, m, "mailbox", errno ? errno : EIO, why.text, outcome);
    if (have_dotlock)
        unlink(lock);
    if (fd >= 0)
        close(fd);
}

void mailbox_deliver(struct delivery *d, size_t index, const struct mailbox *m, struct dsn *outcome)
{
    bool maildir = m->path.n && m->path.p[m->path.n - 1] == '/';
    struct why why = {0};
    enum rc rc =
        maildir ? identity_assume(d->env, m->uid, m->gid, &why) : assume_for_spool(d, m, &why);

    if (rc != RC_OK)
        *outcome = dsn_simple("4.3.0", arena_copy(d->arena, str_of(why.text)));
    else if (maildir)
        deliver_maildir(d, index, m, outcome);
    else
        deliver_mbox(d, index, m, outcome);
    identity_restore(d->env);
}
