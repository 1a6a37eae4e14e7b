/* Inside of proxymap(8). */
#pragma once

#include "service/service.h"
#include "table/table.h"

/*
 * The tables that this process may open, and those that are open: one handle for all sessions.
 * Thread-safe.
 */
struct proxy_tables;

/* list: the expanded value of proxy_read_maps or proxy_write_maps. Of its words those count that
   begin with "proxy:". writes: tables are opened for changes. */
struct proxy_tables *proxy_tables_new(struct service_env *env, struct str list, bool writes);

/* Open, or find open, the table with these flags. RC_PERM: it is not in the list. */
enum rc proxy_tables_get(struct proxy_tables *p, struct str table, unsigned flags,
                         struct table **out, struct why *why) MUST_USE;

/* Has a table changed that this process cannot open again? */
bool proxy_tables_have_changed(struct proxy_tables *p);
