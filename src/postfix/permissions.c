/* postfix set-permissions: owners and modes as postfix-files and layout.def say. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postfix/files.h"
#include "postfix/postfix.h"

static enum rc apply(const struct postfix *p, const struct installed *x, struct why *why)
{
    const struct passwd *owner = x->owner.n ? getpwnam(x->owner.p) : NULL;
    const struct group *group = x->group.n ? getgrnam(x->group.p) : NULL;
    struct stat st;

    if (lstat(x->path.p, &st) < 0)
        return errno == ENOENT ? RC_OK : FAIL(why, RC_TEMP, "%s: %m", x->path.p);
    if (S_ISLNK(st.st_mode))
        return RC_OK;
    if (!p->rootless && (owner || group) &&
        chown(x->path.p, owner ? owner->pw_uid : (uid_t)-1, group ? group->gr_gid : (gid_t)-1) < 0)
        return FAIL(why, RC_TEMP, "chown %s: %m", x->path.p);
    if (x->mode && chmod(x->path.p, p->rootless ? x->mode & 0777 : x->mode) < 0)
        return FAIL(why, RC_TEMP, "chmod %s: %m", x->path.p);
    return RC_OK;
}

/* name=value arguments replace what main.cf says, as in an installation with other accounts. */
static enum rc use_arguments(struct postfix *p, struct arena *a, struct why *why)
{
    VEC(struct config_setting) settings = {0};
    struct config *other;

    for (int i = 0; i < p->argc; i++) {
        struct config_setting s = {0};
        TRY(config_parse_setting(str_of(p->argv[i]), &s, why));
        vec_add(a, &settings, s);
    }
    if (settings.n == 0)
        return RC_OK;
    TRY(config_overlay(p->config, settings.v, settings.n, &other, why));
    p->config = other;
    return RC_OK;
}

static enum rc set_all(struct postfix *p, struct arena *a, struct why *why)
{
    struct installed_list list = {0};

    TRY(use_arguments(p, a, why));
    TRY(accounts_find(p, why));
    TRY(layout_set(p, why));
    TRY(files_read(p->config, a, &list, why));
    for (size_t i = 0; i < list.n; i++)
        if (list.v[i].type == 'f' || list.v[i].type == 'd')
            TRY(apply(p, &list.v[i], why));
    return RC_OK;
}

int run_set_permissions(struct postfix *p)
{
    AUTO_ARENA a = arena_new(8192);
    struct why why;

    if (set_all(p, a, &why) == RC_OK)
        return 0;
    log_error(&p->log, "set-permissions: %s", why.text);
    return 1;
}
