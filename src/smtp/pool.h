/*
 * Connections that rest between messages, for any thread of the process that has mail for the same
 * next hop or the same server (smtp_connection_cache_*). What rests too long is closed.
 */
#pragma once

#include "smtp/session.h"

struct session_pool;

struct session_pool *session_pool_new(long rest_seconds, long age_seconds, long reuse_limit);

/* A request for this next hop begins. True: another began just before, more are likely. */
bool session_pool_note(struct session_pool *p, struct str key);

/* A resting session for the next hop, or with address for that server; NULL: none. tls: its
 * tls_hop, or with address its tls_key, must be this; login: so must its login_key. */
struct session *session_pool_take(struct session_pool *p, struct str key, struct str tls,
                                  struct str login, const struct addr *address);

/* Let it rest; closes it when it is too old, has been used too often, or is out of order. */
void session_pool_put(struct session_pool *p, struct session *s);

/* Close what has rested too long, or all. */
void session_pool_expire(struct session_pool *p, bool all);
