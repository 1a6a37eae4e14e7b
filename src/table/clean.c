/* Tables that are caches: what is too old goes. */
#include "table/table.h"

enum rc table_clean(struct table *t, bool (*keep)(void *context, struct str value), void *context,
                    long *kept, long *dropped, struct why *why)
{
    VEC(struct str) old = {0};
    AUTO_ARENA a = arena_new(4096);
    AUTO_ARENA one = arena_new(16384);
    struct str key, value;
    bool first = true;
    enum rc rc;

    *kept = *dropped = 0;
    while ((rc = table_next(t, first, one, &key, &value, why)) == RC_OK) {
        first = false;
        if (keep(context, value))
            ++*kept;
        else
            vec_add(a, &old, arena_copy(a, key));
        arena_reset(one);
    }
    if (rc != RC_NONE)
        return rc;
    for (size_t i = 0; i < old.n; i++) {
        rc = table_delete(t, old.v[i], why);
        if (rc != RC_OK && rc != RC_NONE)
            return rc;
        ++*dropped;
    }
    return RC_OK;
}
