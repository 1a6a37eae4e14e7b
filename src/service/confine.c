/* Chroot and identity. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "service/runtime.h"

static enum rc change_identity(const struct runtime *r, const struct passwd *owner, struct why *why)
{
    bool for_good = r->service->privilege == RUN_AS_MAIL_OWNER || r->options.unprivileged;

    if (setgroups(1, &owner->pw_gid) < 0)
        return FAIL(why, RC_CONFIG, "setgroups: %m");
    if (for_good) {
        if (setgid(owner->pw_gid) < 0 || setuid(owner->pw_uid) < 0)
            return FAIL(why, RC_CONFIG, "become user %s: %m", owner->pw_name);
        return RC_OK;
    }
    if (setegid(owner->pw_gid) < 0 || seteuid(owner->pw_uid) < 0)
        return FAIL(why, RC_CONFIG, "become user %s: %m", owner->pw_name);
    return RC_OK;
}

enum rc confine(struct runtime *r, struct why *why)
{
    const char *name = r->config->mail_owner.p;
    const struct passwd *owner = NULL;
    struct sandbox sandbox;

    TRY(sandbox_prepare(r, &sandbox, why));
    if (!r->env.rootless) {
        errno = 0;
        owner = getpwnam(name);
        if (owner == NULL)
            return FAIL(why, RC_CONFIG,
                        "mail_owner = %s: no such user; create it, or name another one", name);
        if (owner->pw_uid == 0)
            return FAIL(why, RC_CONFIG,
                        "mail_owner = %s: it is the super-user; name an account of its own", name);
        if (r->options.chroot && (chroot(".") < 0 || chdir("/") < 0))
            return FAIL(why, RC_CONFIG, "chroot to queue_directory: %m");
        TRY(change_identity(r, owner, why));
    }
    return sandbox_enter(r, &sandbox, why);
}
