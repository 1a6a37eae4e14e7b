#include "service/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "config/config.h"
#include "util/file.h"

static enum rc pid_path(const struct config *c, char path[PATH_MAX], struct why *why)
{
    int n = snprintf(path, PATH_MAX, STR_FMT "/" STR_FMT "/master.pid", STR_ARG(c->queue_directory),
                     STR_ARG(c->process_id_directory));

    return n < PATH_MAX ? RC_OK : FAIL(why, RC_CONFIG, "process_id_directory: name too long");
}

static pid_t pid_in(int fd)
{
    char text[64];
    ssize_t n = pread(fd, text, sizeof text, 0);
    long pid = 0;

    if (n <= 0 || !str_to_long(str_trim((struct str){text, (size_t)n}), 1, INT_MAX, &pid))
        return -1;
    return (pid_t)pid;
}

enum rc master_lock_test(const struct config *config, pid_t *pid, struct why *why)
{
    char path[PATH_MAX];

    *pid = 0;
    TRY(pid_path(config, path, why));
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0)
        return FAIL(why, RC_CONFIG, "open lock file %s: %m", path);
    if (fd_lock(fd, true, false, why) != RC_OK)
        *pid = pid_in(fd);
    return RC_OK;
}

/* The pid stands in columns as wide as scripts know them. */
static enum rc lock_file(const char *path, int *out, struct why *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    char text[64];
    int n;

    if (fd < 0)
        return FAIL(why, RC_CONFIG, "open lock file %s: %m", path);
    if (fd_lock(fd, true, false, why) != RC_OK) {
        close(fd);
        why_prefix(why, "lock file %s: another master is running", path);
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

enum rc master_lock_take(const struct config *config, int *pid_file, int *data_file,
                         struct why *why)
{
    char path[PATH_MAX];

    TRY(pid_path(config, path, why));
    TRY(lock_file(path, pid_file, why));
    if (snprintf(path, sizeof path, STR_FMT "/master.lock", STR_ARG(config->data_directory)) >=
        (int)sizeof path)
        return FAIL(why, RC_CONFIG, "data_directory: name too long");
    return lock_file(path, data_file, why);
}

long master_lock_stamp(const struct config *config)
{
    char path[PATH_MAX];
    struct stat st;

    if (pid_path(config, path, NULL) != RC_OK || stat(path, &st) < 0)
        return 0;
    return st.st_mtim.tv_sec * 1000000000L + st.st_mtim.tv_nsec;
}
