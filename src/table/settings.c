#include "table/settings.h"

#include "config/config.h"

bool settings_utf8(const struct table_env *env)
{
    return env->config == NULL || env->config->smtputf8_enable;
}

bool settings_open_error_is_fatal(const struct table_env *env)
{
    return env->config && env->config->daemon_table_open_error_is_fatal;
}

struct str settings_type(const struct table_env *env, struct str type)
{
    const struct config *c = env->config;
    bool hash = str_eq(type, STR("hash"));
    struct str other;

    if (c == NULL || (!hash && !str_eq(type, STR("btree"))) ||
        str_eq(c->non_bdb_migration_level, STR("disable")))
        return type;
    other = hash ? c->default_database_type : c->default_cache_db_type;
    return str_eq(other, STR("hash")) || str_eq(other, STR("btree")) ? type : other;
}

size_t settings_lmdb_map_size(const struct table_env *env)
{
    return env->config ? (size_t)env->config->lmdb_map_size : 16777216;
}

size_t settings_db_create_buffer(const struct table_env *env)
{
    return env->config ? (size_t)env->config->berkeley_db_create_buffer_size : 16777216;
}

size_t settings_db_read_buffer(const struct table_env *env)
{
    return env->config ? (size_t)env->config->berkeley_db_read_buffer_size : 131072;
}

struct str settings_reindex_service(const struct table_env *env)
{
    const struct config *c = env->config;

    return c && str_eq(c->non_bdb_migration_level, STR("enable-reindex"))
               ? c->non_bdb_migration_service_name
               : STR("");
}

struct str settings_queue_directory(const struct table_env *env)
{
    return env->config ? env->config->queue_directory : STR("/var/spool/postfix");
}

struct str settings_daemon_directory(const struct table_env *env)
{
    return env->config ? env->config->daemon_directory : STR_NONE;
}

struct str settings_shlib_directory(const struct table_env *env)
{
    return env->config ? env->config->shlib_directory : STR_NONE;
}

struct str settings_proxy_service(const struct table_env *env, bool writes)
{
    if (env->config == NULL)
        return writes ? STR("proxywrite") : STR("proxymap");
    return writes ? env->config->proxywrite_service_name : env->config->proxymap_service_name;
}
