/*
 * Log files are rotated by size and age: that of the system, and those that services have of their
 * own (-o maillog_file=...).
 */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/master.h"
#include "util/clock.h"
#include "util/log_rotate.h"

enum { LOOK_MS = 1000 };

/* -o of the service, else main.cf. */
static struct str value_for(const struct config *c, const struct master_entry *e, const char *name)
{
    struct str value = STR("");

    for (size_t i = e ? e->overrides_n : 0; i-- > 0;)
        if (str_eq(e->overrides[i].name, str_of(name)))
            return str_trim(e->overrides[i].value);
    return config_get(c, str_of(name), &value) == RC_OK ? value : STR("");
}

/* "user:group" or "user"; false: there is no such user. */
static bool find_owner(struct str text, struct arena *a, struct log_rotation *r)
{
    struct str group = text, user = str_cut(&group, ':');
    const struct passwd *p;
    const struct group *g;

    r->uid = (uid_t)-1;
    r->gid = (gid_t)-1;
    if (text.n == 0)
        return true;
    p = getpwnam(arena_text(a, user));
    if (p == NULL)
        return false;
    r->uid = p->pw_uid;
    r->gid = p->pw_gid;
    g = group.n ? getgrnam(arena_text(a, group)) : NULL;
    if (g)
        r->gid = g->gr_gid;
    return group.n == 0 || g;
}

/* A file that somebody else has made. */
static void own(const struct log_rotation *r)
{
    struct stat st;

    if (r->uid != (uid_t)-1 && lstat(r->path, &st) == 0 && S_ISREG(st.st_mode) &&
        (st.st_uid != r->uid || st.st_gid != r->gid))
        (void)!lchown(r->path, r->uid, r->gid);
}

/* Who has no right to open the new file is started again: postlogd, and a service with a log of its
 * own. All others find out, and ask postlogd. */
static void renew_writers(struct master *m, const struct config *c, const struct master_entry *e)
{
    for (struct master_service *s = m->services; s; s = s->next)
        if (s->entry && (e ? s->entry == e : str_eq(s->entry->name, c->postlog_service_name))) {
            children_dismiss(s, 0);
            service_review(s);
        }
}

static void rotate(struct master *m, const struct config *c, const struct master_entry *e)
{
    AUTO_ARENA a = arena_new(2048);
    struct log_rotation r = {0};
    struct str path = value_for(c, e, "maillog_file");
    struct why why;

    if (path.n == 0 || str_has_prefix(path, STR("/dev/")) ||
        !str_to_long(value_for(c, e, "maillog_file_rotate_size"), 0, LONG_MAX, &r.max_bytes) ||
        !config_parse_time(value_for(c, e, "maillog_file_rotate_interval"), 's', &r.max_seconds) ||
        !str_to_long(value_for(c, e, "maillog_file_rotate_count"), 0, LONG_MAX, &r.keep) ||
        (r.max_bytes == 0 && r.max_seconds == 0 && value_for(c, e, "maillog_file_owner").n == 0))
        return;
    r.path = arena_text(a, path);
    r.suffix = c->maillog_file_rotate_suffix.p;
    r.mode = (mode_t)strtoul(arena_text(a, value_for(c, e, "maillog_file_permissions")), NULL, 8);
    if (!find_owner(value_for(c, e, "maillog_file_owner"), a, &r)) {
        log_warning(&m->log, "maillog_file_owner: no such user or group; %s is not rotated",
                    r.path);
        return;
    }
    own(&r);
    switch (log_rotate(&r, clock_seconds(), &why)) {
    case RC_OK: renew_writers(m, c, e); break;
    case RC_TEMP: log_warning(&m->log, "%s", why.text); break;
    default: break;
    }
}

static void look(void *context)
{
    struct master *m = context;
    const struct generation *g = m->current;

    rotate(m, g->config, NULL);
    for (size_t i = 0; i < g->services.n; i++)
        for (size_t k = 0; k < g->services.entries[i].overrides_n; k++)
            if (str_eq(g->services.entries[i].overrides[k].name, STR("maillog_file"))) {
                rotate(m, g->config, &g->services.entries[i]);
                break;
            }
    loop_after(m->loop, LOOK_MS, look, m);
}

void master_rotate_logs(struct master *m)
{
    loop_after(m->loop, LOOK_MS, look, m);
}
