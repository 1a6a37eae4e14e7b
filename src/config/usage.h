/* Which parameters exist, and which user-defined ones something refers to. */
#pragma once

#include "config/main_cf.h"
#include "config/master_cf.h"
#include "config/param.h"

struct usage;

/* services may be NULL. Lives in the arena, which must outlive neither m nor services. */
struct usage *usage_find(const struct main_cf *m, const struct master_cf *services,
                         struct arena *a);

/* Is the name built in (or obsolete), or SERVICE_suffix for a service that is there? */
bool usage_is_known(const struct usage *u, struct str name);

/*
 * Is the name mentioned as $name in the value of a known or mentioned parameter or of an -o
 * setting, as a restriction class, or does it configure a database table that is mentioned as
 * type:table?
 */
bool usage_is_mentioned(const struct usage *u, struct str name);

/* Call undefined() once for each name that is mentioned but nowhere defined; in_master: by -o
 * settings. */
void usage_undefined(const struct usage *u,
                     void (*undefined)(void *context, bool in_master, struct str name),
                     void *context);

/* Does SERVICE_suffix exist for this service? */
bool usage_fits(const struct transport_param *p, const struct master_entry *e);
