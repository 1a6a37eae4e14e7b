/* What the files of tlsmgr share. One thread. */
#pragma once

#include "config/config.h"
#include "service/service.h"
#include "table/table.h"

struct ticket_key {
    char name[16], key[64];
    long made; /* 0: there is none */
};

/* One kind of session: of smtpd, smtp or lmtp. */
struct session_cache {
    const char *name, *parameter;
    struct str spec; /* type:name; empty: no cache */
    long timeout;    /* seconds that a session may be resumed; 0: never */
    struct table *table;
    struct ticket_key current, previous;
};

enum { SESSION_CACHES = 3 };

struct seed {       /* random bytes from outside */
    int source;     /* descriptor, or -1 */
    char *exchange; /* file that carries some over to the next start */
};

struct tlsmgr {
    struct service_env *env;
    struct session_cache caches[SESSION_CACHES];
    struct seed seed;
    struct kept_keys *kept; /* NULL: nothing outlives this process */
};

/* requests.c */
enum rc tlsmgr_start(struct service_env *env, void **state, struct why *why);
enum rc tlsmgr_confined(struct service_env *env, void *state, struct why *why);
void tlsmgr_accepted(struct service_env *env, void *state, int fd);

/* tickets.c: keys of the process before this one */
void ticket_keys_take(struct tlsmgr *m);
void ticket_keys_keep(struct tlsmgr *m);

/* The key of that name, or with an empty name the one to use now; NULL: unknown, or too
   old. */
const struct ticket_key *ticket_key_find(struct session_cache *c, struct str name, long now);

/* sessions.c: a cache on disk, each entry with the time of its end. */
enum rc sessions_open(struct tlsmgr *m, struct session_cache *c, struct why *why) MUST_USE;
enum rc sessions_get(struct session_cache *c, struct str id, long now, struct arena *a,
                     struct str *session, struct why *why) MUST_USE;
enum rc sessions_put(struct session_cache *c, struct str id, struct str session, long now,
                     struct why *why) MUST_USE;
enum rc sessions_delete(struct session_cache *c, struct str id, struct why *why) MUST_USE;
enum rc sessions_clean(struct session_cache *c, long now, long *kept, long *dropped,
                       struct why *why) MUST_USE;

/* seed.c */
void seed_open(struct tlsmgr *m);
void seed_load(struct tlsmgr *m); /* after privileges were dropped */
void seed_more(struct tlsmgr *m);
void seed_save(struct tlsmgr *m);
bool seed_bytes(char *bytes, size_t n);
