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

enum rc snapshot_read(bool master, struct arena *a, struct str *text, struct why *why)
{
    struct str second = str_of(getenv(CONFIG_FD_ENVIRONMENT)), first = str_cut(&second, ':');
    struct stat st;
    size_t n = 0;
    long fd;
    char *p;

    if (!str_to_long(master ? second : first, 0, INT_MAX, &fd))
        return FAIL(why, RC_CONFIG, "%s is not \"number:number\"", CONFIG_FD_ENVIRONMENT);
    TRY(file_stat((int)fd, &st, why));
    if (st.st_size > CONFIG_FILE_MAX)
        return FAIL(why, RC_CONFIG, "%s: longer than %d bytes", CONFIG_FD_ENVIRONMENT,
                    CONFIG_FILE_MAX);
    p = arena_alloc(a, (size_t)st.st_size + 1);
    while (n < (size_t)st.st_size) { /* pread: the offset is shared with other processes */
        ssize_t got = pread((int)fd, p + n, (size_t)st.st_size - n, (off_t)n);
        if (got < 0)
            return FAIL(why, RC_TEMP, "read the configuration from descriptor %ld: %m", fd);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *text = (struct str){p, n};
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
