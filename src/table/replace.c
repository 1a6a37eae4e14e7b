#include "table/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/file.h"

/* Is the open file still the one of that name? */
static bool is_current(int fd, const char *path)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

/* Open and lock; again when somebody renamed it away while we waited for the lock. */
static enum rc open_locked(const char *path, int how, int *fd, struct why *why)
{
    for (;;) {
        int opened = open(path, how | O_CLOEXEC | O_NOFOLLOW, 0644);
        enum rc rc;
        if (opened < 0)
            return FAIL(why, errno == ENOENT ? RC_NONE : RC_TEMP, "open database %s: %m", path);
        rc = fd_lock(opened, true, true, why);
        if (rc == RC_OK && is_current(opened, path)) {
            *fd = opened;
            return RC_OK;
        }
        close(opened);
        TRY(rc);
    }
}

static enum rc take_owner(int fd, int old_fd, const char *tmp, struct why *why)
{
    struct stat st;

    TRY(file_stat(old_fd, &st, why));
    if (fchmod(fd, st.st_mode & 0777) < 0)
        return FAIL(why, RC_TEMP, "chmod %s: %m", tmp);
    if (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
        return FAIL(why, RC_TEMP, "chown %s: %m", tmp);
    return RC_OK;
}

enum rc replacement_begin(struct replacement *r, const char *path, struct arena *a, struct why *why)
{
    char *real = realpath(path, NULL);
    enum rc rc;

    *r = (struct replacement){.fd = -1, .old_fd = -1};
    r->path = real ? arena_text(a, str_of(real)) : path;
    free(real);
    r->tmp = arena_text(a, arena_printf(a, "%s.tmp", r->path));
    rc = open_locked(r->path, O_RDWR, &r->old_fd, why);
    if (rc == RC_NONE || rc == RC_OK)
        rc = open_locked(r->tmp, O_RDWR | O_CREAT, &r->fd, why);
    if (rc == RC_OK && ftruncate(r->fd, 0) < 0)
        rc = FAIL(why, RC_TEMP, "truncate %s: %m", r->tmp);
    if (rc == RC_OK && r->old_fd >= 0)
        rc = take_owner(r->fd, r->old_fd, r->tmp, why);
    if (rc != RC_OK)
        replacement_end(r);
    return rc == RC_NONE ? RC_TEMP : rc;
}

enum rc replacement_commit(struct replacement *r, struct why *why)
{
    if (fsync(r->fd) < 0)
        return FAIL(why, RC_TEMP, "sync %s: %m", r->tmp);
    if (rename(r->tmp, r->path) < 0)
        return FAIL(why, RC_TEMP, "rename %s to %s: %m", r->tmp, r->path);
    close(r->fd);
    r->fd = -1;
    return RC_OK;
}

void replacement_end(struct replacement *r)
{
    if (r->fd >= 0) {
        unlink(r->tmp);
        close(r->fd);
    }
    if (r->old_fd >= 0)
        close(r->old_fd);
    r->fd = r->old_fd = -1;
}
