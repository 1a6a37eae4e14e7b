/* Jobs of the disk worker: read one queue file into a message; look for files in directories. */
#pragma once

#include "qmgr/qmgr.h"

enum load_result {
    LOAD_GONE,   /* no such file, or not complete, or damaged and put away */
    LOAD_LOCKED, /* an agent of an earlier qmgr has it */
    LOAD_DONE,
};

struct load {
    struct qmgr *q;
    void *context;         /* the caller's */
    struct str queue_name; /* empty: look in all */
    struct str id;
    char text[QUEUE_ID_SIZE];
    bool ignore_times, hurried;
    size_t most; /* recipients to be read */
    enum load_result result;
    struct message *message; /* LOAD_DONE: not in the books yet */
    long age;                /* of the file, seconds */
};
struct load *load_new(struct qmgr *q, struct str queue_name, struct str id, bool ignore_times);
void load_work(void *load);
void load_free(struct load *l);

struct scan {
    struct qmgr *q;
    void *context;
    unsigned what;
    struct arena *arena;
    struct str queue_name; /* at the moment */
    VEC(struct scan_file) found;
};
struct scan_file {
    struct str queue_name;
    char id[QUEUE_ID_SIZE];
};
struct scan *scan_new(struct qmgr *q, unsigned what);
void scan_work(void *scan);
void scan_free(struct scan *s);

/* A message that was read but is not wanted (any more). */
void message_discard(struct message *msg);
