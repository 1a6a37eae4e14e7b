/* unix: passwd.byname and group.byname, as the line of the file would be. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "table/driver.h"
#include "util/buf.h"
#include "util/memory.h"

enum { NAME_SERVICE_USUAL = 2048, NAME_SERVICE_MAX = 1024 * 1024 };

/* RC_NONE: no such name. RC_PERM: the space is too small. */
typedef enum rc lookup(const char *name, char *space, size_t bytes, struct arena *a,
                       struct str *value, struct why *why);

struct unix_map {
    lookup *get;
};

/* What the name service's answer means when it found nothing. */
static enum rc not_found(int error, const char *what, const char *name, struct why *why)
{
    if (error == ERANGE)
        return RC_PERM;
    if (error == 0 || error == ENOENT || error == ESRCH)
        return RC_NONE;
    errno = error;
    return FAIL(why, RC_TEMP, "%s database lookup of %s: %m", what, name);
}

static enum rc passwd_by_name(const char *name, char *space, size_t bytes, struct arena *a,
                              struct str *value, struct why *why)
{
    struct passwd entry, *found = NULL;
    int error = getpwnam_r(name, &entry, space, bytes, &found);

    if (found == NULL)
        return not_found(error, "user", name, why);
    *value = arena_printf(a, "%s:%s:%ld:%ld:%s:%s:%s", entry.pw_name, entry.pw_passwd,
                          (long)entry.pw_uid, (long)entry.pw_gid, entry.pw_gecos, entry.pw_dir,
                          entry.pw_shell);
    return RC_OK;
}

static enum rc group_by_name(const char *name, char *space, size_t bytes, struct arena *a,
                             struct str *value, struct why *why)
{
    struct group entry, *found = NULL;
    int error = getgrnam_r(name, &entry, space, bytes, &found);
    AUTO_BUF line = {0};

    if (found == NULL)
        return not_found(error, "group", name, why);
    buf_init(&line, NAME_SERVICE_MAX);
    buf_addf(&line, "%s:%s:%ld:", entry.gr_name, entry.gr_passwd, (long)entry.gr_gid);
    for (char **member = entry.gr_mem; *member; member++)
        buf_addf(&line, "%s%s", member == entry.gr_mem ? "" : ",", *member);
    *value = arena_copy(a, buf_str(&line));
    return RC_OK;
}

static enum rc unix_open(struct driver_open *o, struct why *why)
{
    struct unix_map *m = arena_new_of(o->arena, struct unix_map);

    if (str_eq(o->name, STR("passwd.byname")))
        m->get = passwd_by_name;
    else if (str_eq(o->name, STR("group.byname")))
        m->get = group_by_name;
    else
        return FAIL(why, RC_CONFIG, "unknown table: unix:" STR_FMT, STR_ARG(o->name));
    o->state = m;
    return RC_OK;
}

static enum rc unix_get(void *state, struct str key, struct arena *a, struct str *value,
                        struct why *why)
{
    const struct unix_map *m = state;
    char usual[NAME_SERVICE_USUAL], *name = arena_text(a, key);
    enum rc rc = m->get(name, usual, sizeof usual, a, value, why);

    for (size_t bytes = sizeof usual * 8; rc == RC_PERM && bytes <= NAME_SERVICE_MAX; bytes *= 8) {
        char *space = memory_new(bytes);
        rc = m->get(name, space, bytes, a, value, why);
        free(space);
    }
    if (rc == RC_PERM)
        return FAIL(why, RC_TEMP, "entry of %s is larger than %d bytes", name, NAME_SERVICE_MAX);
    return rc;
}

const struct table_driver table_driver_unix = {
    .type = "unix",
    .flags = DRIVER_FOLDS | DRIVER_THREADS,
    .open = unix_open,
    .get = unix_get,
};
