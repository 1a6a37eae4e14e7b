/* The directories of an instance: made when missing, looked at, or set right. */
#include <errno.h>
#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postfix/postfix.h"
#include "util/file.h"

enum owner { ROOT, MAIL_OWNER };
enum group { NO_GROUP, SETGID_GROUP };

struct place {
    const char *path;
    enum owner owner;
    enum group group;
    mode_t mode;
    bool is_queue; /* holds mail: nobody else may look into it */
};

typedef VEC(struct place) place_list;

static void list_places(const struct postfix *p, struct arena *a, place_list *list)
{
    static const struct place below_queue[] = {
#define LAYOUT(name, owner, group, mode) {name, owner, group, mode, true},
#include "postfix/layout.def"
#undef LAYOUT
    };
    const struct config *c = p->config;
    const struct place others[] = {
        {c->queue_directory.p, ROOT, NO_GROUP, 0755, false},
        {arena_printf(a, "%s/%s", c->queue_directory.p, c->process_id_directory.p).p, ROOT,
         NO_GROUP, 0755, false},
        {c->submit_socket_directory.p, ROOT, NO_GROUP, 0755, false},
        {c->data_directory.p, MAIL_OWNER, NO_GROUP, 0700, false},
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        vec_add(a, list, others[i]);
    for (size_t i = 0; i < sizeof below_queue / sizeof *below_queue; i++) {
        struct place x = below_queue[i];
        x.path = arena_printf(a, "%s/%s", c->queue_directory.p, x.path).p;
        vec_add(a, list, x);
    }
}

static uid_t uid_of(const struct postfix *p, const struct place *x)
{
    return x->owner == MAIL_OWNER ? p->owner_uid : p->root_uid;
}

static enum rc set(const struct postfix *p, const struct place *x, struct why *why)
{
    gid_t group = x->group == SETGID_GROUP ? p->setgid_gid : (gid_t)-1;

    if (!p->rootless && chown(x->path, uid_of(p, x), group) < 0)
        return FAIL(why, RC_TEMP, "chown %s: %m", x->path);
    if (chmod(x->path, x->mode) < 0)
        return FAIL(why, RC_TEMP, "chmod %s: %m", x->path);
    return RC_OK;
}

static enum rc make(const struct postfix *p, const struct place *x, struct why *why)
{
    struct stat st;

    if (stat(x->path, &st) == 0)
        return S_ISDIR(st.st_mode) ? RC_OK : FAIL(why, RC_CONFIG, "%s: not a directory", x->path);
    TRY(dir_make(x->path, 0700, why));
    return set(p, x, why);
}

enum rc layout_make(const struct postfix *p, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    place_list list = {0};

    list_places(p, a, &list);
    for (size_t i = 0; i < list.n; i++)
        TRY(make(p, &list.v[i], why));
    return RC_OK;
}

static void look_at(const struct postfix *p, const struct place *x)
{
    struct stat st;

    if (stat(x->path, &st) < 0)
        return; /* start makes it */
    if (st.st_uid != uid_of(p, x))
        log_warning(&p->log, "not owned by %s: %s",
                    p->rootless              ? "the user of this instance"
                    : x->owner == MAIL_OWNER ? p->config->mail_owner.p
                                             : "root",
                    x->path);
    if (x->group == SETGID_GROUP && !p->rootless && st.st_gid != p->setgid_gid)
        log_warning(&p->log, "not owned by group %s: %s", p->config->setgid_group.p, x->path);
    if (st.st_mode & 022 & ~x->mode)
        log_warning(&p->log, "group or other writable: %s", x->path);
    else if (x->is_queue && (st.st_mode & 0777) != x->mode)
        log_warning(&p->log, "mode %04o instead of %04o: %s; run: postfix set-permissions",
                    st.st_mode & 07777, x->mode, x->path);
}

void layout_warn(const struct postfix *p)
{
    AUTO_ARENA a = arena_new(4096);
    place_list list = {0};

    list_places(p, a, &list);
    for (size_t i = 0; i < list.n; i++)
        look_at(p, &list.v[i]);
}

/* Everything below goes to the mail owner, except what users have put into maildrop. */
static void give_to_owner(const struct postfix *p, const char *top)
{
    AUTO_ARENA a = arena_new(1024);
    char *paths[] = {arena_text(a, str_of(top)), NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *e;

    while (tree && (e = fts_read(tree)) != NULL)
        if (e->fts_info != FTS_DP && e->fts_info != FTS_NS && e->fts_level > 0 &&
            e->fts_statp->st_uid != p->owner_uid &&
            lchown(e->fts_path, p->owner_uid, (gid_t)-1) < 0)
            log_warning(&p->log, "chown %s: %m", e->fts_path);
    if (tree)
        fts_close(tree);
}

enum rc layout_set(const struct postfix *p, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    place_list list = {0};

    TRY(layout_make(p, why));
    list_places(p, a, &list);
    for (size_t i = 0; i < list.n; i++) {
        const struct place *x = &list.v[i];
        TRY(set(p, x, why));
        if (!p->rootless && x->owner == MAIL_OWNER &&
            !str_has_suffix(str_of(x->path), STR("/maildrop")))
            give_to_owner(p, x->path);
    }
    return RC_OK;
}
