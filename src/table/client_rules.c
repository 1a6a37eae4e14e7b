#include "table/client_rules.h"

#include <stdio.h>

#include "config/client_settings.h"
#include "table/driver.h"
#include "util/buf.h"

enum { VALUE_LIMIT = 8192, SETTINGS_LIMIT = 64 };

/* ---- text ---- */

/* "{ name = value }" without the braces, "name=value" as it is. */
static bool split_setting(struct str token, struct config_setting *s)
{
    if (token.n > 2 && token.p[0] == '{' && token.p[token.n - 1] == '}')
        token = str_trim((struct str){token.p + 1, token.n - 2});
    if (str_index(token, '=') < 1)
        return false;
    s->name = str_rtrim(str_cut(&token, '='));
    s->value = str_ltrim(token.p ? token : STR(""));
    return s->name.n > 0;
}

enum rc client_rule_parse(struct str value, struct arena *a, struct client_rule *rule,
                          struct why *why)
{
    struct str rest = value, token;
    AUTO_BUF text = {0};
    bool first = true;

    if (value.n > VALUE_LIMIT)
        return FAIL(why, RC_CONFIG, "result is longer than %d bytes", VALUE_LIMIT);
    buf_init(&text, VALUE_LIMIT);
    rule->decision = CLIENT_ALLOW;
    for (; str_token_braced(&rest, LIST_SEPARATORS, &token); first = false) {
        struct config_setting s = {0};
        if (first && str_eq_nocase(token, STR("allow")))
            continue;
        if (first && str_eq_nocase(token, STR("deny"))) {
            rule->decision = CLIENT_DENY;
            continue;
        }
        if (split_setting(token, &s)) {
            if (client_setting_check(s.name, s.value, why) == RC_CONFIG)
                return RC_CONFIG;
            if (rule->variables.n == SETTINGS_LIMIT)
                return FAIL(why, RC_CONFIG, "more than %d variables", SETTINGS_LIMIT);
            vec_add(a, &rule->variables, s);
            continue;
        }
        if (rule->decision != CLIENT_DENY || rule->variables.n)
            return FAIL(why, RC_CONFIG,
                        "cannot parse: \"" STR_FMT "\"; write allow or deny, then NAME=value for "
                        "each variable",
                        STR_ARG(token));
        buf_addf(&text, "%s" STR_FMT, text.n ? " " : "", STR_ARG(token));
    }
    rule->text = arena_copy(a, buf_str(&text));
    return RC_OK;
}

/* A character that the value does not hold. */
static char quote_for(struct str value)
{
    static const char quotes[] = "\"'/|%!~^@#";

    for (size_t i = 0; i < sizeof quotes - 1; i++)
        if (str_index(value, quotes[i]) < 0)
            return quotes[i];
    return '"';
}

struct str client_rule_text(struct arena *a, const struct client_rule *rule)
{
    AUTO_BUF b = {0};

    buf_init(&b, 1 << 20);
    buf_add(&b, rule->decision == CLIENT_DENY ? STR("deny") : STR("allow"));
    for (size_t i = 0; i < rule->variables.n; i++) {
        const struct config_setting *s = &rule->variables.v[i];
        char quote = quote_for(s->value);
        buf_addf(&b, "," STR_FMT "=%c" STR_FMT "%c", STR_ARG(s->name), quote, STR_ARG(s->value),
                 quote);
    }
    return arena_copy(a, buf_str(&b));
}

enum rc client_query_parse(struct str text, struct client_query *query, struct why *why)
{
    struct str address = str_cut(&text, ',');

    *query = (struct client_query){.name = STR(""), .user = STR("")};
    TRY(addr_parse(str_trim(address), 0, &query->address, why));
    if (text.p)
        query->name = str_trim(str_cut(&text, ','));
    if (text.p)
        query->user = str_trim(text);
    return RC_OK;
}

bool client_rule_network(struct str key, struct network *n)
{
    char text[sizeof "255.255.255.255/32"];
    size_t dots = 0;

    if (network_parse(key, n, NULL) == RC_OK)
        return true;
    if (key.n && key.p[key.n - 1] == '.')
        key = str_head(key, key.n - 1);
    for (size_t i = 0; i < key.n; i++)
        dots += key.p[i] == '.';
    if (key.n == 0 || key.n > 11 || dots > 2)
        return false;
    (void)snprintf(text, sizeof text, STR_FMT "%s/%zu", STR_ARG(key), &".0.0.0"[2 * dots],
                   8 * (dots + 1));
    return network_parse(str_of(text), n, NULL) == RC_OK;
}

void client_rule_own(struct client_rule *rule, struct arena *a)
{
    struct client_rule old = *rule;

    rule->text = arena_copy(a, old.text);
    rule->key = arena_copy(a, old.key);
    rule->file = arena_copy(a, old.file);
    memset(&rule->variables, 0, sizeof rule->variables);
    memset(&rule->unset, 0, sizeof rule->unset);
    for (size_t i = 0; i < old.variables.n; i++) {
        struct config_setting s = {arena_copy(a, old.variables.v[i].name),
                                   arena_copy(a, old.variables.v[i].value), STR_NONE};
        vec_add(a, &rule->variables, s);
    }
    for (size_t i = 0; i < old.unset.n; i++)
        vec_add(a, &rule->unset, arena_copy(a, old.unset.v[i]));
}

/* ---- search in tables that know nothing of clients ---- */

struct search {
    struct table *table;
    struct arena *arena;
    struct str key, value;
};

static enum rc try_key(struct search *s, struct str key, struct why *why)
{
    enum rc rc = table_get(s->table, key, s->arena, &s->value, why);

    if (rc == RC_OK)
        s->key = arena_copy(s->arena, key);
    return rc;
}

/* The address, and what is left of it at each dot or colon. */
static enum rc try_address(struct search *s, const struct addr *address, struct why *why)
{
    char text[ADDR_TEXT_SIZE];
    struct str key;
    enum rc rc;

    addr_format(address, text);
    key = str_of(text);
    rc = try_key(s, key, why);
    while (rc == RC_NONE && !table_is_pattern(s->table)) {
        ssize_t end = str_rindex(key, addr_family(address) == AF_INET6 ? ':' : '.');
        if (end < 1)
            break;
        key = str_head(key, (size_t)end);
        if (key.p[key.n - 1] != ':')
            rc = try_key(s, key, why);
    }
    return rc;
}

static enum rc try_name(struct search *s, struct str name, struct why *why)
{
    enum rc rc = name.n ? try_key(s, name, why) : RC_NONE;

    while (rc == RC_NONE && !table_is_pattern(s->table) && str_index(name, '.') >= 0) {
        (void)str_cut(&name, '.');
        if (name.n)
            rc = try_key(s, name, why);
    }
    return rc;
}

static enum rc find_by_keys(struct table *t, const struct client_query *q, struct arena *a,
                            struct client_rule *rule, struct why *why)
{
    struct search s = {.table = t, .arena = a};
    struct addr address = q->address;
    enum rc rc;

    addr_unmap(&address);
    rc = try_address(&s, &address, why);
    if (rc == RC_NONE)
        rc = try_name(&s, arena_lower(a, q->name), why);
    if (rc == RC_NONE && !table_is_pattern(t))
        rc = try_key(&s, STR("*"), why);
    TRY(rc);
    rule->key = s.key;
    return client_rule_parse(s.value, a, rule, why);
}

enum rc client_rule_find(struct table *t, const struct client_query *query, struct arena *a,
                         struct client_rule *rule, struct why *why)
{
    *rule = (struct client_rule){0};
    return table_has_rules(t) ? table_find_rule(t, query, a, rule, why)
                              : find_by_keys(t, query, a, rule, why);
}

enum rc client_rules_each(struct table *t, client_rule_visit *visit, void *context, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct str key, value;
    enum rc rc;

    if (table_has_rules(t))
        return table_each_rule(t, visit, context, why);
    for (bool first = true; (rc = table_next(t, first, a, &key, &value, why)) == RC_OK;
         first = false) {
        struct client_rule rule = {.key = key};
        rc = client_rule_parse(value, a, &rule, why);
        if (rc != RC_OK) {
            struct str name = table_name(t);
            why_prefix(why, STR_FMT ", key " STR_FMT, STR_ARG(name), STR_ARG(key));
            return rc;
        }
        TRY(visit(context, &rule, why));
        arena_reset(a);
    }
    return rc == RC_NONE ? RC_OK : rc;
}

bool client_rules_want_user(struct table *t)
{
    return table_has_rules(t) && table_wants_user(t);
}
