/* Inside verify: the cache of outcomes, probes, and the connections that ask. */
#pragma once

#include "config/config.h"
#include "deliver/post.h"
#include "service/service.h"
#include "table/table.h"

enum address_status { ADDRESS_OK, ADDRESS_DEFER, ADDRESS_BOUNCE, ADDRESS_TODO };

/* What is known about an address. In the table: "status:probed:updated:text". */
struct outcome {
    enum address_status status;
    long probed;  /* when the latest probe was sent; 0: it has come back */
    long updated; /* when the status was found out; 0: never */
    struct str text;
};

struct outcomes { /* the cache; times are given, so that it can be tested */
    const struct config *config;
    struct table *table;
};

struct verify {
    struct service_env *env;
    struct outcomes outcomes;
    struct service_pool *cleanup;
};

/* What is known now; ADDRESS_TODO when nothing is. RC_TEMP: the table fails. */
enum rc outcomes_get(struct outcomes *c, struct str address, long now, struct arena *a,
                     struct outcome *o, struct why *why) MUST_USE;
bool outcome_needs_probe(const struct config *config, const struct outcome *o, long now);
enum rc outcomes_probed(struct outcomes *c, struct str address, const struct outcome *o, long now,
                        struct why *why) MUST_USE;
/* A delivery agent tells. A failure does not replace what is still known to be good. */
enum rc outcomes_update(struct outcomes *c, struct str address, enum address_status status,
                        struct str text, long now, struct why *why) MUST_USE;
/* Remove what is too old. */
enum rc outcomes_clean(struct outcomes *c, long now, long *kept, long *dropped,
                       struct why *why) MUST_USE;

/* probe.c */
void probe_send(struct verify *v, struct str address);

/* requests.c */
enum rc verify_start(struct service_env *env, void **state, struct why *why);
void verify_accepted(struct service_env *env, void *state, int fd);
