#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postlock/postlock.h"
#include "util/clock.h"

struct styles {
    bool flock, fcntl, dotlock;
};

static enum rc parse_styles(struct str text, struct styles *s, struct why *why)
{
    struct str word;

    *s = (struct styles){0};
    while (str_token(&text, LIST_SEPARATORS, &word)) {
        if (str_eq(word, STR("flock")))
            s->flock = true;
        else if (str_eq(word, STR("fcntl")))
            s->fcntl = true;
        else if (str_eq(word, STR("dotlock")))
            s->dotlock = true;
        else
            return FAIL(why, RC_CONFIG, "lock style \"" STR_FMT "\": one of flock, fcntl, dotlock",
                        STR_ARG(word));
    }
    if (!s->flock && !s->fcntl && !s->dotlock)
        return FAIL(why, RC_CONFIG, "no lock style given: flock, fcntl, dotlock");
    return RC_OK;
}

/* True: we have it. errno EEXIST: somebody else has. */
static bool make_dotlock(const struct config *c, const char *path)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

    if (fd < 0 && errno == EEXIST && stat(path, &st) == 0 &&
        clock_seconds() - st.st_mtime > c->stale_lock_time && unlink(path) == 0)
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static bool lock_descriptor(int fd, const struct styles *s)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return (!s->flock || flock(fd, LOCK_EX | LOCK_NB) == 0) &&
           (!s->fcntl || fcntl(fd, F_SETLK, &whole) == 0);
}

static enum rc lock_all(const struct config *c, const struct styles *s, const char *path,
                        struct folder_lock *lock, struct why *why)
{
    bool has_dotlock = !s->dotlock, has_descriptor = false;

    for (long n = 0; n < c->deliver_lock_attempts; n++) {
        has_dotlock = has_dotlock || make_dotlock(c, lock->dotlock);
        if (!has_dotlock && errno != EEXIST)
            break;
        has_descriptor = has_dotlock && lock_descriptor(lock->fd, s);
        if (has_descriptor)
            return RC_OK;
        if (n + 1 < c->deliver_lock_attempts)
            sleep((unsigned)c->deliver_lock_delay);
    }
    why_set(why, RC_TEMP, "unable to lock %s: %m", path);
    if (!has_dotlock)
        lock->dotlock[0] = '\0';
    folder_unlock(lock);
    return RC_TEMP;
}

enum rc folder_lock(const struct config *config, struct str styles, const char *path,
                    struct folder_lock *lock, struct why *why)
{
    struct styles s;
    int n;

    TRY(parse_styles(styles, &s, why));
    *lock = (struct folder_lock){.fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600)};
    if (lock->fd < 0)
        return FAIL(why, RC_TEMP, "open file %s: %m", path);
    n = s.dotlock ? snprintf(lock->dotlock, sizeof lock->dotlock, "%s.lock", path) : 0;
    if (n >= (int)sizeof lock->dotlock) {
        close(lock->fd);
        return FAIL(why, RC_TEMP, "%s: name too long", path);
    }
    return lock_all(config, &s, path, lock, why);
}

void folder_unlock(struct folder_lock *lock)
{
    if (lock->dotlock[0])
        unlink(lock->dotlock);
    close(lock->fd);
}
