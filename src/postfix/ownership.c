/* Warnings about files whose owner or mode is unsafe. Only "postfix check" looks. */
#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postfix/files.h"
#include "postfix/postfix.h"
#include "util/file.h"

static void warn_owner(const struct postfix *p, const char *path, const struct stat *st)
{
    if (st->st_uid != p->root_uid && st->st_uid != 0)
        log_warning(&p->log, "not owned by root: %s", path);
}

static void warn_writable(const struct postfix *p, const char *path, const struct stat *st)
{
    if (!S_ISLNK(st->st_mode) && (st->st_mode & 022))
        log_warning(&p->log, "group or other writable: %s", path);
}

/* A directory and what is in it (levels deep). */
static void look_below(const struct postfix *p, const char *top, short levels)
{
    AUTO_ARENA a = arena_new(1024);
    char *paths[] = {arena_text(a, str_of(top)), NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *e;

    while (tree && (e = fts_read(tree)) != NULL) {
        if (e->fts_info == FTS_DP || e->fts_info == FTS_NS || e->fts_info == FTS_DNR)
            continue;
        warn_owner(p, e->fts_path, e->fts_statp);
        warn_writable(p, e->fts_path, e->fts_statp);
        if (e->fts_level >= levels)
            fts_set(tree, e, FTS_SKIP);
    }
    if (tree)
        fts_close(tree);
}

static void look_at_setgid(const struct postfix *p, const struct installed *x)
{
    struct stat st;

    if (stat(x->path.p, &st) < 0)
        return;
    if (st.st_gid != p->setgid_gid)
        log_warning(&p->log, "not owned by group %s: %s", p->config->setgid_group.p, x->path.p);
    if ((st.st_mode & 02111) != 02111)
        log_warning(&p->log, "not set-gid or not owner+group+world executable: %s", x->path.p);
}

/* Our programs in command_directory, which has others' as well. */
static void look_at_programs(const struct postfix *p)
{
    AUTO_ARENA a = arena_new(8192);
    struct installed_list list = {0};
    struct why why;

    if (files_read(p->config, a, &list, &why) != RC_OK) {
        log_warning(&p->log, "%s; install anew", why.text);
        return;
    }
    for (size_t i = 0; i < list.n; i++) {
        const struct installed *x = &list.v[i];
        struct stat st;
        if (x->type != 'f' || lstat(x->path.p, &st) < 0)
            continue;
        warn_owner(p, x->path.p, &st);
        warn_writable(p, x->path.p, &st);
        if ((x->mode & S_ISGID) && !p->rootless)
            look_at_setgid(p, x);
    }
}

/* Copies in the chroot jail that no longer say what the system's files say. */
static void look_at_jail(const struct postfix *p)
{
    static const char *const files[] = {"etc/localtime", "etc/hosts", "etc/resolv.conf",
                                        "etc/services", "etc/nsswitch.conf"};
    AUTO_ARENA a = arena_new(4096);

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *inside = arena_printf(a, "%s/%s", p->config->queue_directory.p, files[i]).p;
        const char *outside = arena_printf(a, "/%s", files[i]).p;
        struct str x, y;
        if (file_read(inside, 1024 * 1024, a, &x, NULL) == RC_OK &&
            file_read(outside, 1024 * 1024, a, &y, NULL) == RC_OK && !str_eq(x, y))
            log_warning(&p->log, "%s and %s differ", inside, outside);
    }
}

static void look_for_damaged(const struct postfix *p)
{
    AUTO_ARENA a = arena_new(1024);
    char *paths[] = {arena_text(a, arena_printf(a, "%s/corrupt", p->config->queue_directory.p)),
                     NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *e;

    while (tree && (e = fts_read(tree)) != NULL)
        if (e->fts_info == FTS_F)
            log_warning(&p->log, "damaged message: corrupt/%s", e->fts_name);
    if (tree)
        fts_close(tree);
}

void ownership_warn(const struct postfix *p)
{
    look_below(p, p->config_directory, 1);
    look_below(p, p->config->daemon_directory.p, 1);
    look_at_programs(p);
    look_at_jail(p);
    look_for_damaged(p);
}
