/* "|command" and mailbox_command. */
#include "deliver/command.h"

#include "config/config.h"
#include "local/local.h"
#include "util/buf.h"

/* Needs a shell? Otherwise its words are the arguments. */
static bool needs_shell(struct str text)
{
    static const char *const builtins[] = {
        "if",    "for",  "case", "while", "exec", "cd",     "test",  "set",   "eval", "export",
        "umask", "trap", "exit", "wait",  "read", "return", "shift", "unset", ".",    ":"};
    struct str first = STR("");

    if (str_index_any(text, "!@#$%^&*()[]{}|\\;'\"<>?`~=\n") >= 0)
        return true;
    (void)str_token(&text, " \t", &first);
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (str_eq(first, str_of(builtins[i])))
            return true;
    return first.n == 0;
}

static char **arguments(struct attempt *at, struct str text, struct str shell)
{
    struct str prefix = shell.n ? shell : STR("/bin/sh -c");
    VEC(char *) words = {0};
    struct str word;

    if (shell.n == 0 && !needs_shell(text))
        return process_words(at->arena, text);
    while (str_token(&prefix, " \t", &word))
        vec_add(at->arena, &words, arena_text(at->arena, word));
    vec_add(at->arena, &words, arena_text(at->arena, text));
    vec_add(at->arena, &words, NULL);
    return words.v;
}

/* What strangers choose goes through command_expansion_filter: it may end up in a shell. */
static struct str filtered(struct attempt *at, struct str value)
{
    const char *allowed = at->env->config->command_expansion_filter.p;
    char *text = arena_text(at->arena, value);

    for (size_t i = 0; i < value.n; i++)
        if (text[i] == '\0' || strchr(allowed, text[i]) == NULL)
            text[i] = '_';
    return (struct str){text, value.n};
}

static char *const *environment_for(struct attempt *at, const struct target *t,
                                    const struct user *user)
{
    const struct deliver_request *q = &at->d->request;
    const struct {
        const char *name;
        struct str value;
    } values[] = {
        {"USER", t->user},
        {"LOGNAME", t->user},
        {"EXTENSION", t->extension},
        {"DOMAIN", t->domain},
        {"LOCAL", t->name},
        {"RECIPIENT", t->rcpt.address},
        {"ORIGINAL_RECIPIENT", t->rcpt.original},
        {"SENDER", t->sender},
        {"ENVID", q->envid},
        {"CLIENT_ADDRESS", q->origin.client_address},
        {"CLIENT_HELO", q->origin.helo},
        {"CLIENT_HOSTNAME", q->origin.client_name},
        {"CLIENT_PROTOCOL", q->origin.protocol},
        {"SASL_METHOD", q->origin.sasl_method},
        {"SASL_SENDER", q->origin.sasl_sender},
        {"SASL_USERNAME", q->origin.sasl_username},
    };
    struct environment e;

    environment_init(&e, at->arena, at->env->config);
    if (user && user->home.n)
        environment_set(&e, "HOME", user->home);
    if (user && user->shell.n)
        environment_set(&e, "SHELL", user->shell);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i].value.n || strcmp(values[i].name, "SENDER") == 0)
            environment_set(&e, values[i].name, filtered(at, values[i].value));
    return environment_vector(&e);
}

/* command_execution_directory, else where we are: the queue directory. */
static const char *directory_for(struct attempt *at, const struct target *t,
                                 const struct user *user)
{
    const struct config *config = at->env->config;
    struct str dir = config->command_execution_directory;
    bool missing;

    if (dir.n == 0)
        return NULL;
    dir = expand_for(at, t, user, dir, config->execution_directory_expansion_filter.p, &missing);
    return dir.n ? arena_text(at->arena, dir) : NULL;
}

void deliver_command(struct attempt *at, struct target *t, struct str text,
                     const struct user *rights, struct str shell)
{
    const struct user *as = rights ? rights : &at->state->nobody;
    struct command c = {
        .process = {.argv = arguments(at, text, shell),
                    .environment = environment_for(at, t, rights),
                    .uid = as->uid,
                    .gid = as->gid,
                    .directory = directory_for(at, t, rights)},
        .text = text,
        .time_limit = at->env->config->command_time_limit,
        .copy_flags = COPY_FROM_LINE | COPY_RETURN_PATH | COPY_ORIGINAL_TO |
                      (at->state->mark_command ? (unsigned)COPY_DELIVERED_TO : 0),
        .delivered_to = t->delivered,
        .eol = STR("\n"),
    };
    struct str sender = at->d->request.sender;
    struct dsn outcome;

    if (!is_first(at, "command %u " STR_FMT, as->uid, STR_ARG(text)))
        return;
    if (deliver_is_trial(at->d)) {
        reportf(at, t, "2.0.0", "delivers to command: " STR_FMT, STR_ARG(text));
        return;
    }
    if (as->uid == 0 && !at->env->rootless) { /* mail must never run as root */
        as = &at->state->nobody;
        c.process.uid = as->uid;
        c.process.gid = as->gid;
    }
    at->d->request.sender = t->sender;
    command_deliver(at->d, at->index, &c, &outcome);
    at->d->request.sender = sender;
    if (outcome.status.p[0] == '2')
        outcome.reason =
            arena_printf(at->arena, "delivered to command: " STR_FMT, STR_ARG(str_head(text, 500)));
    report(at, t, &outcome);
}
