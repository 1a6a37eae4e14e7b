/*
 * Files of rules, as they were at the start or the last reload: carried along to the children. A
 * child that starts later and finds a file broken goes on with these. Check rules are checked here,
 * the others by the service.
 */
#include "access/rules.h"
#include "config/snapshot.h"
#include "master/master.h"
#include "util/buf.h"
#include "util/file.h"

enum { CARRIED_MAX = 256 * 1024 * 1024, OTHERS_MAX = 16 * 1024 * 1024 };

struct carrier {
    struct arena *arena;
    struct buf text;
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
    buf_addf(&c->text, "%s\n%zu\n", name, text.n);
    buf_add(&c->text, text);
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
    if (c->text.over)
        return FAIL(why, RC_CONFIG, "files of check rules hold more than %d bytes", CARRIED_MAX);
    return RC_OK;
}

static enum rc add_files_of(struct carrier *c, struct str list, struct why *why)
{
    struct str word, path;

    while (str_token_braced(&list, LIST_SEPARATORS, &word))
        if (str_eq_nocase(word, STR("check_rules_file")) &&
            str_token_braced(&list, LIST_SEPARATORS, &path))
            TRY(add_file(c, path, why));
    return RC_OK;
}

/* What cannot be read, or is very large, has no copy. */
static void add_other(struct carrier *c, struct str path)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    const char *name = arena_text(c->arena, path);
    struct str text = STR_NONE;

    if (path.n == 0 || path.p[0] != '/' || has_path(c, path) ||
        c->text.n > CARRIED_MAX - OTHERS_MAX - 2 * path.n ||
        file_read(name, OTHERS_MAX - (1 << 16), a, &text, NULL) != RC_OK)
        return;
    vec_add(c->arena, &c->paths, str_of(name));
    carry(c, name, text);
}

static void add_instructions(struct carrier *c, struct str tables)
{
    struct str word;

    while (str_token_braced(&tables, LIST_SEPARATORS, &word))
        if (str_has_prefix(word, STR("tcprules:")) && !str_has_suffix(word, STR(".cdb")))
            add_other(c, str_from(word, 9));
}

static enum rc add_config(struct carrier *c, const struct config *config, struct why *why)
{
    const struct str lists[] = {
        config->smtpd_client_restrictions,      config->smtpd_helo_restrictions,
        config->smtpd_sender_restrictions,      config->smtpd_relay_restrictions,
        config->smtpd_recipient_restrictions,   config->smtpd_data_restrictions,
        config->smtpd_end_of_data_restrictions, config->smtpd_etrn_restrictions,
    };
    struct str classes = config->smtpd_restriction_classes, name, text;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        TRY(add_files_of(c, lists[i], why));
    add_instructions(c, config->smtpd_client_instruction_maps);
    add_other(c, config->smtpd_rbl_list);
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

enum rc carried_files(const struct generation *g, struct str *text, struct why *why)
{
    struct carrier c = {.arena = g->arena};
    enum rc rc;

    buf_init(&c.text, CARRIED_MAX);
    rc = add_services(&c, g, why);
    if (rc == RC_OK)
        *text = arena_copy(g->arena, buf_str(&c.text));
    buf_done(&c.text);
    return rc;
}
