#include "verify/verify.h"

enum { PROBE_PATIENCE = 1000 }; /* seconds until a probe without answer is repeated */

static struct str outcome_format(struct arena *a, const struct outcome *o)
{
    return arena_printf(a, "%d:%ld:%ld:" STR_FMT, (int)o->status, o->probed, o->updated,
                        STR_ARG(o->text));
}

static bool outcome_parse(struct str text, struct outcome *o)
{
    struct str rest = text, status = str_cut(&rest, ':'), probed = str_cut(&rest, ':'),
               updated = str_cut(&rest, ':');
    long number;

    if (rest.p == NULL || !str_to_long(status, ADDRESS_OK, ADDRESS_TODO, &number) ||
        !str_to_long(probed, 0, LONG_MAX, &o->probed) ||
        !str_to_long(updated, 0, LONG_MAX, &o->updated))
        return false;
    o->status = (enum address_status)number;
    o->text = rest;
    return true;
}

static bool is_expired(const struct config *config, const struct outcome *o, long now)
{
    long life = o->status == ADDRESS_OK ? config->address_verify_positive_expire_time
                                        : config->address_verify_negative_expire_time;

    if (o->status == ADDRESS_TODO)
        return o->probed + PROBE_PATIENCE < now;
    return o->updated + life < now;
}

enum rc outcomes_get(struct outcomes *c, struct str address, long now, struct arena *a,
                     struct outcome *o, struct why *why)
{
    static const struct outcome unknown = {ADDRESS_TODO, 0, 0, {"", 0}};
    struct str text;
    enum rc rc = table_get(c->table, address, a, &text, why);

    if (rc != RC_OK && rc != RC_NONE)
        return RC_TEMP;
    if (rc == RC_NONE || !outcome_parse(text, o) || is_expired(c->config, o, now))
        *o = unknown;
    return RC_OK;
}

bool outcome_needs_probe(const struct config *config, const struct outcome *o, long now)
{
    long fresh = o->status == ADDRESS_OK ? config->address_verify_positive_refresh_time
                                         : config->address_verify_negative_refresh_time;

    if (o->probed && o->probed + PROBE_PATIENCE >= now)
        return false; /* one is under way */
    return o->status == ADDRESS_TODO || o->updated + fresh < now;
}

static enum rc put(struct outcomes *c, struct str address, const struct outcome *o, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);

    return table_put(c->table, address, outcome_format(a, o), why);
}

enum rc outcomes_probed(struct outcomes *c, struct str address, const struct outcome *o, long now,
                        struct why *why)
{
    struct outcome probed = *o;

    probed.probed = now;
    return put(c, address, &probed, why);
}

enum rc outcomes_update(struct outcomes *c, struct str address, enum address_status status,
                        struct str text, long now, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct outcome found = {status, 0, now, text}, old = {0};

    TRY(outcomes_get(c, address, now, a, &old, why));
    if (status != ADDRESS_OK && old.status == ADDRESS_OK) {
        old.probed = 0; /* good until it expires */
        found = old;
    } else if (status != ADDRESS_OK && !c->config->address_verify_negative_cache) {
        enum rc rc = table_delete(c->table, address, why);
        return rc == RC_NONE ? RC_OK : rc;
    }
    return put(c, address, &found, why);
}

struct cleaning {
    const struct config *config;
    long now;
};

static bool is_worth_keeping(void *context, struct str value)
{
    const struct cleaning *c = context;
    struct outcome o;

    return outcome_parse(value, &o) && !is_expired(c->config, &o, c->now);
}

enum rc outcomes_clean(struct outcomes *c, long now, long *kept, long *dropped, struct why *why)
{
    struct cleaning cleaning = {c->config, now};

    return table_clean(c->table, is_worth_keeping, &cleaning, kept, dropped, why);
}
