/* Running the evaluator, and noting what it did. */
#include <limits.h>
#include <stdlib.h>

#include "access/restrictions.h"
#include "config/master_cf.h"
#include "postexplain/postexplain.h"

static void note_step(void *tracer, const struct program *program, const struct step *s,
                      enum verdict verdict)
{
    struct explanation *e = tracer;
    struct trace_step step = {
        .list = str_of(program->parameter),
        .restriction = s->argument.n ? arena_printf(e->arena, STR_FMT " " STR_FMT, STR_ARG(s->name),
                                                    STR_ARG(s->argument))
                                     : arena_copy(e->arena, s->name),
        .verdict = verdict,
        .place = e->context->decided,
    };

    if (e->context->if_permit.active && e->deferring < 0)
        e->deferring = (ssize_t)e->steps.n;
    vec_add(e->arena, &e->steps, step);
}

/* ---- the verdict ---- */

static bool is_no(enum verdict v)
{
    return v == REJECT || v == HANGUP;
}

/* The step that decided; the outermost when restrictions called others. */
static const struct trace_step *decider(const struct explanation *e, enum verdict v)
{
    for (size_t i = e->steps.n; i-- > 0;) {
        if (is_no(v) && e->steps.v[i].verdict == v)
            return &e->steps.v[i];
        if (!is_no(v) && e->steps.v[i].verdict == PERMIT)
            return &e->steps.v[i];
    }
    return NULL;
}

/* "/etc/postfix/main.cf, line 12" */
static void place_in_main_cf(const struct config *config, struct str parameter,
                             struct explanation *e)
{
    struct str place = config_place(config, e->arena, parameter);
    ssize_t line = str_find(place, STR(", line "));

    if (line < 0 || !str_to_long(str_from(place, (size_t)line + 7), 0, LONG_MAX, &e->place.line))
        return;
    e->place.file = arena_copy(e->arena, str_head(place, (size_t)line));
}

static void note_decider(const struct config *config, enum verdict v, struct explanation *e)
{
    const struct access_context *c = e->context;
    const struct trace_step *s = decider(e, v);
    struct str parameter;

    if (is_no(v) && c->if_permit.active && e->deferring >= 0 &&
        str_eq(c->reply, c->if_permit.reply))
        s = &e->steps.v[e->deferring];
    if (s == NULL && !is_no(v))
        return;
    /* what no list asks for */
    e->restriction = s ? s->restriction : STR("reject_unlisted_recipient");
    parameter = s ? s->list : STR("smtpd_reject_unlisted_recipient");
    if (s && s->place.file.n && s->place.line)
        e->place = s->place;
    else
        place_in_main_cf(config, parameter, e);
}

static const char *verdict_word(const struct explanation *e, enum verdict v)
{
    const struct access_context *c = e->context;

    if (v == HANGUP)
        return "reject";
    if (v == REJECT)
        return c->reply.n && c->reply.p[0] == '4' ? "defer" : "reject";
    if (c->actions.discard)
        return "discard";
    if (c->actions.hold)
        return "hold";
    return decider(e, PERMIT) ? "permit" : "none";
}

static void conclude(const struct config *config, enum verdict v, long waited,
                     struct explanation *e)
{
    const struct access_context *c = e->context;

    e->verdict = verdict_word(e, v);
    if (v == REJECT)
        e->reply = c->reply;
    e->closes = v == HANGUP || (v == REJECT && (c->closes || str_has_prefix(c->reply, STR("421")) ||
                                                str_has_prefix(c->reply, STR("521"))));
    e->delay_seconds = waited;
    note_decider(config, v, e);
}

/* ---- one file of rules ---- */

static void close_rules(void *context)
{
    rules_file_close(context);
}

static enum rc explain_rules(const struct question *q, struct access_context *c,
                             const struct config *config, struct explanation *e, struct why *why)
{
    struct step step = {.run = check_rules_file,
                        .name = STR("check_rules_file"),
                        .argument = str_of(q->rules_file)};
    struct program program = {"--check-rules", &step, 1};
    char path[PATH_MAX];
    enum verdict v;

    if (realpath(q->rules_file, path) == NULL)
        return FAIL(why, RC_CONFIG, "%s: %m", q->rules_file);
    TRY(rules_file_open(str_of(path), c->log, &step.rules, why));
    arena_defer(e->arena, close_rules, step.rules); /* the explanation points into it */
    c->list = ACCESS_RECIPIENT;
    c->sender = str_of(q->sender);
    c->recipient = str_of(q->recipient);
    v = access_run(&program, c);
    conclude(config, v, c->delay_seconds, e);
    return RC_OK;
}

/* ---- a whole session ---- */

/* Stage by stage, as far as the client gets. */
static enum verdict run_session(const struct question *q, struct access_context *c, long *waited)
{
    enum verdict v;

#define STAGE(word, call)                                                                          \
    do {                                                                                           \
        c->stage = word;                                                                           \
        v = call;                                                                                  \
        *waited += c->delay_seconds;                                                               \
        if (is_no(v))                                                                              \
            return v;                                                                              \
    } while (0)
    STAGE("CONNECT", access_at_connect(c));
    if (c->helo.p)
        STAGE("EHLO", access_at_helo(c));
    if (q->sender == NULL)
        return v;
    c->sender = str_of(q->sender);
    STAGE("MAIL", access_at_mail(c));
    if (q->recipient == NULL)
        return v;
    c->recipient = str_of(q->recipient);
    STAGE("RCPT", access_at_rcpt(c));
    c->recipient_count = 1;
    STAGE("DATA", access_at_data(c));
    STAGE("END-OF-MESSAGE", access_at_end_of_data(c));
#undef STAGE
    return v;
}

static enum rc explain_session(struct command *command, const struct question *q,
                               struct access_context *c, struct resolver *resolver,
                               const struct config *config, struct explanation *e, struct why *why)
{
    struct access_options options = {config, &command->log, NULL, resolver, NULL};
    struct access *access = NULL;
    enum verdict v;
    long waited = 0;

    TRY(rewriter_new(config, &command->log, &options.rewriter, why));
    TRY(access_open(&options, &access, why));
    c->access = access;
    v = run_session(q, c, &waited);
    conclude(config, v, waited, e);
    return RC_OK;
}

/* ---- configuration ---- */

/* Rules and instructions alone need no main.cf. */
static enum rc load_bare(const struct question *q, struct config **out, struct why *why)
{
    static const struct str main_cf =
        STR_INIT("compatibility_level = 3.11\nmynetworks = 127.0.0.0/8 [::1]/128\n"
                 "alias_maps =\nlocal_recipient_maps =\n");
    struct config_request request = {.dir = "/nonexistent",
                                     .process_name = "postexplain",
                                     .main_cf = &main_cf,
                                     .overrides = q->overrides.v,
                                     .overrides_n = q->overrides.n};

    return config_load(&request, out, why);
}

/* As the service of master.cf has it, when one is named. */
static enum rc load_main(const struct question *q, struct arena *a, struct config **out,
                         struct why *why)
{
    struct config_request request = {.dir = q->config_directory ? q->config_directory
                                                                : config_default_dir(),
                                     .process_name = "smtpd",
                                     .overrides = q->overrides.v,
                                     .overrides_n = q->overrides.n};
    struct master_reading how = {0};
    struct master_cf master = {0};
    struct config *first = NULL;

    if (q->service == NULL)
        return config_load(&request, out, why);
    TRY(config_load(&request, &first, why));
    how.config = first;
    TRY(master_cf_load(request.dir, &how, a, &master, why));
    for (size_t i = 0; i < master.n; i++) {
        const struct master_entry *m = &master.entries[i];
        if (str_eq(m->name, str_of(q->service)) && str_eq(m->command, STR("smtpd")))
            return config_overlay(first, m->overrides, m->overrides_n, out, why);
    }
    return FAIL(why, RC_CONFIG, "%s/master.cf has no service \"%s\" that runs smtpd", request.dir,
                q->service);
}

static enum rc open_tables_only(struct command *command, const struct config *config,
                                struct resolver *resolver, struct access_context *c,
                                struct why *why)
{
    struct access_options options = {config, &command->log, NULL, resolver, NULL};
    struct access *access = NULL;

    TRY(rewriter_new(config, &command->log, &options.rewriter, why));
    TRY(access_open(&options, &access, why));
    c->access = access;
    return RC_OK;
}

enum rc explain(struct command *command, const struct question *q, struct explanation *e,
                struct why *why)
{
    struct config *loaded = NULL;
    const struct config *config;
    struct resolver *resolver;
    struct access_context *c = arena_new_of(e->arena, struct access_context);
    enum rc rc = q->rules_file || q->instructions ? load_bare(q, &loaded, why)
                                                  : load_main(q, e->arena, &loaded, why);

    if (rc != RC_OK)
        return rc;
    config = loaded;
    resolver =
        resolver_open(&(struct resolver_options){.resolv_conf = config->dns_resolver_file.p});
    *c = (struct access_context){
        .arena = e->arena,
        .log = &command->log,
        .stage = "CONNECT",
        .protocol = STR("ESMTP"),
        .esmtp = true,
        .dry_run = true,
        .trace = note_step,
        .tracer = e,
    };
    e->context = c;
    TRY(fill_context(q, resolver, e->arena, config, c, why));
    if (q->rules_file) {
        TRY(open_tables_only(command, config, resolver, c, why));
        return explain_rules(q, c, config, e, why);
    }
    TRY(apply_instructions(command, q->instructions, c, resolver, &config, e, why));
    if (e->verdict)
        return RC_OK;
    return explain_session(command, q, c, resolver, config, e, why);
}
