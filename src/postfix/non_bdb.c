/* postfix non-bdb: take leave of Berkeley DB. */
#include <stdio.h>
#include <string.h>

#include "config/edit.h"
#include "postfix/postfix.h"

static void warn(void *context, const char *words)
{
    const struct postfix *p = context;

    log_warning(&p->log, "%s", words);
}

static bool is_berkeley(struct str type)
{
    return str_eq(type, STR("hash")) || str_eq(type, STR("btree"));
}

static void set_level(struct postfix *p, const char *level)
{
    const struct config_setting setting = {STR("non_bdb_migration_level"), str_of(level), STR_NONE};
    const struct edit_warnings warnings = {warn, p};
    struct why why;

    if (main_cf_edit(p->config_directory, EDIT_REPLACE, &setting, 1, &warnings, &why) != RC_OK)
        log_fatal(&p->log, 1, "%s", why.text);
}

static void set_service(struct postfix *p, bool on)
{
    struct str name = p->config->non_bdb_migration_service_name;
    AUTO_ARENA a = arena_new(256);
    struct master_edit edit = {
        .kind = on ? MASTER_EDIT_ENTRY : MASTER_COMMENT_ENTRY,
        .name = name,
        .type = STR("unix"),
        .value = arena_printf(a, STR_FMT " unix - n n - 1 nbdb_reindexd", STR_ARG(name)),
        .request = arena_printf(a, STR_FMT "/unix", STR_ARG(name)),
    };
    struct why why;

    if (master_cf_edit(p->config_directory, &edit, 1, &why) != RC_OK)
        log_fatal(&p->log, 1, "%s", why.text);
}

int run_non_bdb(struct postfix *p)
{
    static const char *const levels[] = {"disable", "enable-redirect", "enable-reindex"};
    const struct config *c = p->config;
    const char *word = p->argc == 1 ? p->argv[0] : "";
    size_t level = 0;

    if (strcmp(word, "status") == 0) {
        puts(c->non_bdb_migration_level.p);
        return 0;
    }
    while (level < 3 && strcmp(word, levels[level]) != 0)
        level++;
    if (level == 3)
        log_fatal(&p->self, 1,
                  "usage: postfix non-bdb status|disable|enable-redirect|enable-reindex");
    if (level > 0 &&
        (is_berkeley(c->default_database_type) || is_berkeley(c->default_cache_db_type)))
        log_fatal(&p->log, 1,
                  "default_database_type = " STR_FMT ", default_cache_db_type = " STR_FMT
                  ": name types that take the place of hash and btree, for example lmdb",
                  STR_ARG(c->default_database_type), STR_ARG(c->default_cache_db_type));
    set_level(p, word);
    set_service(p, level == 2);
    log_info(&p->log, "non_bdb_migration_level = %s; it counts from the next \"postfix reload\"",
             word);
    return 0;
}
