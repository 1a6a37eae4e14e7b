/* check_rules_file: what the rules of a file mean for a session. */
#include <unistd.h>

#include "access/restrictions.h"
#include "access/rules.h"
#include "config/config.h"
#include "global/dsn.h"

static bool is_delayed(enum rule_action action)
{
    return action == RULE_DENY_DELAY || action == RULE_NOTO_DELAY;
}

static bool ends_session(enum rule_action action)
{
    return action == RULE_DENY || action == RULE_DENY_DELAY;
}

/* Only this session waits, and not longer than the client does. */
static void delay(struct access_context *c, enum rule_action action)
{
    const struct config *config = access_config(c);
    long seconds =
        action == RULE_DENY_DELAY ? config->check_rules_deny_delay : config->check_rules_noto_delay;

    if (!is_delayed(action) || c->warn_only)
        return;
    let_wait(c, seconds);
}

/* "550 text": the code, and the text behind the enhanced code that it may begin with. */
static enum verdict refuse_with(struct access_context *c, struct str reply)
{
    struct str status, text;
    char dsn[] = {reply.p[0], '.', '7', '.', '1', '\0'};
    long code = 550;

    (void)str_to_long(str_head(reply, 3), 400, 599, &code);
    dsn_split(str_ltrim(str_from(reply, 3)), dsn, &status, &text);
    return access_refuse(c, code, arena_text(c->arena, status), text);
}

static enum verdict refuse(struct access_context *c, const struct rule_hit *hit)
{
    const struct access_place *place = &c->decided;
    struct str message =
        hit->message.n ? hit->message : access_config(c)->check_rules_default_message;
    enum verdict v;

    delay(c, hit->action);
    c->log_note =
        arena_printf(c->arena, " check_rules=" STR_FMT ":%ld", STR_ARG(place->file), place->line);
    v = refuse_with(c, rules_expand(c, message));
    c->log_note = STR_NONE;
    if (v != REJECT || !ends_session(hit->action))
        return v;
    c->closes = true;
    if (!c->dry_run)
        log_info(c->log, "disconnect after deny: " STR_FMT ": " STR_FMT ":%ld",
                 STR_ARG(c->client.label), STR_ARG(place->file), place->line);
    return v;
}

static enum verdict act(struct access_context *c, const struct rule_hit *hit)
{
    if (hit->action != RULE_ALLOW)
        return refuse(c, hit);
    log_debug(c->log, "check_rules=" STR_FMT ":%ld allows " STR_FMT, STR_ARG(c->decided.file),
              c->decided.line, STR_ARG(c->client.label));
    return PERMIT;
}

/* No rule matched. */
static enum verdict act_by_default(struct access_context *c, struct str path)
{
    struct str word = access_config(c)->check_rules_default_action;
    struct rule_hit hit = {.action = str_eq(word, STR("allow")) ? RULE_ALLOW : RULE_DENY};

    if (str_eq(word, STR("dunno")))
        return DUNNO;
    c->decided = (struct access_place){path, 0};
    return act(c, &hit);
}

/* Sender and recipient are known from RCPT on; after DATA the recipient may be one of several. */
static bool is_early(const struct access_context *c)
{
    bool content = c->list == ACCESS_DATA || c->list == ACCESS_END_OF_DATA;

    return c->sender.p == NULL || (c->recipient.p == NULL && !content);
}

enum verdict check_rules_file(struct access_context *c, const struct step *s)
{
    struct str path = str_of(rules_file_path(s->rules));
    struct rule_hit hit = {0};
    const struct rules *rules;
    struct why why = {0};
    enum rc rc;

    if (is_early(c))
        return DUNNO;
    rules = rules_file_use(s->rules);
    rc = rules_find(rules, c, &hit, &why);
    hit.message = arena_copy(c->arena, hit.message);
    rules_file_done(s->rules, rules);
    if (rc == RC_NONE)
        return act_by_default(c, path);
    if (rc != RC_OK) {
        log_warning(c->log, STR_FMT ": %s", STR_ARG(path), why.text);
        return access_refuse(c, 451, "4.3.0", STR("Temporary lookup failure"));
    }
    c->decided = (struct access_place){path, hit.line};
    return act(c, &hit);
}

enum rc check_rules_open(struct access *access, struct str path, struct rules_file **out,
                         struct why *why)
{
    const struct config *config = access->config;
    const struct rules *rules;

    for (size_t i = 0; access->base && i < access->base->rules.n; i++)
        if (str_eq(str_of(rules_file_path(access->base->rules.v[i])), path)) {
            *out = access->base->rules.v[i];
            return RC_OK;
        }
    TRY(rules_file_open(path, access->log, out, why));
    vec_add(access->arena, &access->rules, *out);
    rules = rules_file_use(*out);
    if (rules_ask_ident(rules) && config->check_rules_ident_timeout == 0)
        log_warning(
            access->log,
            "%s: rules look at the user of the client host, and check_rules_ident_timeout is "
            "0: they never match; set it to 10s",
            rules_file_path(*out));
    rules_file_done(*out, rules);
    if (rules_message_check(config->check_rules_default_message, why) == RC_OK)
        return RC_OK;
    why_prefix(why, "check_rules_default_message");
    return RC_CONFIG;
}
