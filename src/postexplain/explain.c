/* Reading what is needed, and asking. */
#include <limits.h>
#include <stdlib.h>

#include "access/restrictions.h"
#include "config/master_cf.h"
#include "postexplain/postexplain.h"

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

static enum rc open_access(struct command *command, const struct config *config,
                           struct resolver *resolver, struct access_context *c, struct why *why)
{
    struct access_options options = {config, &command->log, NULL, resolver, NULL};
    struct access *access = NULL;

    TRY(rewriter_new(config, &command->log, &options.rewriter, why));
    TRY(access_open(&options, &access, why));
    c->access = access;
    c->config = config;
    return RC_OK;
}

/* ---- one file of rules ---- */

static void close_rules(void *context)
{
    rules_file_close(context);
}

static enum rc explain_rules(const struct question *q, const struct config *config,
                             struct explanation *e, struct why *why)
{
    struct access_context *c = e->context;
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
    c->stage = "RCPT";
    c->helo = str_of(q->helo);
    c->sender = str_of(q->sender);
    c->recipient = str_of(q->recipient);
    v = access_run(&program, c);
    e->delay_seconds = c->delay_seconds;
    conclude(config, v, e);
    return RC_OK;
}

/* ---- all of it ---- */

/* As the session sends it. */
static enum rc finish_reply(const struct config *config, struct explanation *e, struct why *why)
{
    struct reply_style style;

    if (!e->is_greeting) {
        TRY(reply_style_open(&style, config, e->context->log, e->arena, NULL, NULL, why));
        e->reply = reply_as_sent(&style, e->context, e->reply);
        e->closes = e->closes || str_has_prefix(e->reply, STR("421")) ||
                    str_has_prefix(e->reply, STR("521"));
    }
    if (e->reply.n)
        e->verdict = e->reply.p[0] == '4' ? "defer" : "reject";
    return RC_OK;
}

enum rc explain(struct command *command, const struct question *q, struct explanation *e,
                struct why *why)
{
    struct config *loaded = NULL;
    const struct config *config;
    struct resolver *resolver;
    struct access_context *c = e->context = arena_new_of(e->arena, struct access_context);

    if (q->rules_file || q->instructions)
        TRY(load_bare(q, &loaded, why));
    else
        TRY(load_main(q, e->arena, &loaded, why));
    config = loaded;
    resolver =
        resolver_open(&(struct resolver_options){.resolv_conf = config->dns_resolver_file.p});
    *c = (struct access_context){
        .config = config,
        .arena = e->arena,
        .log = &command->log,
        .stage = "CONNECT",
        .protocol = STR("SMTP"),
        .dry_run = true,
        .trace = note_step,
        .tracer = e,
    };
    TRY(fill_context(q, resolver, e->arena, config, c, why));
    if (!q->rules_file)
        TRY(apply_instructions(command, q->instructions, c, resolver, &config, e, why));
    if (e->verdict == NULL) {
        TRY(open_access(command, config, resolver, c, why));
        if (q->rules_file)
            TRY(explain_rules(q, config, e, why));
        else
            TRY(explain_session(q, config, e, why));
    }
    return finish_reply(config, e, why);
}
