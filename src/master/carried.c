/*
 * Files of rules, as they were at the start or the last reload: carried along to the children. A
 * child that starts later and finds a file broken goes on with these. Check rules are checked here,
 * the others by the service.
 */
#include "access/rules.h"
#include "config/snapshot.h"
#include "master/master.h"
#include "table/client_rules.h"
#include "util/buf.h"
#include "util/file.h"

enum { CARRIED_MAX = 256 * 1024 * 1024, HEAD_MAX = 64 };

struct carrier {
    struct arena *arena;
    const struct config *config; /* of the service at hand */
    struct buf *text;
    VEC(struct str) paths;
};

static bool has_path(const struct carrier *c, struct str path)
{
    for (size_t i = 0; i < c->paths.n; i++)
        if (str_eq(c->paths.v[i], path))
            return true;
    return false;
}

static void carry(struct carrier *c, const char *name, struct str text)
{
    buf_addf(c->text, "%s\n%zu\n", name, text.n);
    buf_add(c->text, text);
}

static enum rc add_file(struct carrier *c, struct str path, struct why *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    const char *name = arena_text(c->arena, path);
    struct str text = STR_NONE;
    struct rules *rules = NULL;

    if (path.n == 0 || path.p[0] != '/' || has_path(c, path))
        return RC_OK; /* the service says what is wrong with it */
    vec_add(c->arena, &c->paths, str_of(name));
    if (file_read(name, RULES_FILE_MAX, a, &text, why) != RC_OK)
        return RC_CONFIG;
    TRY(rules_parse(name, text, &rules, why));
    rules_free(rules);
    carry(c, name, text);
    if (c->text->over)
        return FAIL(why, RC_CONFIG, "files of check rules hold more than %d bytes", CARRIED_MAX);
    return RC_OK;
}

/* What is no file, cannot be read, or is very large, has no copy. */
static void add_other(struct carrier *c, struct str path)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    const char *name = arena_text(c->arena, path);
    size_t used = c->text->n + path.n + HEAD_MAX;
    struct str text = STR_NONE;

    if (path.n == 0 || path.p[0] != '/' || has_path(c, path) || used > CARRIED_MAX ||
        file_read(name, CARRIED_MAX - used, a, &text, NULL) != RC_OK)
        return;
    vec_add(c->arena, &c->paths, str_of(name));
    carry(c, name, text);
}

static enum rc add_files_of(struct carrier *c, struct str list, struct why *why)
{
    struct str word, path;

    while (str_token_braced(&list, LIST_SEPARATORS, &word)) {
        bool check = str_eq_nocase(word, STR("check_rules_file"));
        if (!check && !str_eq_nocase(word, STR("match_rules")))
            continue;
        if (!str_token_braced(&list, LIST_SEPARATORS, &path))
            break;
        if (check)
            TRY(add_file(c, path, why));
        else
            add_other(c, path);
    }
    return RC_OK;
}

/* Files that a rule of its own names. */
static enum rc add_files_of_rule(void *carrier, const struct client_rule *rule, struct why *why)
{
    (void)why;
    for (size_t i = 0; i < rule->variables.n; i++)
        if (str_eq(rule->variables.v[i].name, STR("smtpd_rbl_list")) ||
            str_eq(rule->variables.v[i].name, STR("smtpd_content_signatures")))
            add_other(carrier, rule->variables.v[i].value);
    return RC_OK;
}

/* A table that is wrong is refused by the service. */
static void add_files_of_rules(struct carrier *c, struct str table)
{
    struct table_env env = {.config = c->config};
    struct table *t = NULL;

    if (table_open(table, TABLE_STRICT, &env, &t, NULL) != RC_OK)
        return;
    (void)(client_rules_each(t, add_files_of_rule, c, NULL) == RC_OK);
    table_close(t);
}

/* The rules themselves, as text or compiled, when they are in one file; and what they name. */
static void add_instructions(struct carrier *c, struct str tables)
{
    struct str word;

    while (str_token_braced(&tables, LIST_SEPARATORS, &word)) {
        struct str name = word, type = str_cut(&name, ':');
        if (!str_eq(type, STR("tcprules")) && !str_eq(type, STR("ipsvd")))
            continue;
        add_other(c, arena_join(c->arena, name, STR(".cdb")));
        add_other(c, name);
        add_files_of_rules(c, word);
    }
}

static enum rc add_config(struct carrier *c, const struct config *config, struct why *why)
{
    const struct str lists[] = {
        config->smtpd_client_restrictions,       config->smtpd_helo_restrictions,
        config->smtpd_sender_restrictions,       config->smtpd_relay_restrictions,
        config->smtpd_recipient_restrictions,    config->smtpd_data_restrictions,
        config->smtpd_end_of_data_restrictions,  config->smtpd_etrn_restrictions,
        config->smtpd_sender_first_restrictions, config->smtpd_recipient_first_restrictions,
    };
    struct str classes = config->smtpd_restriction_classes, name, text;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        TRY(add_files_of(c, lists[i], why));
    c->config = config;
    add_instructions(c, config->smtpd_client_instruction_maps);
    add_other(c, config->smtpd_rbl_list);
    add_other(c, config->smtpd_filter_definitions);
    add_other(c, config->non_smtpd_match_rules);
    add_other(c, config->smtpd_content_signatures);
    add_other(c, config->smtpd_content_signatures_default);
    while (str_token(&classes, LIST_SEPARATORS, &name))
        if (config_get(config, name, &text) == RC_OK)
            TRY(add_files_of(c, text, why));
    return RC_OK;
}

static enum rc add_services(struct carrier *c, const struct generation *g, struct why *why)
{
    TRY(add_config(c, g->config, why));
    for (size_t i = 0; i < g->services.n; i++) {
        const struct master_entry *e = &g->services.entries[i];
        struct config *own;
        enum rc rc;
        if (e->overrides_n == 0 || !str_eq(e->command, STR("smtpd")))
            continue;
        TRY(config_overlay(g->config, e->overrides, e->overrides_n, &own, why));
        rc = add_config(c, own, why);
        config_free(own);
        TRY(rc);
    }
    return RC_OK;
}

enum rc carried_files(const struct generation *g, struct buf *text, struct why *why)
{
    struct carrier c = {.arena = g->arena, .text = text};

    buf_init(text, CARRIED_MAX);
    return add_services(&c, g, why);
}
