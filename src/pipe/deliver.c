#include "config/config.h"
#include "pipe/pipe.h"
#include "util/memory.h"

struct context {
    struct service_env *env;
    const struct pipe_state *state;
};

enum rc pipe_start(struct service_env *env, void **out, struct why *why)
{
    struct pipe_state *s = NEW(struct pipe_state);

    TRY(pipe_attributes(env, s, arena_new(1024), why));
    TRY(deliver_start(env, &s->shared, why));
    *out = s;
    return RC_OK;
}

/* What can be said without running the command. */
static bool refused(const struct pipe_state *s, struct delivery *d, struct dsn *outcome)
{
    bool one_at_a_time = pipe_has_flag(s, 'D') || pipe_has_flag(s, 'O');

    if (s->size_limit > 0 && d->request.size > s->size_limit) {
        *outcome = dsn_simple(
            "5.2.3",
            arena_printf(d->arena, "message size %ld exceeds size limit %ld of mail destination %s",
                         d->request.size, s->size_limit, d->env->name));
        return true;
    }
    if (one_at_a_time && d->request.n_recipients > 1) {
        log_warning(&d->log,
                    "pipe flags D and O need %s_destination_recipient_limit = 1 in main.cf",
                    d->env->name);
        *outcome = dsn_simple("4.3.5", STR("mail system configuration error"));
        return true;
    }
    if (pipe_has_flag(s, 'D') && deliver_is_loop(d, d->request.recipients[0].address)) {
        *outcome = dsn_simple("5.4.6", arena_printf(d->arena, "mail forwarding loop for " STR_FMT,
                                                    STR_ARG(d->request.recipients[0].address)));
        return true;
    }
    if (deliver_is_trial(d)) {
        *outcome = dsn_simple(
            "2.0.0", arena_printf(d->arena, "delivers to command: " STR_FMT, STR_ARG(s->argv[0])));
        return true;
    }
    return false;
}

static struct dsn run(const struct pipe_state *s, struct delivery *d)
{
    struct command c = {
        .process = {.uid = s->uid, .gid = s->gid, .chroot = s->chroot, .directory = s->directory},
        .time_limit = s->time_limit,
        .copy_flags = s->copy_flags,
        .delivered_to = d->request.recipients[0].address,
        .eol = s->eol,
    };
    struct environment e;
    struct dsn outcome = {0};
    struct why why;
    char **argv;

    if (pipe_arguments(s, d, &argv, &c.text, &why) != RC_OK) {
        log_warning(&d->log, "%s", why.text);
        return dsn_simple("4.3.5", STR("mail system configuration error"));
    }
    environment_init(&e, d->arena, d->env->config);
    c.process.argv = argv;
    c.process.environment = environment_vector(&e);
    command_deliver(d, 0, &c, &outcome);
    if (outcome.status.n && outcome.status.p[0] == '2') {
        outcome.reason = arena_printf(d->arena, "delivered via %s service", d->env->name);
        outcome.action = pipe_has_flag(s, 'X') ? STR("delivered") : STR("relayed");
    }
    return outcome;
}

static void deliver_request(void *context, struct delivery *d)
{
    struct context *c = context;
    struct dsn outcome;

    d->relay = str_of(c->env->name);
    if (!refused(c->state, d, &outcome))
        outcome = run(c->state, d);
    deliver_report_all(d, &outcome);
}

void pipe_session(struct service_env *env, void *state, int fd)
{
    struct context c = {env, state};

    deliver_serve(env, c.state->shared, fd, deliver_request, NULL, &c);
}

bool pipe_has_changed(struct service_env *env, void *state)
{
    const struct pipe_state *s = state;

    (void)env;
    return deliver_tables_have_changed(s->shared);
}
