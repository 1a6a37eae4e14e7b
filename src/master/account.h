/*
 * How many sessions the processes of one service carry, and whether another process may start.
 *
 * The process limit of master.cf counts sessions at once, whatever number of processes carries
 * them. A process is promised a number of sessions when it starts; that many count, also while
 * fewer run. One that drains counts with what it still carries. A limit of 1 means one process.
 */
#pragma once

#include <stdbool.h>

enum child_state {
    CHILD_STARTING, /* has room soon */
    CHILD_ROOM,
    CHILD_FULL,
    CHILD_DRAINING, /* accepts no more */
};

struct account_child {
    enum child_state state;
    long sessions; /* promised; CHILD_DRAINING: running */
};

struct account {
    long maxproc;     /* 0: no limit */
    long per_process; /* sessions that one process may carry at most */
    long sessions;    /* sum of all children */
    long processes;
    long with_room; /* processes that accept */
};

void account_begin(struct account *a, struct account_child *c, long sessions);
void account_change(struct account *a, struct account_child *c, enum child_state state,
                    long sessions);
void account_end(struct account *a, const struct account_child *c);

/* Sessions for the next process; 0: the limit is reached. */
long account_next(const struct account *a);
