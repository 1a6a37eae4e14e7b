/*
 * Repair: files whose name does not fit their inode (a queue that was copied), files that stand in
 * the wrong hash directory, directories that are not needed, temporary files that nobody finished.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "postsuper/postsuper.h"
#include "util/clock.h"

enum { TEMPORARY_AGE_SECONDS = 24 * 3600 };

static const struct directory {
    const char *name;
    bool has_messages; /* names hold inode numbers; else logs, named as their message */
    bool has_temporary;
} directories[] = {
    /* logs first: they are renamed with their message, from where they belong */
    {"bounce", false, false}, {"defer", false, false},   {"trace", false, false},
    {"flush", false, false},  {"maildrop", false, true}, {"incoming", true, true},
    {"active", true, true},   {"deferred", true, true},  {"hold", true, true},
};

struct task {
    struct postsuper *p;
    const struct directory *directory;
    bool strict, collided;
};

static bool is_wanted(const struct postsuper *p, const struct directory *d)
{
    for (size_t i = 0; i < p->directories.n; i++)
        if (str_eq(p->directories.v[i], str_of(d->name)))
            return true;
    return p->directories.n == 0;
}

/* The id that this file should have. */
static void right_id(const struct task *t, struct str id, const struct stat *st,
                     char out[QUEUE_ID_SIZE])
{
    struct timespec created = {0};
    bool is_long = queue_id_is_long(id), keep_long = is_long && t->p->queue.long_ids;
    ino_t inode = 0;

    snprintf(out, QUEUE_ID_SIZE, STR_FMT, STR_ARG(id));
    if (!t->directory->has_messages || (keep_long && !t->strict) ||
        queue_id_time(id, &created, NULL) != RC_OK ||
        (queue_id_inode(id, &inode, NULL) == RC_OK && inode == st->st_ino && is_long == keep_long))
        return;
    queue_id_make(out, created, st->st_ino, keep_long);
}

static void rename_logs(const struct task *t, struct str old_id, const char *new_id)
{
    static const char *const classes[] = {"bounce", "defer", "trace"};
    char from[QUEUE_PATH_SIZE], to[QUEUE_PATH_SIZE];
    struct why why;

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        queue_path(&t->p->queue, str_of(classes[i]), old_id, from);
        queue_path(&t->p->queue, str_of(classes[i]), str_of(new_id), to);
        if (queue_rename(&t->p->queue, from, to, &why) == RC_TEMP)
            log_warning(&t->p->command.log, "%s", why.text);
    }
}

/* Never over another file: that one may have to move first. */
static bool rename_file(struct task *t, const char *from, const char *to)
{
    const struct queue *q = &t->p->queue;
    struct why why = {0};

    if (queue_make_directories(q, to, &why) != RC_OK)
        log_warning(&t->p->command.log, "%s", why.text);
    if (renameat2(q->dir, from, q->dir, to, RENAME_NOREPLACE) == 0) {
        log_info(&t->p->command.log, "renamed file %s as %s", from, to);
        return true;
    }
    if (errno == EEXIST)
        t->collided = true;
    else
        log_warning(&t->p->command.log, "rename file %s as %s: %m", from, to);
    return false;
}

static bool check_file(void *context, struct str id, const char *path)
{
    struct task *t = context;
    struct postsuper *p = t->p;
    char right[QUEUE_PATH_SIZE], name[QUEUE_ID_SIZE];
    struct stat st;

    if (!queue_id_is_valid(id) || fstatat(p->queue.dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode) || (t->directory->has_messages && !(st.st_mode & QUEUE_MODE_IS_READY)))
        return true;
    right_id(t, id, &st, name);
    queue_path(&p->queue, str_of(t->directory->name), str_of(name), right);
    if (strcmp(path, right) == 0)
        return true;
    if (rename_file(t, path, right) && !str_eq(id, str_of(name))) {
        rename_logs(t, id, name);
        p->counts.renamed++;
    }
    return true;
}

/* How many levels of hash directories this queue has. */
static long depth_of(const struct queue *q, const char *queue_name)
{
    char path[QUEUE_PATH_SIZE];
    long slashes = -1;

    queue_path(q, str_of(queue_name), STR("0"), path);
    for (const char *c = path; *c; c++)
        slashes += *c == '/';
    return slashes;
}

static void remove_directories(struct task *t, const char *path, long depth)
{
    int fd = openat(t->p->queue.dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(d))) {
        char name[QUEUE_PATH_SIZE];
        if (e->d_name[0] == '.' || e->d_name[1] != '\0' || e->d_type == DT_REG ||
            snprintf(name, sizeof name, "%s/%s", path, e->d_name) >= (int)sizeof name)
            continue;
        remove_directories(t, name, depth - 1);
        if (depth <= 0 && unlinkat(t->p->queue.dir, name, AT_REMOVEDIR) == 0)
            log_info(&t->p->command.log, "remove directory %s", name);
    }
    closedir(d);
}

void check_structure(struct postsuper *p, bool strict)
{
    struct why why = {0};

    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        struct task t = {p, &directories[i], strict, false};
        if (!is_wanted(p, t.directory))
            continue;
        for (int round = 0; round < 3; round++) {
            t.collided = false;
            if (queue_scan(&p->queue, str_of(t.directory->name), check_file, &t, &why) == RC_TEMP)
                log_warning(&p->command.log, "%s", why.text);
            if (!t.collided)
                break;
        }
        if (t.collided)
            log_warning(&p->command.log,
                        "%s: some files could not be renamed because the new names are in use; "
                        "run this command again",
                        t.directory->name);
        remove_directories(&t, t.directory->name, depth_of(&p->queue, t.directory->name));
    }
}

static bool purge_file(void *context, struct str id, const char *path)
{
    struct task *t = context;
    struct postsuper *p = t->p;
    struct stat st;

    (void)id;
    if (fstatat(p->queue.dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        st.st_mode & QUEUE_MODE_IS_READY ||
        clock_seconds() - st.st_mtim.tv_sec < TEMPORARY_AGE_SECONDS)
        return true;
    if (unlinkat(p->queue.dir, path, 0) == 0)
        log_info(&p->command.log, "removed file %s", path);
    else if (errno != ENOENT)
        log_warning(&p->command.log, "remove file %s: %m", path);
    return true;
}

void purge_temporary(struct postsuper *p)
{
    struct why why = {0};

    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        struct task t = {p, &directories[i], false, false};
        if (t.directory->has_temporary && is_wanted(p, t.directory) &&
            queue_scan(&p->queue, str_of(t.directory->name), purge_file, &t, &why) == RC_TEMP)
            log_warning(&p->command.log, "%s", why.text);
    }
}
