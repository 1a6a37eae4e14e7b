/* Users and groups of an instance. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postfix/postfix.h"

/* A name, or a number where the group has no name. */
static enum rc find_group(struct str name, gid_t *gid, struct why *why)
{
    const struct group *g = getgrnam(name.p);
    long number;

    if (g == NULL && str_to_long(name, 0, INT_MAX, &number)) {
        *gid = (gid_t)number;
        return RC_OK;
    }
    if (g == NULL)
        return FAIL(why, RC_CONFIG,
                    "setgid_group = %s: no such group; create it (groupadd --system %s) or name "
                    "another one",
                    name.p, name.p);
    *gid = g->gr_gid;
    return RC_OK;
}

enum rc accounts_find(struct postfix *p, struct why *why)
{
    const struct config *c = p->config;
    const struct passwd *owner;

    p->root_uid = geteuid();
    p->owner_uid = geteuid();
    p->owner_gid = p->setgid_gid = getegid();
    if (p->rootless)
        return RC_OK;
    owner = getpwnam(c->mail_owner.p);
    if (owner == NULL)
        return FAIL(why, RC_CONFIG,
                    "mail_owner = %s: no such user; create it (useradd --system %s) or name "
                    "another one",
                    c->mail_owner.p, c->mail_owner.p);
    if (owner->pw_uid == 0)
        return FAIL(why, RC_CONFIG,
                    "mail_owner = %s: it is the super-user; name an account of its own",
                    c->mail_owner.p);
    p->owner_uid = owner->pw_uid;
    p->owner_gid = owner->pw_gid;
    TRY(find_group(c->setgid_group, &p->setgid_gid, why));
    if (p->setgid_gid == p->owner_gid)
        return FAIL(why, RC_CONFIG,
                    "setgid_group = %s: it is the group of mail_owner %s; name a group of its own",
                    c->setgid_group.p, c->mail_owner.p);
    return RC_OK;
}

/* The directory, or the nearest one above it that exists. */
static bool is_ours(const char *path)
{
    char part[PATH_MAX];
    struct stat st;
    size_t n = strlen(path);

    if (n >= sizeof part)
        return false;
    memcpy(part, path, n + 1);
    if (stat(part, &st) == 0)
        return st.st_uid == geteuid();
    while (errno == ENOENT && n > 1) {
        while (n > 1 && part[n - 1] != '/')
            n--;
        part[n > 1 ? n - 1 : 1] = '\0';
        if (stat(part, &st) == 0)
            return access(part, W_OK) == 0;
    }
    return false;
}

enum rc accounts_check_caller(struct postfix *p, struct why *why)
{
    const char *paths[] = {p->config_directory, p->config->queue_directory.p,
                           p->config->data_directory.p};

    if (!p->rootless)
        return RC_OK;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (!is_ours(paths[i]))
            return FAIL(why, RC_CONFIG,
                        "the postfix command is reserved for the superuser; an ordinary user may "
                        "run an instance whose directories are all their own, and %s is not",
                        paths[i]);
    return RC_OK;
}
