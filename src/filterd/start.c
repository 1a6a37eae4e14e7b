/* The master.cf line, and the end. */
#include "config/config.h"
#include "deliver/process.h"
#include "filterd/filterd.h"
#include "util/memory.h"

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
            TRY(process_account(env, str_from(text, 5), &f->uid, &f->gid, why));
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
    TRY(process_account(env, env->config->default_privs, &f->uid, &f->gid, why));
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
