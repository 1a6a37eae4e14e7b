/* The parameters that tables obey. A table_env without configuration gives Postfix's defaults. */
#pragma once

#include "table/table.h"

#pragma GCC visibility push(default) /* modules call these */

bool settings_utf8(const struct table_env *env); /* smtputf8_enable */
bool settings_open_error_is_fatal(
    const struct table_env *env); /* daemon_table_open_error_is_fatal */
size_t settings_lmdb_map_size(const struct table_env *env);
size_t settings_db_create_buffer(const struct table_env *env);
size_t settings_db_read_buffer(const struct table_env *env);
/* non_bdb_migration_level: the type that stands in for hash or btree; other types stay. */
struct str settings_type(const struct table_env *env, struct str type);
/* Who makes a table that is missing; empty: nobody. */
struct str settings_reindex_service(const struct table_env *env);
struct str settings_queue_directory(const struct table_env *env);
struct str settings_proxy_service(const struct table_env *env, bool writes); /* "proxymap" */
struct str settings_daemon_directory(const struct table_env *env);
struct str settings_shlib_directory(const struct table_env *env);
#pragma GCC visibility pop
