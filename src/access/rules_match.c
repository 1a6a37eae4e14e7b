/* Evaluation of check rules: lists, tokens, and the search for the first rule that matches. */
#include "access/ident.h"
#include "access/restrictions.h"
#include "access/rule.h"
#include "config/config.h"

bool text_matches(const struct text_pattern *p, struct str lower, bool *trouble)
{
    regmatch_t range = {0, (regoff_t)lower.n};
    int code;

    switch (p->kind) {
    case TEXT_ANY: return true;
    case TEXT_EXACT: return str_eq(p->text, lower);
    case TEXT_WILD: return str_fits(lower, p->text);
    default:
        code = regexec(p->regex, lower.p ? lower.p : "", 0, &range, REG_STARTEND);
        *trouble = *trouble || (code != 0 && code != REG_NOMATCH);
        return code == 0;
    }
}

/* RC_TEMP: a regular expression needs more memory than there is. */
static enum rc match_text(struct rule_query *q, const struct text_pattern *p, struct str lower)
{
    bool trouble = false, matches = text_matches(p, lower, &trouble);

    if (trouble)
        return FAIL(q->why, RC_TEMP, "a regular expression cannot be evaluated");
    return matches ? RC_OK : RC_NONE;
}

static enum rc yes(bool matches)
{
    return matches ? RC_OK : RC_NONE;
}

/* ---- the source ---- */

static enum rc is_trusted(struct rule_query *q, bool trusted)
{
    struct access_context *c = q->c;
    enum rc rc;

    if (c->access->mynetworks == NULL)
        return yes(!trusted);
    rc = match_client(c->access->mynetworks, c->client.name, &c->client.address, q->why);
    return rc == RC_OK || rc == RC_NONE ? yes((rc == RC_OK) == trusted) : rc;
}

static enum rc match_host(struct rule_query *q, const struct token *t)
{
    enum rc rc = RC_NONE;

    switch (t->kind) {
    case TOKEN_ALL: return RC_OK;
    case TOKEN_KNOWN: return yes(q->name_is_known);
    case TOKEN_UNKNOWN: return yes(!q->name_is_known);
    case TOKEN_TRUSTED: return is_trusted(q, true);
    case TOKEN_UNTRUSTED: return is_trusted(q, false);
    case TOKEN_NETWORK: return yes(network_has(t->network, &q->c->client.address));
    case TOKEN_RBL: return rbl_matches(q, t);
    case TOKEN_NS: return ns_matches(q, t, client_domain(q));
    default: break;
    }
    if (t->text.kind != TEXT_REGEX || q->name_is_known)
        rc = match_text(q, &t->text, q->name);
    return rc == RC_NONE && t->text.kind != TEXT_REGEX ? match_text(q, &t->text, q->address_text)
                                                       : rc;
}

static enum rc match_source(struct rule_query *q, const struct token *t)
{
    struct str user;

    TRY(match_host(q, t));
    if (t->user == USER_NONE)
        return RC_OK;
    user = ident_user(q->c);
    if (user.n == 0)
        return RC_NONE;
    return t->user == USER_KNOWN ? RC_OK : match_text(q, &t->user_text, user);
}

/* ---- addresses ---- */

static enum rc match_user(struct rule_query *q, const struct token *t, struct str local)
{
    struct str user;

    if (t->user == USER_TEXT)
        return match_text(q, &t->user_text, local);
    user = ident_user(q->c);
    return yes(user.n && str_index(user, '*') < 0 && str_eq_nocase(user, local));
}

static enum rc match_address(struct rule_query *q, const struct token *t,
                             const struct rule_subject *s)
{
    if (!s->is_given)
        return yes(t->kind == TOKEN_ALL);
    switch (t->kind) {
    case TOKEN_ALL: return RC_OK;
    case TOKEN_NULL_SENDER: return yes(s->whole.n == 0);
    default: break;
    }
    if (t->user == USER_NONE && t->kind == TOKEN_TEXT)
        return match_text(q, &t->text, s->whole);
    if (!s->has_domain)
        return RC_NONE;
    if (t->user != USER_NONE)
        TRY(match_user(q, t, s->local));
    return t->kind == TOKEN_NS ? ns_matches(q, t, s->domain) : match_text(q, &t->text, s->domain);
}

/* ---- lists ---- */

static enum rc match_group(struct rule_query *q, enum rule_field field, const struct token_group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        enum rc rc = field == FIELD_SOURCE
                         ? match_source(q, &g->tokens[i])
                         : match_address(q, &g->tokens[i], field == FIELD_FROM ? &q->from : &q->to);
        if (rc != RC_NONE)
            return rc;
    }
    return RC_NONE;
}

/* A EXCEPT B EXCEPT C: A and not (B and not C) */
static enum rc match_list(struct rule_query *q, enum rule_field field, const struct rule_list *l,
                          size_t from)
{
    enum rc rc;

    TRY(match_group(q, field, &l->groups[from]));
    if (from + 1 == l->n)
        return RC_OK;
    rc = match_list(q, field, l, from + 1);
    return rc == RC_OK ? RC_NONE : rc == RC_NONE ? RC_OK : rc;
}

static enum rc match_rule(struct rule_query *q, const struct rule *rule)
{
    for (int i = 0; i < FIELDS; i++) {
        enum rule_field field = rule->order[i];
        const struct rule_list *l = &rule->lists[field];
        if (field == FIELD_TO && !q->to.is_given && l->n > 1)
            return RC_NONE; /* the exception might be about one of several recipients */
        TRY(match_list(q, field, l, 0));
    }
    return RC_OK;
}

/* ---- the search ---- */

static struct rule_subject subject_of(struct access_context *c, struct str address)
{
    struct rule_subject s = {.is_given = address.p != NULL};
    ssize_t at;

    if (!s.is_given)
        return s;
    s.whole = arena_lower(c->arena, address);
    at = str_rindex(s.whole, '@');
    s.has_domain = at >= 0;
    s.local = at < 0 ? s.whole : str_head(s.whole, (size_t)at);
    s.domain = at < 0 ? STR_NONE : str_from(s.whole, (size_t)at + 1);
    return s;
}

/* As it stands, whatever it looks like. */
static struct str given_name(const struct access_context *c)
{
    struct str name =
        access_config(c)->check_rules_use_reverse_name ? c->client.reverse_name : c->client.name;

    return str_eq(name, STR("unknown")) ? STR_NONE : name;
}

struct str rules_client_name(const struct access_context *c)
{
    struct str name = given_name(c);
    struct addr address;

    return name.n == 0 || addr_parse(name, 0, &address, NULL) == RC_OK ? STR_NONE : name;
}

enum rc rules_find(const struct rules *r, struct access_context *c, struct rule_hit *hit,
                   struct why *why)
{
    struct str name = rules_client_name(c);
    struct rule_query q = {
        .c = c,
        .name = name.p ? arena_lower(c->arena, name) : STR("unknown"),
        .name_is_known = name.p != NULL,
        .address_text = arena_lower(c->arena, c->client.address_text),
        .from = subject_of(c, c->sender),
        .to = subject_of(c, c->recipient),
        .why = why,
    };
    struct candidate_search search = {.arena = c->arena};
    long number;

    if (name.n == 0 && given_name(c).n)
        log_warning(c->log,
                    "host name " STR_FMT " of client [" STR_FMT
                    "] looks like an address; check rules do not use it",
                    STR_ARG(given_name(c)), STR_ARG(c->client.address_text));
    rules_index_find(r, &q, &search);
    while ((number = search_next(&search)) != NO_CANDIDATE) {
        const struct rule *rule = &r->list.v[number];
        enum rc rc = match_rule(&q, rule);
        if (rc == RC_OK && rule->action == RULE_DEBUG) {
            log_info(c->log, "DEBUG: matched line %ld", rule->line);
            continue;
        }
        if (rc == RC_OK)
            *hit = (struct rule_hit){rule->action, rule->line, rule->message};
        if (rc != RC_NONE)
            return rc;
    }
    return RC_NONE;
}
