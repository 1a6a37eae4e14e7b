/*
 * postsuper - the superuser's tool for queue files: delete, hold, release, requeue, expire; repair
 * the directory structure; remove left-over temporary files.
 *
 * Asks the running queue manager to let go of a message before it is deleted or moved.
 */
#include "postsuper/postsuper.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "postsuper/summary.h"

static const char usage[] = "usage: postsuper [-c config_dir] [-d queue_id (delete)] "
                            "[-e queue_id (expire)] [-f queue_id (expire and/or un-hold)] "
                            "[-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge)] "
                            "[-r queue_id (requeue)] [-s (structure fix)] [-S (structure fix, long "
                            "names)] [-v] [queue...]";

struct request {
    enum action action;
    const char *id;
};

struct options {
    const char *dir;
    bool purge, structure, strict;
    VEC(struct request) requests;
};

static void read_options(struct postsuper *p, int argc, char **argv, struct options *o)
{
    int letter;

    while ((letter = getopt(argc, argv, "c:d:e:f:h:H:pr:sSv")) > 0)
        switch (letter) {
        case 'c':
            if (optarg[0] != '/')
                log_fatal(&p->command.log, 1, "-c requires absolute pathname");
            o->dir = optarg;
            break;
        case 'p': o->purge = true; break;
        case 's': o->structure = true; break;
        case 'S': o->structure = o->strict = true; break;
        case 'v': break;
        case '?': log_fatal(&p->command.log, 1, "%s", usage);
        default: vec_add(p->arena, &o->requests, ((struct request){(enum action)letter, optarg}));
        }
    for (char **arg = argv + optind; *arg; arg++)
        vec_add(p->arena, &p->directories, str_of(*arg));
    if (o->requests.n == 0 && !o->purge && !o->structure)
        o->purge = o->structure = true;
}

static void check_directories(struct postsuper *p)
{
    static const char *const known[] = {"maildrop", "incoming", "active", "deferred",
                                        "hold",     "bounce",   "defer",  "trace",
                                        "flush",    "corrupt",  "saved"};

    for (size_t i = 0; i < p->directories.n; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || str_eq(p->directories.v[i], str_of(known[k]));
        if (!found)
            log_fatal(&p->command.log, 1, "invalid directory name: " STR_FMT,
                      STR_ARG(p->directories.v[i]));
    }
}

/* Directories and files that are made here must belong to the mail system. */
static void become_mail_owner(const struct command *c)
{
    const struct passwd *owner;

    if (geteuid() != 0)
        return;
    owner = getpwnam(c->config->mail_owner.p);
    if (owner == NULL)
        log_fatal(&c->log, 1, "mail_owner = %s: no such user", c->config->mail_owner.p);
    if (setgroups(1, &owner->pw_gid) < 0 || setgid(owner->pw_gid) < 0 || setuid(owner->pw_uid) < 0)
        log_fatal(&c->log, 1, "become user %s: %m", owner->pw_name);
}

int main(int argc, char **argv)
{
    struct postsuper p = {.arena = arena_new(4096), .qmgr.fd = -1};
    struct options o = {0};
    struct why why = {0};

    command_init(&p.command, argv[0]);
    read_options(&p, argc, argv, &o);
    command_configure(&p.command, o.dir);
    if (!p.command.privileged)
        log_fatal(&p.command.log, 1, "use of this command is reserved for the superuser");
    check_directories(&p);
    become_mail_owner(&p.command);
    if (queue_open(p.command.config, &p.queue, &why) != RC_OK)
        log_fatal(&p.command.log, 1, "%s", why.text);
    for (size_t i = 0; i < o.requests.n; i++)
        act_on(&p, o.requests.v[i].action, o.requests.v[i].id);
    if (o.purge)
        purge_temporary(&p);
    if (o.structure)
        check_structure(&p, o.strict);
    summary(&p);
    if (p.qmgr.fd >= 0)
        ipc_done(&p.qmgr);
    queue_close(&p.queue);
    arena_free(p.arena);
    return 0;
}
