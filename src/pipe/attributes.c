#include <limits.h>

#include "config/config.h"
#include "deliver/process.h"
#include "pipe/pipe.h"

static enum rc set_flags(struct service_env *env, struct pipe_state *s, struct arena *a,
                         struct str value, struct why *why)
{
    (void)a;
    for (size_t i = 0; i < value.n; i++)
        if (strchr("BDFORXhqu.>", value.p[i]) == NULL)
            return FAIL(why, RC_CONFIG,
                        "service %s: flags=%c is no flag; the flags are BDFORXhqu.>", env->name,
                        value.p[i]);
    s->flags = value;
    return RC_OK;
}

static enum rc set_user(struct service_env *env, struct pipe_state *s, struct arena *a,
                        struct str value, struct why *why)
{
    (void)a;
    return process_account(env, value, &s->uid, &s->gid, why);
}

/* C escapes: \n \r \t \\ and octal. */
static enum rc set_eol(struct service_env *env, struct pipe_state *s, struct arena *a,
                       struct str value, struct why *why)
{
    char *out = arena_text(a, value);
    size_t n = 0;

    for (size_t i = 0; i < value.n; i++) {
        static const char names[] = "nrtbfv", codes[] = "\n\r\t\b\f\v";
        const char *at;
        if (value.p[i] != '\\' || i + 1 == value.n) {
            out[n++] = value.p[i];
            continue;
        }
        i++;
        if ((at = strchr(names, value.p[i])) != NULL) {
            out[n++] = codes[at - names];
        } else if (value.p[i] >= '0' && value.p[i] <= '7') {
            int code = 0, digits = 0;
            for (; digits < 3 && i < value.n && value.p[i] >= '0' && value.p[i] <= '7'; digits++)
                code = code * 8 + value.p[i++] - '0';
            i--;
            out[n++] = (char)code;
        } else {
            out[n++] = value.p[i];
        }
    }
    if (n == 0)
        return FAIL(why, RC_CONFIG, "service %s: eol= needs a value", env->name);
    s->eol = (struct str){out, n};
    return RC_OK;
}

static enum rc set_size(struct service_env *env, struct pipe_state *s, struct arena *a,
                        struct str value, struct why *why)
{
    (void)a;
    if (!str_to_long(value, 0, LONG_MAX, &s->size_limit))
        return FAIL(why, RC_CONFIG, "service %s: size=" STR_FMT " is no number of bytes", env->name,
                    STR_ARG(value));
    return RC_OK;
}

static enum rc set_directory(struct service_env *env, struct pipe_state *s, struct arena *a,
                             struct str value, struct why *why)
{
    (void)env, (void)why;
    s->directory = arena_text(a, value);
    return RC_OK;
}

static enum rc set_chroot(struct service_env *env, struct pipe_state *s, struct arena *a,
                          struct str value, struct why *why)
{
    (void)env, (void)why;
    s->chroot = arena_text(a, value);
    return RC_OK;
}

static enum rc set_null_sender(struct service_env *env, struct pipe_state *s, struct arena *a,
                               struct str value, struct why *why)
{
    (void)env, (void)a, (void)why;
    s->null_sender = value;
    return RC_OK;
}

static const struct {
    struct str name;
    enum rc (*set)(struct service_env *, struct pipe_state *, struct arena *, struct str,
                   struct why *);
} attributes[] = {
    {STR_INIT("flags"), set_flags},
    {STR_INIT("user"), set_user},
    {STR_INIT("eol"), set_eol},
    {STR_INIT("size"), set_size},
    {STR_INIT("directory"), set_directory},
    {STR_INIT("chroot"), set_chroot},
    {STR_INIT("null_sender"), set_null_sender},
};

static enum rc set_attribute(struct service_env *env, struct pipe_state *s, struct arena *a,
                             struct str text, struct why *why)
{
    struct str value = text, name = str_cut(&value, '=');

    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (value.p && str_eq(name, attributes[i].name))
            return attributes[i].set(env, s, a, value, why);
    return FAIL(why, RC_CONFIG,
                "service %s: unknown attribute \"" STR_FMT
                "\"; known are flags user argv eol size directory chroot null_sender",
                env->name, STR_ARG(text));
}

bool pipe_has_flag(const struct pipe_state *s, char flag)
{
    return str_index(s->flags, flag) >= 0;
}

static unsigned copy_flags(const struct pipe_state *s)
{
    static const struct {
        char flag;
        unsigned copy;
    } rows[] = {{'B', COPY_BLANK_AT_END}, {'D', COPY_DELIVERED_TO}, {'F', COPY_FROM_LINE},
                {'O', COPY_ORIGINAL_TO},  {'R', COPY_RETURN_PATH},  {'.', COPY_DOT_STUFF},
                {'>', COPY_QUOTE_FROM}};
    unsigned copy = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (pipe_has_flag(s, rows[i].flag))
            copy |= rows[i].copy;
    return copy;
}

enum rc pipe_attributes(struct service_env *env, struct pipe_state *s, struct arena *a,
                        struct why *why)
{
    bool has_user = false;
    int i = 0;

    s->null_sender = STR("MAILER-DAEMON");
    s->eol = STR("\n");
    for (; i < env->argc; i++) {
        struct str text = str_of(env->argv[i]);
        if (str_has_prefix(text, STR("argv=")))
            break;
        has_user = has_user || str_has_prefix(text, STR("user="));
        TRY(set_attribute(env, s, a, text, why));
    }
    if (!has_user)
        return FAIL(why, RC_CONFIG, "service %s: the attribute user= is missing in master.cf",
                    env->name);
    if (i == env->argc || env->argv[i][5] == '\0')
        return FAIL(why, RC_CONFIG, "service %s: the attribute argv= is missing in master.cf",
                    env->name);
    s->n_argv = (size_t)(env->argc - i);
    s->argv = arena_array(a, struct str, s->n_argv);
    s->argv[0] = str_of(env->argv[i] + 5);
    for (size_t k = 1; k < s->n_argv; k++)
        s->argv[k] = str_of(env->argv[(size_t)i + k]);
    s->copy_flags = copy_flags(s);
    return config_transport_time(env->config, str_of(env->name), "time_limit", &s->time_limit, why);
}
