/* Per-client instructions. */
#include "postexplain/postexplain.h"

static void decided(struct explanation *e, const char *verdict, struct str reply)
{
    e->verdict = verdict;
    e->reply = reply;
    e->restriction = STR("smtpd_client_instruction_maps");
    e->place = (struct access_place){e->instruction.file, e->instruction.line};
}

/* A session that is refused at the greeting. */
static void look_at_greeting(const struct config *config, struct explanation *e)
{
    bool reject = config->smtpd_reject_greeting.n > 0;
    struct str text = reject ? config->smtpd_reject_greeting : config->smtpd_defer_greeting;

    if (text.n == 0)
        return;
    e->is_greeting = true;
    e->verdict = reject ? "reject" : "defer";
    e->reply = arena_printf(e->arena, "%s " STR_FMT " " STR_FMT, reject ? "554" : "421",
                            STR_ARG(config->myhostname), STR_ARG(text));
    e->restriction = reject ? STR("smtpd_reject_greeting") : STR("smtpd_defer_greeting");
    place_of_setting(config, e->restriction, e);
    e->closes = config->smtpd_disconnect_on_reject;
}

static enum rc find(const struct access_context *context, struct resolver *resolver,
                    struct str tables, const struct table_env *env, struct explanation *e,
                    struct why *why)
{
    struct instruction_client client = {.address = context->client.address,
                                        .user = str_of(context->ident.user)};
    struct instructions *instructions = NULL;
    enum rc rc;

    if (context->client.name_status == PEER_OK && !str_eq(context->client.name, STR("unknown")))
        client.name = context->client.name;
    TRY(instructions_open(tables, env, resolver, &instructions, why));
    rc = instructions_find(instructions, &client, e->arena, &e->instruction, why);
    e->has_instruction = rc == RC_OK;
    return rc;
}

static enum rc take_settings(const struct config **config, struct explanation *e, struct why *why)
{
    const struct instruction *i = &e->instruction;
    struct config *overlay = NULL;
    enum rc rc = instruction_check(i, why);

    if (rc == RC_OK)
        rc = config_overlay(*config, i->settings, i->n_settings, &overlay, why);
    if (rc == RC_OK)
        *config = overlay;
    else if (i->line)
        why_prefix(why, STR_FMT ", line %ld", STR_ARG(i->file), i->line);
    return rc;
}

enum rc apply_instructions(struct command *c, const char *tables,
                           const struct access_context *context, struct resolver *resolver,
                           const struct config **config, struct explanation *e, struct why *why)
{
    struct table_env env = {*config, &c->log};
    struct str spec = tables ? str_of(tables) : (*config)->smtpd_client_instruction_maps;
    const struct instruction *i = &e->instruction;
    enum rc rc = spec.n ? find(context, resolver, spec, &env, e, why) : RC_NONE;

    if (rc == RC_TEMP && !tables) {
        decided(e, "defer",
                arena_printf(e->arena, "421 4.3.0 " STR_FMT " Error: service unavailable",
                             STR_ARG((*config)->myhostname)));
        e->text = arena_copy(e->arena, str_of(why->text));
        return RC_OK;
    }
    if (rc != RC_OK && rc != RC_NONE)
        return rc;
    if (rc == RC_OK && i->decision == CLIENT_ALLOW)
        TRY(take_settings(config, e, why));
    if (rc == RC_OK && i->decision == CLIENT_DENY) {
        decided(e, "reject",
                i->text.n ? arena_printf(e->arena, "554 5.7.1 " STR_FMT, STR_ARG(i->text))
                          : STR_NONE);
        e->closes = true;
    } else if (rc == RC_OK && i->decision == CLIENT_RUN) {
        decided(e, "none", STR_NONE); /* the program takes the session over */
    } else if (tables) {
        if (rc == RC_OK)
            decided(e, "permit", STR_NONE);
        else
            e->verdict = "none";
    } else {
        look_at_greeting(*config, e);
    }
    return RC_OK;
}
