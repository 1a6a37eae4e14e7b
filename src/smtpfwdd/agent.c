/* The delivery agent: "smtpfwdd unix - n n - 10 smtpfwdd user=daemon command=/usr/sbin/sendmail" */
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "config/config.h"
#include "deliver/command.h"
#include "global/address.h"
#include "global/text.h"
#include "smtpfwdd/smtpfwdd.h"
#include "util/memory.h"

struct agent { /* read-only after start */
    struct service_env *env;
    struct deliver_shared *shared;
    const char *command;
    uid_t uid;
    gid_t gid;
    long time_limit;
};

/* "user" or "user:group"; the group may be a number */
static enum rc set_user(struct agent *s, struct arena *a, struct str value, struct why *why)
{
    struct str group = value, user = str_cut(&group, ':');
    struct passwd *pw = getpwnam(arena_text(a, user));
    struct group *gr = group.n ? getgrnam(arena_text(a, group)) : NULL;
    long number = pw ? (long)pw->pw_gid : 0;

    if (pw == NULL || (group.n && gr == NULL && !str_to_long(group, 0, INT_MAX, &number)))
        return FAIL(why, RC_CONFIG,
                    "service %s: user=" STR_FMT ": no such account; create it or name another",
                    s->env->name, STR_ARG(value));
    s->uid = pw->pw_uid;
    s->gid = gr ? gr->gr_gid : (gid_t)number;
    if (s->uid == 0 || s->gid == 0)
        return FAIL(why, RC_CONFIG,
                    "service %s: user=" STR_FMT
                    " would run the mailer with the rights of root; name another account",
                    s->env->name, STR_ARG(value));
    return RC_OK;
}

static enum rc set_attribute(struct agent *s, struct arena *a, struct str text, struct why *why)
{
    struct str value = text, name = str_cut(&value, '=');

    if (value.n && str_eq(name, STR("user")))
        return set_user(s, a, value, why);
    if (value.n && value.p[0] == '/' && str_eq(name, STR("command"))) {
        s->command = arena_text(a, value);
        return RC_OK;
    }
    return FAIL(why, RC_CONFIG,
                "service %s: bad attribute \"" STR_FMT
                "\"; write user=account command=/path/of/sendmail",
                s->env->name, STR_ARG(text));
}

enum rc agent_start(struct service_env *env, void **state, struct why *why)
{
    struct agent *s = NEW(struct agent);
    struct arena *a = arena_new(512);

    s->env = env;
    for (int i = 0; i < env->argc; i++)
        TRY(set_attribute(s, a, str_of(env->argv[i]), why));
    if (s->uid == 0 || s->command == NULL)
        return FAIL(why, RC_CONFIG,
                    "service %s: %s is missing in master.cf; write user=account "
                    "command=/path/of/sendmail",
                    env->name, s->command ? "user=" : "command=");
    TRY(config_transport_time(env->config, str_of(env->name), "time_limit", &s->time_limit, why));
    TRY(deliver_start(env, &s->shared, why));
    *state = s;
    return RC_OK;
}

/* ---- one message ---- */

static struct dsn outcome_of(struct arena *a, struct str command, int status, struct str output)
{
    struct mailer_result r = mailer_result(status);
    struct dsn dsn = {.status = str_of(r.status)};

    output = arena_copy(a, str_trim(output));
    text_printable((char *)output.p, output.n, ' ', true);
    dsn.reason = arena_printf(a, "%s (\"" STR_FMT "\" %s %d)%s" STR_FMT, r.words, STR_ARG(command),
                              WIFEXITED(status) ? "status" : "signal",
                              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                              output.n ? ". Command output: " : "", STR_ARG(output));
    if (r.fate != FATE_SENT) {
        dsn.diag_type = STR("x-unix");
        dsn.diag_text = dsn.reason;
    }
    return dsn;
}

/* What the mailer would take for an option is refused, and is not among the arguments. */
static char **arguments(const struct agent *s, struct delivery *d, size_t *recipients)
{
    const struct deliver_request *q = &d->request;
    struct dsn refused = dsn_simple("5.1.3", STR("recipient address begins with \"-\""));
    VEC(char *) argv = {0};

    vec_add(d->arena, &argv, (char *)s->command);
    vec_add(d->arena, &argv, (char *)"-oi");
    vec_add(d->arena, &argv, (char *)"-f");
    vec_add(d->arena, &argv,
            arena_text(d->arena, q->sender.n ? address_quote_822(d->arena, q->sender) : STR("<>")));
    *recipients = 0;
    for (size_t i = 0; i < q->n_recipients; i++) {
        struct str address = address_quote_822(d->arena, q->recipients[i].address);
        if (address_is_option(address)) {
            deliver_report(d, i, &refused);
            continue;
        }
        vec_add(d->arena, &argv, arena_text(d->arena, address));
        ++*recipients;
    }
    vec_add(d->arena, &argv, NULL);
    return argv.v;
}

static void run(const struct agent *s, struct delivery *d)
{
    struct command c = {
        .process = {.uid = s->uid, .gid = s->gid},
        .text = str_of(s->command),
        .time_limit = s->time_limit,
        .eol = STR("\n"),
        .outcome = outcome_of,
    };
    struct environment e;
    struct dsn outcome = {0};
    size_t n;

    c.process.argv = arguments(s, d, &n);
    if (n == 0)
        return;
    environment_init(&e, d->arena, d->env->config);
    c.process.environment = environment_vector(&e);
    command_deliver(d, 0, &c, &outcome);
    if (outcome.status.p[0] == '2') {
        outcome.reason = arena_printf(d->arena, "forwarded by %s", s->command);
        outcome.action = STR("relayed");
    } else if (str_eq(outcome.status, STR("4.3.5")) ||
               str_has_prefix(outcome.reason, STR("cannot run command"))) {
        log_warning(&d->log, STR_FMT "; see command= of service %s in master.cf",
                    STR_ARG(outcome.reason), d->env->name);
    }
    deliver_report_all(d, &outcome);
    if (outcome.status.p[0] == '2' && !d->env->config->smtpfwdd_quiet)
        log_info(&d->log, "forwarded to %zu recipients by %s", n, s->command);
}

static void deliver_request(void *context, struct delivery *d)
{
    const struct agent *s = context;
    struct dsn outcome;

    d->relay = str_of(d->env->name);
    if (address_is_option(d->request.sender)) {
        outcome = dsn_simple("5.1.7", STR("sender address begins with \"-\""));
        deliver_report_all(d, &outcome);
    } else if (deliver_is_trial(d)) {
        outcome =
            dsn_simple("2.0.0", arena_printf(d->arena, "delivers to command: %s", s->command));
        deliver_report_all(d, &outcome);
    } else {
        run(s, d);
    }
}

void agent_session(struct service_env *env, void *state, int fd)
{
    struct agent *s = state;

    deliver_serve(env, s->shared, fd, deliver_request, NULL, s);
}

bool agent_has_changed(struct service_env *env, void *state)
{
    const struct agent *s = state;

    (void)env;
    return deliver_tables_have_changed(s->shared);
}
