/* A rule file in use: read again when it has changed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "access/rule.h"
#include "config/snapshot.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/memory.h"

struct rules_file {
    char *path;
    struct log log;
    struct arena *arena;
    ino_t root; /* path names mean other files after chroot */
    pthread_mutex_t lock;
    struct rules *now;
    int fd;           /* of the file that was read, or refused, last; -1: none */
    struct stat seen; /* the same at that time */
    long looked_ms;
    bool is_stuck;
};

static ino_t root_inode(void)
{
    struct stat st;

    return stat("/", &st) == 0 ? st.st_ino : 0;
}

static enum rc open_text(struct rules_file *f, struct arena *a, struct str *text, struct why *why)
{
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return FAIL(why, errno == ENOENT ? RC_CONFIG : RC_TEMP,
                    "%s: %m; create it and let it be read, or take it out of the restrictions",
                    f->path);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = fd;
    TRY(file_stat(fd, &f->seen, why));
    if (!S_ISREG(f->seen.st_mode))
        return FAIL(why, RC_CONFIG, "%s: not a regular file", f->path);
    return fd_read_all(fd, RULES_FILE_MAX, a, text, why);
}

static enum rc read_rules(struct rules_file *f, struct rules **out, struct why *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str text = STR_NONE;

    f->seen = (struct stat){0};
    TRY(open_text(f, a, &text, why));
    TRY(rules_parse(f->path, text, out, why));
    (*out)->users = 1;
    return RC_OK;
}

/* Broken since master has looked at it: what master saw. */
static enum rc read_snapshot(struct rules_file *f, struct why *trouble)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str text = STR_NONE;
    struct why why;

    if (snapshot_file(str_of(f->path), a, &text, &why) != RC_OK ||
        rules_parse(f->path, text, &f->now, &why) != RC_OK)
        return trouble->rc;
    f->now->users = 1;
    log_error(&f->log, "%s; the rules of the last start or reload stay in force", trouble->text);
    return RC_OK;
}

enum rc rules_file_open(struct str path, const struct log *log, struct rules_file **out,
                        struct why *why)
{
    struct rules_file *f;
    enum rc rc;

    if (path.n == 0 || path.p[0] != '/')
        return FAIL(why, RC_CONFIG, "\"" STR_FMT "\" is no absolute path name of a rule file",
                    STR_ARG(path));
    f = NEW(struct rules_file);
    f->arena = arena_new(512);
    f->path = arena_text(f->arena, path);
    f->log = *log;
    f->root = root_inode();
    f->fd = -1;
    pthread_mutex_init(&f->lock, NULL);
    rc = read_rules(f, &f->now, why);
    if (rc != RC_OK)
        rc = read_snapshot(f, why);
    if (rc == RC_OK)
        *out = f;
    else
        rules_file_close(f);
    return rc;
}

static void release(struct rules *r)
{
    if (r && --r->users == 0)
        rules_free(r);
}

void rules_file_close(struct rules_file *f)
{
    release(f->now);
    if (f->fd >= 0)
        close(f->fd);
    pthread_mutex_destroy(&f->lock);
    arena_free(f->arena);
    free(f);
}

const char *rules_file_path(const struct rules_file *f)
{
    return f->path;
}

static bool has_changed(const struct rules_file *f)
{
    struct stat opened = {0}, named = {0};

    if (f->fd >= 0 && fstat(f->fd, &opened) == 0 && opened.st_nlink &&
        (f->root != root_inode() || (stat(f->path, &named) == 0 && named.st_ino == opened.st_ino &&
                                     named.st_dev == opened.st_dev)))
        return opened.st_mtim.tv_sec != f->seen.st_mtim.tv_sec ||
               opened.st_mtim.tv_nsec != f->seen.st_mtim.tv_nsec ||
               opened.st_size != f->seen.st_size;
    /* gone, or replaced; a file that was gone already when we looked last is no news */
    return f->seen.st_ino != 0 || stat(f->path, &named) == 0;
}

/* With the lock held. */
static void look(struct rules_file *f)
{
    long now = clock_ms();
    struct rules *rules = NULL;
    struct why why;

    if (now - f->looked_ms < 1000 || f->is_stuck)
        return;
    f->looked_ms = now;
    if (!has_changed(f))
        return;
    if (f->root != root_inode()) {
        f->is_stuck = true;
        return;
    }
    switch (read_rules(f, &rules, &why)) {
    case RC_OK:
        log_info(&f->log, "%s has changed: %zu rules read", f->path, rules_count(rules));
        release(f->now);
        f->now = rules;
        break;
    case RC_TEMP: f->is_stuck = true; break; /* who starts with more rights may read it */
    default: log_error(&f->log, "%s; the rules read before stay in force", why.text);
    }
}

const struct rules *rules_file_use(struct rules_file *f)
{
    const struct rules *r;

    pthread_mutex_lock(&f->lock);
    look(f);
    f->now->users++;
    r = f->now;
    pthread_mutex_unlock(&f->lock);
    return r;
}

void rules_file_done(struct rules_file *f, const struct rules *r)
{
    pthread_mutex_lock(&f->lock);
    release((struct rules *)r);
    pthread_mutex_unlock(&f->lock);
}

bool rules_file_has_changed(struct rules_file *f)
{
    bool stuck;

    pthread_mutex_lock(&f->lock);
    look(f);
    stuck = f->is_stuck;
    pthread_mutex_unlock(&f->lock);
    return stuck;
}
