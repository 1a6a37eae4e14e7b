/* Chroot and identity. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "service/runtime.h"

static enum rc change_identity(const struct runtime *r, struct why *why)
{
    uid_t uid = r->env.mail_uid;
    gid_t gid = r->env.mail_gid;
    bool for_good = r->service->privilege == RUN_AS_MAIL_OWNER || r->options.unprivileged;

    if (setgroups(1, &gid) < 0)
        return FAIL(why, RC_CONFIG, "setgroups: %m");
    if (for_good) {
        if (setgid(gid) < 0 || setuid(uid) < 0)
            return FAIL(why, RC_CONFIG, "become user %s: %m", r->config->service_user.p);
        return RC_OK;
    }
    if (setegid(gid) < 0 || seteuid(uid) < 0)
        return FAIL(why, RC_CONFIG, "become user %s: %m", r->config->mail_owner.p);
    return RC_OK;
}

enum rc find_mail_owner(struct runtime *r, struct why *why)
{
    struct str group = r->config->service_user, user = str_cut(&group, ':');
    const char *name = arena_text(r->arena, str_trim(user));
    const struct passwd *owner;
    const struct group *members;
    long number = 0;

    r->env.mail_uid = geteuid();
    r->env.mail_gid = getegid();
    if (r->env.rootless)
        return RC_OK;
    errno = 0;
    owner = getpwnam(name);
    if (owner == NULL)
        return FAIL(why, RC_CONFIG,
                    "service_user, mail_owner = %s: no such user; create it, or name another one",
                    name);
    if (owner->pw_uid == 0)
        return FAIL(
            why, RC_CONFIG,
            "service_user, mail_owner = %s: it is the super-user; name an account of its own",
            name);
    r->env.mail_uid = owner->pw_uid;
    r->env.mail_gid = owner->pw_gid;
    if (group.p == NULL || str_trim(group).n == 0)
        return RC_OK;
    members = getgrnam(arena_text(r->arena, str_trim(group)));
    if (members == NULL && !str_to_long(str_trim(group), 1, INT_MAX, &number))
        return FAIL(why, RC_CONFIG,
                    "service_user = %s: no such group; create it, or name another one",
                    r->config->service_user.p);
    r->env.mail_gid = members ? members->gr_gid : (gid_t)number;
    return RC_OK;
}

enum rc confine(struct runtime *r, struct why *why)
{
    struct sandbox sandbox;

    TRY(sandbox_prepare(r, &sandbox, why));
    if (!r->env.rootless) {
        if (r->options.chroot && (chroot(".") < 0 || chdir("/") < 0))
            return FAIL(why, RC_CONFIG, "chroot to queue_directory: %m");
        TRY(change_identity(r, why));
    }
    return sandbox_enter(r, &sandbox, why);
}
