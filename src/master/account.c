#include "master/account.h"

static bool accepts(enum child_state state)
{
    return state == CHILD_STARTING || state == CHILD_ROOM;
}

void account_begin(struct account *a, struct account_child *c, long sessions)
{
    *c = (struct account_child){CHILD_STARTING, sessions};
    a->sessions += sessions;
    a->processes++;
    a->with_room++;
}

void account_change(struct account *a, struct account_child *c, enum child_state state,
                    long sessions)
{
    a->with_room += accepts(state) - accepts(c->state);
    a->sessions += sessions - c->sessions;
    *c = (struct account_child){state, sessions};
}

void account_end(struct account *a, const struct account_child *c)
{
    a->with_room -= accepts(c->state);
    a->sessions -= c->sessions;
    a->processes--;
}

long account_next(const struct account *a)
{
    long left = a->maxproc - a->sessions;

    if (a->maxproc == 0)
        return a->per_process;
    if (a->maxproc == 1)
        return a->processes == 0;
    return left <= 0 ? 0 : left < a->per_process ? left : a->per_process;
}
