/* Where queue files stand: paths with hash directories, moving, removing, reading directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "queue/queue.h"
#include "util/file.h"

enum { HASH_DEPTH_MAX = 32, DIRECTORY_MODE = 0700 };

static bool is_hashed(const struct queue *q, struct str queue_name)
{
    struct str rest = q->hashed, name;

    while (str_token(&rest, LIST_SEPARATORS, &name))
        if (str_eq(name, queue_name))
            return true;
    return false;
}

/* Short and long ids hash alike: by the microseconds in hexadecimal, with which short ones begin.
 */
static struct str hash_text(struct str id, char space[16])
{
    struct timespec created;

    if (!queue_id_is_long(id) || queue_id_time(id, &created, NULL) != RC_OK)
        return id;
    snprintf(space, 16, "%05lX", (unsigned long)created.tv_nsec / 1000);
    return str_of(space);
}

void queue_path(const struct queue *q, struct str queue_name, struct str id, char path[256])
{
    char space[16], hash[HASH_DEPTH_MAX * 2 + 1], *p = hash;

    if (is_hashed(q, queue_name)) {
        struct str text = hash_text(id, space);
        for (size_t i = 0; i < (size_t)q->hash_depth && i < HASH_DEPTH_MAX; i++) {
            *p++ = i < text.n ? text.p[i] : '_';
            *p++ = '/';
        }
    }
    *p = '\0';
    snprintf(path, QUEUE_PATH_SIZE, STR_FMT "/%s" STR_FMT, STR_ARG(queue_name), hash, STR_ARG(id));
}

enum rc queue_make_directories(const struct queue *q, const char *path, struct why *why)
{
    char part[QUEUE_PATH_SIZE];

    for (size_t i = 1; i < sizeof part && path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdirat(q->dir, part, DIRECTORY_MODE) < 0 && errno != EEXIST)
            return FAIL(why, RC_TEMP, "mkdir %s: %m", part);
    }
    return RC_OK;
}

enum rc queue_rename(const struct queue *q, const char *from, const char *to, struct why *why)
{
    if (renameat(q->dir, from, q->dir, to) == 0)
        return RC_OK;
    if (errno == ENOENT && faccessat(q->dir, from, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        TRY(queue_make_directories(q, to, why));
        if (renameat(q->dir, from, q->dir, to) == 0)
            return RC_OK;
    }
    if (errno == ENOENT)
        return FAIL(why, RC_NONE, "rename %s to %s: %m", from, to);
    return FAIL(why, RC_TEMP, "rename %s to %s: %m", from, to);
}

enum rc queue_move(const struct queue *q, struct str from, struct str to, struct str id,
                   struct why *why)
{
    char old_path[QUEUE_PATH_SIZE], new_path[QUEUE_PATH_SIZE];

    queue_path(q, from, id, old_path);
    queue_path(q, to, id, new_path);
    return queue_rename(q, old_path, new_path, why);
}

enum rc queue_remove(const struct queue *q, struct str queue_name, struct str id, struct why *why)
{
    char path[QUEUE_PATH_SIZE];

    queue_path(q, queue_name, id, path);
    if (unlinkat(q->dir, path, 0) == 0)
        return RC_OK;
    if (errno == ENOENT)
        return FAIL(why, RC_NONE, "remove %s: %m", path);
    return FAIL(why, RC_TEMP, "remove %s: %m", path);
}

struct scan {
    const struct queue *q;
    bool (*each)(void *context, struct str id, const char *path);
    void *context;
    bool stopped;
};

static bool is_directory(int dir, const struct dirent *e)
{
    struct stat st;

    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Hash directories have names of one character; whatever hash_queue_depth was once, they are found.
 */
static enum rc scan_directory(struct scan *s, const char *path, int depth, struct why *why)
{
    int fd = openat(s->q->dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    enum rc rc = RC_OK;

    if (d == NULL)
        rc = FAIL(why, errno == ENOENT ? RC_NONE : RC_TEMP, "open directory %s: %m", path);
    if (d == NULL && fd >= 0)
        close(fd);
    while (rc == RC_OK && !s->stopped && d && (errno = 0, e = readdir(d))) {
        char name[QUEUE_PATH_SIZE];
        if (e->d_name[0] == '.' ||
            snprintf(name, sizeof name, "%s/%s", path, e->d_name) >= (int)sizeof name)
            continue;
        if (!is_directory(fd, e))
            s->stopped = !s->each(s->context, str_of(e->d_name), name);
        else if (e->d_name[1] == '\0' && depth < HASH_DEPTH_MAX)
            rc = scan_directory(s, name, depth + 1, why);
        if (rc == RC_NONE) /* a hash directory that somebody removed just now */
            rc = RC_OK;
    }
    if (d)
        closedir(d);
    return rc;
}

enum rc queue_scan(const struct queue *q, struct str queue_name,
                   bool (*each)(void *context, struct str id, const char *path), void *context,
                   struct why *why)
{
    struct scan s = {q, each, context, false};
    char name[QUEUE_PATH_SIZE];

    snprintf(name, sizeof name, STR_FMT, STR_ARG(queue_name));
    return scan_directory(&s, name, 0, why);
}

enum rc queue_sync_directory(const struct queue *q, const char *path, struct why *why)
{
    char directory[QUEUE_PATH_SIZE];
    ssize_t slash = str_rindex(str_of(path), '/');

    snprintf(directory, sizeof directory, "%.*s", slash > 0 ? (int)slash : 1,
             slash > 0 ? path : ".");
    AUTO_CLOSE int fd = openat(q->dir, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return FAIL(why, RC_TEMP, "sync directory %s: %m", directory);
    return RC_OK;
}
