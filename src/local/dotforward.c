/* forward_path: a file of the user's own that says where the mail is to go. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "config/config.h"
#include "local/local.h"
#include "util/file.h"

enum { FORWARD_FILE_MAX = 1024 * 1024 };

/* Without the user's rights: surely not there? */
static bool is_surely_missing(const char *path)
{
    return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW | AT_EACCESS) < 0 &&
           (errno == ENOENT || errno == ENOTDIR);
}

static enum rc check(const struct user *user, const char *path, const struct stat *st,
                     struct why *why)
{
    if (!S_ISREG(st->st_mode))
        return FAIL(why, RC_PERM, "%s: not a regular file", path);
    if (st->st_uid != 0 && st->st_uid != user->uid)
        return FAIL(why, RC_PERM, "%s: owned by user %u; it must belong to " STR_FMT " or to root",
                    path, st->st_uid, STR_ARG(user->name));
    if (st->st_mode & S_IWOTH)
        return FAIL(why, RC_PERM, "%s: world-writable; run: chmod o-w %s", path, path);
    return RC_OK;
}

/* RC_NONE: there is none. RC_PERM: there is one that must not be used. */
static enum rc read_as(struct attempt *at, const struct user *user, const char *path,
                       struct str *text, struct why *why)
{
    struct stat st;
    enum rc rc;
    int fd;

    if (is_surely_missing(path))
        return RC_NONE;
    TRY(identity_assume(at->env, user->uid, user->gid, why));
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        why_set(why, RC_TEMP, "open %s: %m", path);
    rc = fd >= 0                               ? file_stat(fd, &st, why)
         : errno == ENOENT || errno == ENOTDIR ? RC_NONE
         : errno == EACCES || errno == ELOOP   ? RC_PERM
                                               : RC_TEMP;
    identity_restore(at->env);
    if (rc == RC_OK)
        rc = check(user, path, &st, why);
    if (rc == RC_OK)
        rc = fd_read_all(fd, FORWARD_FILE_MAX, at->arena, text, why);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The first file that is there. */
static enum rc find(struct attempt *at, const struct target *t, const struct user *user,
                    struct str *text, struct str *path, struct why *why)
{
    const struct config *config = at->env->config;
    struct str rest = config->forward_path, pattern;

    while (str_token_braced(&rest, LIST_SEPARATORS, &pattern)) {
        bool missing;
        enum rc rc;
        *path = expand_for(at, t, user, pattern, config->forward_expansion_filter.p, &missing);
        if (missing || path->n == 0 || path->p[0] != '/')
            continue;
        rc = read_as(at, user, arena_text(at->arena, *path), text, why);
        if (rc == RC_PERM)
            log_warning(&at->d->log, "%s -- the file is not used", why->text);
        else if (rc != RC_NONE)
            return rc;
    }
    return RC_NONE;
}

bool deliver_dotforward(struct attempt *at, struct target *t, const struct user *user)
{
    struct str text = STR(""), path = STR("");
    struct target child = *t;
    struct why why = {0};
    enum rc rc = find(at, t, user, &text, &path, &why);

    if (rc == RC_NONE)
        return false;
    if (rc != RC_OK) {
        reportf(at, t, "4.3.0", "%s", why.text);
        return true;
    }
    if (expansion_size(at, text) == 0)
        return false; /* nothing but comments */
    if (!is_first(at, "forward " STR_FMT, STR_ARG(path)))
        return false; /* the user stands in the user's own file: the mailbox is meant */
    if (at->d->request.flags & DELIVER_MTA_VERIFY) {
        reportf(at, t, "2.0.0", "forwarded via " STR_FMT, STR_ARG(path));
        return true;
    }
    child.parent = t;
    child.alias = STR("");
    child.delivered = t->delivered;
    deliver_expansion(at, &child, text, FROM_FORWARD, user);
    return true;
}
