/* randmap: "randmap:{one, two}"; each lookup answers one of the values, by chance. */
#include <sys/random.h>

#include "table/driver.h"
#include "table/source.h"

struct randmap {
    VEC(struct str) values;
};

static enum rc randmap_open(struct driver_open *o, struct why *why)
{
    struct randmap *m = arena_new_of(o->arena, struct randmap);
    struct str list = str_trim(o->name), value;

    if (list.n >= 2 && list.p[0] == '{' && list.p[list.n - 1] == '}') {
        list = (struct str){list.p + 1, list.n - 2};
        while (str_token_braced(&list, LIST_SEPARATORS, &value)) {
            if (source_unbrace(value, &value, why) != RC_OK)
                return RC_CONFIG;
            vec_add(o->arena, &m->values, value);
        }
    }
    if (m->values.n == 0)
        return FAIL(why, RC_CONFIG,
                    "bad syntax: \"randmap:" STR_FMT "\"; need \"randmap:{value...}\"",
                    STR_ARG(o->name));
    o->state = m;
    return RC_OK;
}

static enum rc randmap_get(void *state, struct str key, struct arena *a, struct str *value,
                           struct why *why)
{
    const struct randmap *m = state;
    unsigned long chance;

    (void)key;
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
        return FAIL(why, RC_TEMP, "getrandom: %m");
    *value = arena_copy(a, m->values.v[chance % m->values.n]);
    return RC_OK;
}

const struct table_driver table_driver_randmap = {
    .type = "randmap",
    .flags = DRIVER_WHOLE | DRIVER_THREADS,
    .open = randmap_open,
    .get = randmap_get,
};
