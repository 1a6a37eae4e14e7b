/* What the parts of postsuper share. */
#pragma once

#include "queue/queue.h"
#include "service/command.h"

enum action {
    ACTION_DELETE = 'd',
    ACTION_EXPIRE = 'e',
    ACTION_EXPIRE_AND_RELEASE = 'f',
    ACTION_HOLD = 'h',
    ACTION_RELEASE = 'H',
    ACTION_REQUEUE = 'r',
};

struct counts {
    long deleted, requeued, held, released, expired, renamed;
};

struct postsuper {
    struct command command;
    struct queue queue;
    struct arena *arena;
    VEC(struct str) directories; /* as named; empty: all that fit */
    struct counts counts;
    bool asked[128]; /* enum action: the summary says "0 messages" too */
    struct ipc qmgr; /* fd -1: not connected, or the system is down */
    bool qmgr_tried;
};

/* One message, or all: id "ALL", or ids from standard input: id "-". */
void act_on(struct postsuper *p, enum action action, const char *id);

/* Structure and left-over files. strict: inode numbers in long names must match too. */
void check_structure(struct postsuper *p, bool strict);
void purge_temporary(struct postsuper *p);

/* Tell qmgr: 'd' forget, 'r' forget unless it is being delivered, 'n' look again. True: it is being
 * delivered. */
bool tell_qmgr(struct postsuper *p, long operation, struct str id);
