/* The account that a command gives up root for. */
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "service/command.h"

static const struct passwd *find_user(const char *name)
{
    const struct passwd *p = getpwnam(name);
    long id;

    return p == NULL && str_to_long(str_of(name), 0, INT_MAX, &id) ? getpwuid((uid_t)id) : p;
}

static void set_user(const struct command *c, const char *name, struct command_account *out)
{
    const struct passwd *p = name ? find_user(name) : getpwuid(geteuid());

    if (name && p == NULL)
        log_fatal(&c->log, EX_USAGE, "option -u: no such user: %s", name);
    out->uid = geteuid();
    out->gid = getegid();
    snprintf(out->name, sizeof out->name, "%u", out->uid);
    if (p == NULL)
        return;
    out->uid = p->pw_uid;
    if (name)
        out->gid = p->pw_gid;
    snprintf(out->name, sizeof out->name, "%s", p->pw_name);
}

static void set_group(const struct command *c, const char *name, struct command_account *out)
{
    const struct group *g = getgrnam(name);
    long id;

    if (g)
        out->gid = g->gr_gid;
    else if (str_to_long(str_of(name), 0, INT_MAX, &id))
        out->gid = (gid_t)id;
    else
        log_fatal(&c->log, EX_USAGE, "option -g: no such group: %s", name);
}

void command_account(const struct command *c, const char *user, const char *group,
                     struct command_account *out)
{
    *out = (struct command_account){0};
    set_user(c, user || geteuid() ? user : c->config->mail_owner.p, out);
    if (group)
        set_group(c, group, out);
    if (out->uid == 0 || out->gid == 0)
        log_fatal(&c->log, EX_CONFIG,
                  "user %s, group %u: %s does not run as root; name another user with -u and -g",
                  out->name, out->gid, c->name);
}

void command_account_check(const struct command *c, const struct command_account *a)
{
    if (geteuid() != 0 && (a->uid != geteuid() || a->gid != getegid()))
        log_fatal(
            &c->log, EX_CONFIG,
            "only root can become user %s, group %u; leave -u and -g out, or start %s as root",
            a->name, a->gid, c->name);
}
