#include "access/instructions.h"

#include "access/open_relay.h"
#include "config/client_settings.h"
#include "table/driver.h"

struct instructions {
    struct arena *arena;
    struct table_env env;
    struct resolver *resolver;
    VEC(struct table *) tables;
};

static const char parameter[] = "smtpd_client_instruction_maps";

/* ---- open ---- */

static enum rc check_rule(void *context, const struct client_rule *rule, struct why *why)
{
    (void)context;
    (void)rule;
    (void)why;
    return RC_OK;
}

/* tcprules: and ipsvd: tables have checked their rules; here the other ones that can be listed. */
static enum rc check_table(struct table *t, struct why *why)
{
    enum rc rc = table_has_rules(t) ? RC_OK : client_rules_each(t, check_rule, NULL, why);

    return rc == RC_PERM || rc == RC_TEMP ? RC_OK : rc;
}

enum rc instructions_open(struct str tables, const struct table_env *env, struct resolver *resolver,
                          struct instructions **out, struct why *why)
{
    struct arena *arena = arena_new(512);
    struct instructions *i = arena_new_of(arena, struct instructions);
    struct str one;

    *i = (struct instructions){.arena = arena, .env = *env, .resolver = resolver};
    while (str_token_braced(&tables, LIST_SEPARATORS, &one)) {
        struct table *t = NULL;
        enum rc rc = table_open(one, TABLE_NO_UNAUTH, env, &t, why);
        if (rc == RC_OK) {
            vec_add(arena, &i->tables, t);
            rc = check_table(t, why);
        }
        if (rc != RC_OK) {
            why_prefix(why, "%s", parameter);
            instructions_close(i);
            return rc;
        }
    }
    *out = i;
    return RC_OK;
}

void instructions_close(struct instructions *i)
{
    if (i == NULL)
        return;
    for (size_t k = 0; k < i->tables.n; k++)
        table_close(i->tables.v[k]);
    arena_free(i->arena);
}

bool instructions_have_changed(struct instructions *i)
{
    for (size_t k = 0; i && k < i->tables.n; k++)
        if (table_has_changed(i->tables.v[k]))
            return true;
    return false;
}

bool instructions_want_user(struct instructions *i)
{
    for (size_t k = 0; k < i->tables.n; k++)
        if (client_rules_want_user(i->tables.v[k]))
            return true;
    return false;
}

/* ---- search ---- */

/* For "=HOST" of ipsvd: is the client one of the addresses of that name? */
static enum rc host_has_address(void *context, struct str host, const struct addr *client)
{
    const struct instructions *i = context;
    int type = addr_family(client) == AF_INET6 ? DNS_AAAA : DNS_A;
    AUTO_ARENA a = arena_new(1024);
    struct dns_answer answer = {0};
    enum dns_status status;

    if (i->resolver == NULL)
        return RC_NONE;
    status = dns_lookup(i->resolver, host, type, a, &answer, NULL);
    if (status == DNS_RETRY || status == DNS_BOGUS)
        return RC_TEMP;
    for (size_t k = 0; status == DNS_FOUND && k < answer.n; k++)
        if (answer.records[k].type == type && addr_equal(&answer.records[k].address, client))
            return RC_OK;
    return RC_NONE;
}

static enum rc fill(struct instructions *i, struct table *t, const struct client_rule *rule,
                    struct arena *a, struct instruction *out, struct why *why)
{
    struct config_setting *settings = NULL;

    *out = (struct instruction){
        .decision = rule->decision,
        .text = rule->text,
        .table = table_name(t),
        .rule = rule->key.n ? rule->key : STR("(empty)"),
        .file = rule->file,
        .line = rule->line,
        .variables = rule->variables.v,
        .n_variables = rule->variables.n,
        .unset = rule->unset.v,
        .n_unset = rule->unset.n,
    };
    TRY(client_settings_translate(i->env.config, rule->variables.v, rule->variables.n, a, &settings,
                                  &out->n_settings, why));
    out->settings = settings;
    return RC_OK;
}

enum rc instructions_find(struct instructions *i, const struct instruction_client *client,
                          struct arena *a, struct instruction *out, struct why *why)
{
    struct client_query q = {.address = client->address,
                             .name = client->name,
                             .user = client->user,
                             .has_address = host_has_address,
                             .context = i};

    for (size_t k = 0; k < i->tables.n; k++) {
        struct table *t = i->tables.v[k];
        struct client_rule rule = {0};
        struct str name = table_name(t);
        enum rc rc = client_rule_find(t, &q, a, &rule, why);
        if (rc == RC_NONE)
            continue;
        if (rc == RC_OK)
            rc = fill(i, t, &rule, a, out, why);
        if (rc == RC_OK)
            return RC_OK;
        why_prefix(why, STR_FMT, STR_ARG(name));
        return RC_TEMP;
    }
    return RC_NONE;
}

/* ---- all rules ---- */

void instruction_blame(const struct instruction *rule, struct why *why)
{
    if (rule->line)
        why_prefix(why, STR_FMT ", line %ld", STR_ARG(rule->file), rule->line);
    else if (rule->file.n)
        why_prefix(why, STR_FMT, STR_ARG(rule->file));
}

struct listing {
    struct instructions *instructions;
    struct table *table;
    enum rc (*visit)(void *context, const struct instruction *rule, struct why *why);
    void *context;
};

static enum rc visit_rule(void *context, const struct client_rule *rule, struct why *why)
{
    struct listing *l = context;
    AUTO_ARENA a = arena_new(4096);
    struct instruction i;
    enum rc rc = fill(l->instructions, l->table, rule, a, &i, why);

    if (rc == RC_OK)
        return l->visit(l->context, &i, why);
    instruction_blame(&i, why);
    return rc;
}

enum rc instructions_each(struct instructions *i,
                          enum rc (*visit)(void *context, const struct instruction *rule,
                                           struct why *why),
                          void *context, struct why *why)
{
    bool all = true;

    for (size_t k = 0; k < i->tables.n; k++) {
        struct listing l = {i, i->tables.v[k], visit, context};
        enum rc rc = client_rules_each(i->tables.v[k], visit_rule, &l, why);
        if (rc == RC_PERM || rc == RC_TEMP)
            all = false;
        else if (rc != RC_OK)
            return rc;
    }
    return all ? RC_OK : RC_NONE;
}

/* ---- what no rule may do ---- */

bool instruction_is_for_everybody(const struct instruction *rule)
{
    static const char *const names[] = {"(empty)", "0", "*", "=", "0.0.0.0/0", "::/0"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(rule->rule, str_of(names[i])))
            return true;
    return false;
}

bool instruction_relays(const struct instruction *rule)
{
    for (size_t i = 0; rule->decision == CLIENT_ALLOW && i < rule->n_settings; i++) {
        const struct config_setting *s = &rule->settings[i];
        bool yes = false;
        if (str_eq(s->name, STR("smtpd_relay_client")) && config_parse_bool(s->value, &yes) && yes)
            return true;
        if (str_eq(s->name, STR("smtpd_relay_restrictions")) && str_trim(s->value).n == 0)
            return true;
    }
    return false;
}

enum rc instruction_check(const struct instruction *rule, struct why *why)
{
    if (!instruction_is_for_everybody(rule) || !instruction_relays(rule))
        return RC_OK;
    return open_relay_refuse(STR("the rule for everybody permits relaying"),
                             rule->file.n ? rule->file : rule->table, rule->line,
                             "take RELAYCLIENT out of it", why);
}
