/* Accounts, from the system's user database. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#include "local/local.h"
#include "util/clock.h"
#include "util/memory.h"

enum { KEPT = 256, KEPT_SECONDS = 10, NAME_MAX_BYTES = 64, TEXT_MAX = 64 * 1024 };

struct kept {
    time_t until;
    struct user user;
    char *text; /* where its texts stand */
};

struct users {
    struct kept kept[KEPT];
};

struct users *users_new(void)
{
    return NEW(struct users);
}

static bool is_missing(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

static enum rc ask(struct str name, uid_t uid, struct arena *a, struct user *out, struct why *why)
{
    struct passwd entry, *found = NULL;
    char *buffer = NULL;
    int error = ERANGE;

    for (size_t size = 1024; error == ERANGE && size <= TEXT_MAX; size *= 4) {
        buffer = arena_alloc(a, size);
        error = name.n ? getpwnam_r(arena_text(a, name), &entry, buffer, size, &found)
                       : getpwuid_r(uid, &entry, buffer, size, &found);
    }
    if (found == NULL && is_missing(error))
        return FAIL(why, RC_NONE, "no such user");
    if (found == NULL) {
        errno = error;
        return FAIL(why, RC_TEMP, "%m");
    }
    *out = (struct user){.name = str_of(entry.pw_name),
                         .home = str_of(entry.pw_dir),
                         .shell = str_of(entry.pw_shell),
                         .uid = entry.pw_uid,
                         .gid = entry.pw_gid};
    return RC_OK;
}

/* One block for all texts, so that an entry is replaced with one free(). */
static void keep(struct kept *k, const struct user *u)
{
    char *text = memory_new(u->name.n + u->home.n + u->shell.n + 3), *p = text;
    const struct str *from[] = {&u->name, &u->home, &u->shell};
    struct str *to[] = {&k->user.name, &k->user.home, &k->user.shell};

    free(k->text);
    k->text = text;
    k->user = *u;
    for (int i = 0; i < 3; i++) {
        memcpy(p, from[i]->p, from[i]->n);
        *to[i] = (struct str){p, from[i]->n};
        p += from[i]->n + 1;
    }
    k->until = clock_seconds() + KEPT_SECONDS;
}

enum rc user_find(struct users *users, struct str name, struct arena *a, const struct user **out,
                  struct why *why)
{
    struct kept *k = &users->kept[str_hash(name) % KEPT];
    struct user *u = arena_new_of(a, struct user);

    if (name.n == 0 || name.n > NAME_MAX_BYTES || str_index_any(name, "/:\n") >= 0)
        return FAIL(why, RC_NONE, "no such user");
    if (k->text == NULL || k->until < clock_seconds() || !str_eq(k->user.name, name)) {
        TRY(ask(name, 0, a, u, why));
        if (!str_eq(u->name, name)) { /* a database that folds names: do not mix them up */
            *out = u;
            return RC_OK;
        }
        keep(k, u);
    }
    *u = k->user;
    u->name = arena_copy(a, u->name);
    u->home = arena_copy(a, u->home);
    u->shell = arena_copy(a, u->shell);
    *out = u;
    return RC_OK;
}

enum rc user_by_uid(uid_t uid, struct arena *a, const struct user **out, struct why *why)
{
    struct user *u = arena_new_of(a, struct user);

    TRY(ask(STR(""), uid, a, u, why));
    *out = u;
    return RC_OK;
}
