/* The master.cf line, and the end. */
#include <grp.h>
#include <pwd.h>

#include "config/config.h"
#include "filterd/filterd.h"
#include "util/memory.h"

static enum rc set_user(struct filterd *f, struct str value, struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    struct str group = value, user = str_cut(&group, ':');
    struct passwd *pw = getpwnam(arena_text(a, user));
    struct group *gr = group.n ? getgrnam(arena_text(a, group)) : NULL;

    if (pw == NULL || (group.n && gr == NULL))
        return FAIL(why, RC_CONFIG,
                    "service %s: user=" STR_FMT
                    ": no such account or group; create it or name another",
                    f->env->name, STR_ARG(value));
    f->uid = pw->pw_uid;
    f->gid = gr ? gr->gr_gid : pw->pw_gid;
    if (f->uid == 0 || (!f->env->rootless && f->uid == f->env->mail_uid))
        return FAIL(why, RC_CONFIG,
                    "service %s: user=" STR_FMT
                    " is root or mail_owner; name an account of its own",
                    f->env->name, STR_ARG(value));
    return RC_OK;
}

static enum rc read_arguments(struct filterd *f, struct why *why)
{
    const struct service_env *env = f->env;

    for (int i = 0; i < env->argc; i++) {
        struct str text = str_of(env->argv[i]);
        if (str_has_prefix(text, STR("argv=")) && text.n > 5) {
            f->argv = env->argv + i;
            f->argv[0] += 5;
            return RC_OK;
        }
        if (str_has_prefix(text, STR("user=")))
            TRY(set_user(f, str_from(text, 5), why));
        else if (str_has_prefix(text, STR("chroot=/")))
            f->chroot = env->argv[i] + 7;
        else
            return FAIL(why, RC_CONFIG,
                        "service %s: unknown attribute \"%s\"; known are user, chroot and argv",
                        env->name, env->argv[i]);
    }
    return FAIL(why, RC_CONFIG, "service %s: the attribute argv= is missing in master.cf",
                env->name);
}

enum rc filterd_start(struct service_env *env, void **state, struct why *why)
{
    struct filterd *f = NEW(struct filterd);

    f->env = env;
    f->in = f->out = f->error = -1;
    map_init(&f->clients);
    buf_init(&f->to_program, 1UL << 30);
    buf_init(&f->said, 4UL * FILTER_LINE_MAX);
    buf_init(&f->noise, 4096);
    buf_init(&f->registered, 8192);
    TRY(set_user(f, env->config->default_privs, why));
    TRY(read_arguments(f, why));
    *state = f;
    return RC_OK;
}

/* Sessions that run keep their program. */
void filterd_drain(struct service_env *env, void *state)
{
    struct filterd *f = state;

    f->draining = true;
    if (f->n_clients == 0)
        service_exit(env);
}
