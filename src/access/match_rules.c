/* match_rules: the rules that choose an action for each recipient, or reject it. */
#include "access/restrictions.h"
#include "config/config.h"
#include "dispatch/dispatch.h"

static struct dispatch_facts facts_of(const struct access_context *c)
{
    const struct config *config = access_config(c);

    return (struct dispatch_facts){
        .client = c->client.address,
        .client_name = c->client.reverse_name,
        .name_is_confirmed = c->client.name_status == PEER_OK,
        .user = c->sasl_username.n ? c->sasl_username : STR_NONE,
        .helo = c->helo.p ? c->helo : STR(""),
        .sender = c->sender.p ? c->sender : STR(""),
        .recipient = c->recipient,
        .domain = config->myorigin,
        .tag = config->smtpd_service_tag,
        .tls = c->tls,
        .delimiters = config->recipient_delimiter,
    };
}

/* "550 5.1.1 text" names the recipient; what stands in a table without such a code goes out as it
 * is. */
static struct str as_reply(struct access_context *c, struct str reply)
{
    struct str text = str_from(reply, 4), dsn = str_cut(&text, ' ');
    long code = 550;

    (void)str_to_long(str_head(reply, 3), 400, 599, &code);
    if (dsn.n < 5 || dsn.n > 9 || dsn.p[0] != reply.p[0] || dsn.p[1] != '.') {
        if (access_config(c)->soft_bounce && code >= 500)
            return arena_join(c->arena, STR("4"), str_from(reply, 1));
        return reply;
    }
    return access_reply(
        c, code, arena_text(c->arena, dsn),
        arena_printf(c->arena, "<" STR_FMT ">: " STR_FMT, STR_ARG(c->recipient), STR_ARG(text)));
}

enum verdict match_rules(struct access_context *c, const struct step *s)
{
    struct dispatch_facts facts;
    struct dispatch_answer answer = {0};
    struct why why = {0};

    if (c->recipient.p == NULL)
        return DUNNO;
    facts = facts_of(c);
    if (dispatch_accepts(s->dispatch, &facts, c->arena, &answer, &why) != RC_OK) {
        log_warning(c->log, STR_FMT ": %s", STR_ARG(s->argument), why.text);
        return access_refuse(c, 451, "4.3.0", STR("Temporary lookup failure"));
    }
    log_trace(c->log, LOG_TRACE_RULES,
              "rules: " STR_FMT ":%d: from=<" STR_FMT "> to=<" STR_FMT "> %s" STR_FMT,
              STR_ARG(s->argument), answer.line, STR_ARG(facts.sender), STR_ARG(facts.recipient),
              answer.accepted ? "action " : "",
              STR_ARG(answer.accepted ? answer.action : answer.reply));
    c->decided = (struct access_place){s->argument, answer.line};
    if (answer.accepted) {
        c->action = answer.action;
        return PERMIT;
    }
    return access_refuse_as(c, as_reply(c, answer.reply));
}

enum rc match_rules_open(struct access *access, struct str path, struct dispatch **out,
                         struct why *why)
{
    TRY(dispatch_open(arena_text(access->arena, path), &access->env, out, why));
    vec_add(access->arena, &access->dispatches, *out);
    return RC_OK;
}
