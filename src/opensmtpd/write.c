/* What was generated, on standard output or in its directory. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opensmtpd/generate.h"
#include "util/file.h"

void generated_print(const struct generator *g)
{
    for (size_t i = 0; i < g->files.n; i++)
        printf("==> " STR_FMT "/" STR_FMT " <==\n%s\n", STR_ARG(g->dir),
               STR_ARG(g->files.v[i]->name), buf_text(&g->files.v[i]->text));
}

/* The mail owner's group may read, so that services can see when a table was replaced. */
static gid_t reader(const struct generator *g)
{
    const struct passwd *pw = getuid() == 0 ? getpwnam(g->base->mail_owner.p) : NULL;

    return pw ? pw->pw_gid : getegid();
}

static enum rc write_one(const struct generator *g, const struct generated_file *f, gid_t group,
                         struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    const char *path = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(g->dir), STR_ARG(f->name)).p;
    bool is_main = str_eq(f->name, STR("main.cf"));
    mode_t mode = f->is_secret && !is_main ? 0600 : 0640;
    struct str old = STR("");
    struct stat st;

    if (f->text.over)
        return FAIL(why, RC_PERM, "%s: too large", path);
    if (file_read(path, 512 * 1024 * 1024, a, &old, NULL) == RC_OK &&
        str_eq(old, buf_str(&f->text)) && stat(path, &st) == 0 && (st.st_mode & 0777) == mode)
        return RC_OK; /* who watches the file sees no change */
    TRY(file_replace(path, buf_str(&f->text), mode, why));
    if (chown(path, (uid_t)-1, group) < 0 || chmod(path, mode) < 0)
        return FAIL(why, RC_TEMP, "%s: set owner: %m", path);
    return RC_OK;
}

enum rc generated_write(const struct generator *g, struct why *why)
{
    gid_t group = reader(g);

    TRY(dir_make(g->dir.p, 0750, why));
    if (chown(g->dir.p, (uid_t)-1, group) < 0 || chmod(g->dir.p, 0750) < 0)
        return FAIL(why, RC_TEMP, STR_FMT ": set owner: %m", STR_ARG(g->dir));
    for (size_t i = 0; i < g->files.n; i++)
        TRY(write_one(g, g->files.v[i], group, why));
    return RC_OK;
}
