#include "config/snapshot.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "util/file.h"

bool snapshot_is_there(void)
{
    const char *text = getenv(CONFIG_FD_ENVIRONMENT);

    return text && *text;
}

static enum rc check_no_nul(const char *what, struct str text, struct why *why)
{
    ssize_t at = str_index(text, '\0');

    if (at >= 0)
        return FAIL(why, RC_CONFIG, "%s: NUL byte at offset %zd; it is no text file", what, at);
    return RC_OK;
}

/* pread: the offset is shared with other processes. */
static enum rc read_descriptor(int fd, off_t max, struct arena *a, struct str *text,
                               struct why *why)
{
    struct stat st;
    size_t n = 0;
    char *p;

    TRY(file_stat(fd, &st, why));
    if (st.st_size > max)
        return FAIL(why, RC_CONFIG, "descriptor %d: longer than %ld bytes", fd, (long)max);
    p = arena_alloc(a, (size_t)st.st_size + 1);
    while (n < (size_t)st.st_size) {
        ssize_t got = pread(fd, p + n, (size_t)st.st_size - n, (off_t)n);
        if (got < 0)
            return FAIL(why, RC_TEMP, "read the configuration from descriptor %d: %m", fd);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *text = (struct str){p, n};
    return RC_OK;
}

enum rc snapshot_file(struct str path, struct arena *a, struct str *text, struct why *why)
{
    struct str rest, name, size;
    long fd, n;

    if (!str_to_long(str_of(getenv(FILES_FD_ENVIRONMENT)), 0, INT_MAX, &fd))
        return RC_NONE;
    TRY(read_descriptor((int)fd, LONG_MAX - 1, a, &rest, why));
    while (rest.n) {
        name = str_cut(&rest, '\n');
        size = str_cut(&rest, '\n');
        if (!str_to_long(size, 0, (long)rest.n, &n))
            return FAIL(why, RC_CONFIG, "%s: malformed", FILES_FD_ENVIRONMENT);
        if (str_eq(name, path)) {
            *text = str_head(rest, (size_t)n);
            return RC_OK;
        }
        rest = str_from(rest, (size_t)n);
    }
    return RC_NONE;
}

enum rc snapshot_parse_file(const char *path, size_t max, bool again, const struct log *log,
                            struct arena *a, snapshot_parse *parse, void *context, struct why *why)
{
    struct str text = STR_NONE;
    struct why trouble = {0};
    enum rc rc = file_read(path, max, a, &text, &trouble);

    if (rc == RC_OK)
        rc = parse(context, text, &trouble);
    else if (rc == RC_NONE)
        why_set(&trouble, rc, "open %s: no such file", path);
    if (rc == RC_OK)
        return RC_OK;
    if (!again && snapshot_file(str_of(path), a, &text, NULL) == RC_OK &&
        parse(context, text, NULL) == RC_OK) {
        if (log)
            log_error(log, "%s; what stood there at the last start or reload stays in force",
                      trouble.text);
        return RC_OK;
    }
    return FAIL(why, rc, "%s", trouble.text);
}

enum rc snapshot_read(bool master, struct arena *a, struct str *text, struct why *why)
{
    struct str second = str_of(getenv(CONFIG_FD_ENVIRONMENT)), first = str_cut(&second, ':');
    long fd;

    if (!str_to_long(master ? second : first, 0, INT_MAX, &fd))
        return FAIL(why, RC_CONFIG, "%s is not \"number:number\"", CONFIG_FD_ENVIRONMENT);
    TRY(read_descriptor((int)fd, CONFIG_FILE_MAX, a, text, why));
    return check_no_nul(CONFIG_FD_ENVIRONMENT, *text, why);
}

enum rc config_file_read(const char *dir, const char *name, struct arena *a, struct str *text,
                         struct why *why)
{
    char path[PATH_MAX];
    enum rc rc;

    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return FAIL(why, RC_CONFIG, "%s: name too long", dir);
    rc = file_read(path, CONFIG_FILE_MAX, a, text, why);
    if (rc != RC_OK) {
        if (why)
            why->rc = RC_CONFIG;
        return RC_CONFIG;
    }
    return check_no_nul(path, *text, why);
}
