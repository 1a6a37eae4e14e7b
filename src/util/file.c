#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

void fd_cleanup(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

enum rc file_stat(int fd, struct stat *st, struct why *why)
{
    if (fstat(fd, st) < 0)
        return FAIL(why, RC_TEMP, "fstat: %m");
    return RC_OK;
}

enum rc fd_read_all(int fd, size_t max, struct arena *a, struct str *text, struct why *why)
{
    struct stat st;
    size_t cap, n = 0;
    char *p;

    TRY(file_stat(fd, &st, why));
    cap = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 1 : 4096;
    p = arena_alloc(a, cap + 1);
    for (;;) {
        ssize_t got = read(fd, p + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FAIL(why, RC_TEMP, "read: %m");
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > max)
            return FAIL(why, RC_TEMP, "longer than %zu bytes", max);
        if (n == cap) {
            char *more = arena_alloc(a, cap * 2 + 1);
            memcpy(more, p, n);
            p = more;
            cap *= 2;
        }
    }
    p[n] = '\0';
    *text = (struct str){p, n};
    return RC_OK;
}

enum rc file_read(const char *path, size_t max, struct arena *a, struct str *text, struct why *why)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    enum rc rc;

    if (fd < 0 && errno == ENOENT)
        return FAIL(why, RC_NONE, "open %s: %m", path);
    if (fd < 0)
        return FAIL(why, RC_TEMP, "open %s: %m", path);
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) /* its end may never come */
        return FAIL(why, RC_TEMP, "open %s: not a regular file", path);
    rc = fd_read_all(fd, max, a, text, why);
    if (rc != RC_OK)
        why_prefix(why, "%s", path);
    return rc;
}

enum rc fd_write_all(int fd, struct str bytes, struct why *why)
{
    while (bytes.n) {
        ssize_t done = write(fd, bytes.p, bytes.n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return FAIL(why, RC_TEMP, "write: %m");
        bytes = str_from(bytes, (size_t)done);
    }
    return RC_OK;
}

enum rc file_replace(const char *path, struct str text, mode_t mode, struct why *why)
{
    char temporary[4096];
    struct stat old;
    enum rc rc = RC_OK;
    int fd;

    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return FAIL(why, RC_PERM, "%s: name too long", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return FAIL(why, RC_TEMP, "open %s: %m", temporary);
    if (stat(path, &old) == 0 &&
        (fchown(fd, old.st_uid, old.st_gid) < 0 || fchmod(fd, old.st_mode & 07777) < 0) &&
        old.st_uid != geteuid())
        rc = FAIL(why, RC_TEMP, "keep owner and mode of %s: %m", path);
    if (rc == RC_OK)
        rc = fd_write_all(fd, text, why);
    if (rc == RC_OK && fsync(fd) < 0)
        rc = FAIL(why, RC_TEMP, "sync %s: %m", temporary);
    close(fd);
    if (rc == RC_OK && rename(temporary, path) < 0)
        rc = FAIL(why, RC_TEMP, "rename %s to %s: %m", temporary, path);
    if (rc != RC_OK)
        unlink(temporary);
    return rc;
}

enum rc fd_lock(int fd, bool exclusive, bool wait, struct why *why)
{
    while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB)) < 0) {
        if (errno == EINTR)
            continue;
        return FAIL(why, RC_TEMP, errno == EWOULDBLOCK ? "in use by another process" : "lock: %m");
    }
    return RC_OK;
}

enum rc fd_set_blocking(int fd, bool blocking, struct why *why)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) < 0)
        return FAIL(why, RC_TEMP, "fcntl: %m");
    return RC_OK;
}

enum rc dir_make(const char *path, mode_t mode, struct why *why)
{
    char part[4096];
    size_t n = strlen(path);

    if (n >= sizeof part)
        return FAIL(why, RC_PERM, "%s: name too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, i == n ? mode : 0755) < 0 && errno != EEXIST && errno != EISDIR)
            return FAIL(why, RC_TEMP, "mkdir %s: %m", part);
    }
    return RC_OK;
}
