/* What a context asks tlsmgr. Thread-safe. */
#pragma once

#include "ipc/ipc.h"
#include "util/log.h"

struct tls_manager;

struct tls_manager *tls_manager_new(const char *socket, struct str queue_directory,
                                    struct str cache, long seed_bytes, const struct log *log);
void tls_manager_free(struct tls_manager *m);

/* name empty: the key for new tickets. RC_NONE: too old, or resumption is off; RC_TEMP: no answer.
 */
enum rc tls_manager_key(struct tls_manager *m, struct str name, struct arena *a,
                        struct tlsmgr_reply *reply) MUST_USE;

enum rc tls_manager_get(struct tls_manager *m, struct str id, struct arena *a,
                        struct str *session) MUST_USE;
void tls_manager_put(struct tls_manager *m, struct str id, struct str session);
void tls_manager_delete(struct tls_manager *m, struct str id);
