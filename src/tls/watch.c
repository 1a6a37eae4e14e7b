/* Was a file replaced or written since? */
#include <fcntl.h>
#include <unistd.h>

#include "tls/private.h"

static bool look(int fd, struct watched_inode *i)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return false;
    *i = (struct watched_inode){fd, st.st_mtim, st.st_nlink, st.st_size};
    return true;
}

static struct watched_inode watch(const char *path, int flags)
{
    struct watched_inode i = {.fd = -1};
    int fd = open(path, O_PATH | O_CLOEXEC | flags);

    if (!look(fd, &i) && fd >= 0)
        close(fd);
    return i;
}

void tls_watch_file(struct tls_context *t, struct str path)
{
    struct watched_file f = {.path = path};

    for (size_t i = 0; i < t->files.n; i++)
        if (str_eq(t->files.v[i].path, path))
            return;
    f.file = watch(path.p, 0);
    f.link = watch(path.p, O_NOFOLLOW);
    vec_add(t->arena, &t->files, f);
}

void tls_unwatch_files(struct tls_context *t)
{
    for (size_t i = 0; i < t->files.n; i++) {
        if (t->files.v[i].file.fd >= 0)
            close(t->files.v[i].file.fd);
        if (t->files.v[i].link.fd >= 0)
            close(t->files.v[i].link.fd);
    }
    t->files.n = 0;
}

static bool differs(const struct watched_inode *old)
{
    struct watched_inode now;

    return look(old->fd, &now) && (now.links != old->links || now.size != old->size ||
                                   now.changed.tv_sec != old->changed.tv_sec ||
                                   now.changed.tv_nsec != old->changed.tv_nsec);
}

bool tls_file_has_changed(const struct watched_file *f)
{
    if (f->link.fd < 0) /* it was not there; is it now? */
        return access(f->path.p, F_OK) == 0;
    return differs(&f->file) || differs(&f->link);
}
