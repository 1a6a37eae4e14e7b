#include "table/members.h"

static enum rc syntax_error(const struct driver_open *o, struct why *why)
{
    return FAIL(why, RC_CONFIG,
                "bad syntax: \"" STR_FMT ":" STR_FMT "\"; need \"" STR_FMT ":{type:name...}\"",
                STR_ARG(o->type), STR_ARG(o->name), STR_ARG(o->type));
}

static enum rc open_members(struct driver_open *o, struct members *m, struct str list,
                            struct why *why)
{
    VEC(struct table *) tables = {0};
    struct str one;

    while (str_token_braced(&list, LIST_SEPARATORS, &one)) {
        struct table *t;
        if (str_index(one, ':') < 0)
            return syntax_error(o, why);
        TRY(table_open(one, o->flags, o->env, &t, why));
        driver_adopt_owner(o, t);
        vec_add(o->arena, &tables, t);
        m->tables = tables.v; /* always whole, for members_close() */
        m->n = tables.n;
    }
    return m->n ? RC_OK : syntax_error(o, why);
}

enum rc members_open(struct driver_open *o, struct why *why)
{
    struct members *m = arena_new_of(o->arena, struct members);
    struct str list = str_trim(o->name);
    enum rc rc;

    if (list.n < 2 || list.p[0] != '{' || list.p[list.n - 1] != '}')
        return syntax_error(o, why);
    rc = open_members(o, m, (struct str){list.p + 1, list.n - 2}, why);
    if (rc != RC_OK)
        members_close(m);
    o->state = m;
    return rc;
}

void members_close(void *state)
{
    struct members *m = state;

    for (size_t i = 0; i < m->n; i++)
        table_close(m->tables[i]);
}
