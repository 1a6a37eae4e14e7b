#include "util/log_rotate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAME_NAME_TRIES = 1000 };

/* When the file was made; file systems that do not know tell when it was last written. */
static time_t birth_of(const char *path, const struct stat *st)
{
    struct statx x;

    if (statx(AT_FDCWD, path, 0, STATX_BTIME, &x) == 0 && (x.stx_mask & STATX_BTIME))
        return (time_t)x.stx_btime.tv_sec;
    return st->st_mtime;
}

static bool is_due(const struct log_rotation *r, const struct stat *st, time_t now)
{
    if (!S_ISREG(st->st_mode) || st->st_size == 0)
        return false;
    if (r->max_bytes > 0 && st->st_size >= r->max_bytes)
        return true;
    return r->max_seconds > 0 && now - birth_of(r->path, st) >= r->max_seconds;
}

/* A name that is not there: PATH.STAMP, PATH.STAMP.1 ... */
static enum rc choose_name(const struct log_rotation *r, time_t now, char name[PATH_MAX],
                           struct why *why)
{
    char stamp[256];
    struct tm tm;

    localtime_r(&now, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the administrator's own format */
    if (strftime(stamp, sizeof stamp, r->suffix, &tm) == 0)
#pragma GCC diagnostic pop
        snprintf(stamp, sizeof stamp, "%ld", (long)now);
    for (int i = 0; i < SAME_NAME_TRIES; i++) {
        int n = i ? snprintf(name, PATH_MAX, "%s.%s.%03d", r->path, stamp, i)
                  : snprintf(name, PATH_MAX, "%s.%s", r->path, stamp);
        if (n >= PATH_MAX)
            return FAIL(why, RC_TEMP, "%s: name too long", r->path);
        if (access(name, F_OK) < 0 && errno == ENOENT)
            return RC_OK;
    }
    return FAIL(why, RC_TEMP, "%s.%s: no free name", r->path, stamp);
}

/* The new file is there before the name is free, so that nobody makes one with other rights. */
static enum rc replace(const struct log_rotation *r, const char *name, struct why *why)
{
    char new[PATH_MAX];
    int fd;

    if (snprintf(new, sizeof new, "%s.new", r->path) >= (int)sizeof new)
        return FAIL(why, RC_TEMP, "%s: name too long", r->path);
    (void)unlink(new);
    fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return FAIL(why, RC_TEMP, "make %s: %m", new);
    if ((r->uid != (uid_t)-1 && fchown(fd, r->uid, r->gid) < 0) || fchmod(fd, r->mode) < 0 ||
        link(r->path, name) < 0 || rename(new, r->path) < 0) {
        enum rc rc = FAIL(why, RC_TEMP, "rotate %s: %m", r->path);
        close(fd);
        (void)unlink(new);
        return rc;
    }
    close(fd);
    return RC_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names sort by time; the first are the oldest. */
static void remove_oldest(const struct log_rotation *r)
{
    const char *slash = strrchr(r->path, '/');
    AUTO_ARENA a = arena_new(4096);
    struct str prefix = arena_printf(a, "%s.", slash ? slash + 1 : r->path);
    struct str directory =
        slash ? arena_copy(a, (struct str){r->path, (size_t)(slash - r->path) + 1}) : STR("./");
    VEC(const char *) names = {0};
    DIR *d = opendir(directory.p);
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (str_has_prefix(str_of(e->d_name), prefix) && is_digit(e->d_name[prefix.n]))
            vec_add(a, &names, arena_text(a, str_of(e->d_name)));
    if (d)
        closedir(d);
    if (names.n)
        qsort(names.v, names.n, sizeof *names.v, by_name);
    for (size_t i = 0; i + (size_t)r->keep < names.n; i++)
        (void)unlink(arena_printf(a, STR_FMT "%s", STR_ARG(directory), names.v[i]).p);
}

enum rc log_rotate(const struct log_rotation *r, time_t now, struct why *why)
{
    char name[PATH_MAX];
    struct stat st;

    if (stat(r->path, &st) < 0 || !is_due(r, &st, now))
        return RC_NONE;
    TRY(choose_name(r, now, name, why));
    TRY(replace(r, name, why));
    if (r->keep > 0)
        remove_oldest(r);
    return RC_OK;
}
