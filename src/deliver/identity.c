/* Switching the effective user for a delivery. */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config/config.h"
#include "deliver/mailbox.h"

/* The raw calls: the library's versions signal all threads, and there is only this one. */
static int set_effective(uid_t uid, gid_t gid)
{
    if (geteuid() != 0 && syscall(SYS_setresuid, -1, 0, -1) < 0)
        return -1;
    if (syscall(SYS_setresgid, -1, gid, -1) < 0 || syscall(SYS_setgroups, 1, &gid) < 0)
        return -1;
    return uid == 0 ? 0 : (int)syscall(SYS_setresuid, -1, uid, -1);
}

enum rc identity_assume(const struct service_env *env, uid_t uid, gid_t gid, struct why *why)
{
    if (env->rootless)
        return RC_OK;
    if (set_effective(uid, gid) < 0)
        return FAIL(why, RC_TEMP, "become user %u group %u: %m", uid, gid);
    return RC_OK;
}

void identity_restore(const struct service_env *env)
{
    if (!env->rootless && set_effective(env->mail_uid, env->mail_gid) < 0)
        exit(71); /* better no process than one with a stranger's rights */
}
