/* pid/master.pid and master.lock: their locks say that a master runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "master/master.h"
#include "util/file.h"

static enum rc pid_path(const struct config *c, char path[PATH_MAX], struct why *why)
{
    int n = snprintf(path, PATH_MAX, STR_FMT "/" STR_FMT "/master.pid", STR_ARG(c->queue_directory),
                     STR_ARG(c->process_id_directory));

    return n < PATH_MAX ? RC_OK : FAIL(why, RC_CONFIG, "process_id_directory: name too long");
}

/* The pid in columns as wide as scripts know them. */
static enum rc lock_file(const char *path, int *out, struct why *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    char text[64];
    int n;

    if (fd < 0)
        return FAIL(why, RC_CONFIG, "open lock file %s: %m", path);
    if (fd_lock(fd, true, false, why) != RC_OK) {
        close(fd);
        why_prefix(why, "lock %s", path);
        return RC_TEMP;
    }
    n = snprintf(text, sizeof text, "%*lu\n", (int)(4 * sizeof(long)), (unsigned long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        close(fd);
        return FAIL(why, RC_TEMP, "write %s: %m", path);
    }
    *out = fd;
    return RC_OK;
}

enum rc lock_is_free(const struct config *config, struct why *why)
{
    char path[PATH_MAX];

    TRY(pid_path(config, path, why));
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0)
        return FAIL(why, RC_CONFIG, "open lock file %s: %m", path);
    return fd_lock(fd, true, false, why);
}

enum rc lock_take(struct master *m, struct why *why)
{
    const struct config *c = m->current->config;
    char path[PATH_MAX];

    TRY(pid_path(c, path, why));
    TRY(lock_file(path, &m->pid_lock, why));
    if (snprintf(path, sizeof path, STR_FMT "/master.lock", STR_ARG(c->data_directory)) >=
        (int)sizeof path)
        return FAIL(why, RC_CONFIG, "data_directory: name too long");
    return lock_file(path, &m->data_lock, why);
}
