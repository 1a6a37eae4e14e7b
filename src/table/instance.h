/* Inside of the tables: what an open one is. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "table/driver.h"
#include "table/table.h"

enum nul_habit { NUL_UNKNOWN, NUL_WITH, NUL_WITHOUT };

/* A table as the driver opened it. When the file changes, another one takes its place. */
struct instance {
    struct arena *arena;     /* holds this struct, too */
    struct driver_open open; /* as the driver left it */
    bool surrogate;
    struct why trouble; /* of a surrogate */
    int fd; /* O_PATH: says whether the file was written or replaced, also after chroot */
    struct stat seen;
};

struct table {
    struct arena *arena;
    struct str name; /* "type:name" */
    unsigned flags;
    const struct table_driver *driver;
    struct table_env env;
    pthread_rwlock_t use; /* of *now; for writing: to change it */
    struct instance *now;
    pthread_mutex_t renewal; /* held while it is opened again */
    pthread_mutex_t lock;    /* for drivers that are not DRIVER_THREADS, and for writing */
    _Atomic int nul;         /* enum nul_habit: what the stored keys have */
    _Atomic long looked_at;  /* seconds: when we looked for changes */
    _Atomic bool stuck;      /* it has changed, and could not be opened again */
    ino_t root_inode;        /* of "/" when it was opened: after chroot names mean other files */
};

static inline bool instance_has(const struct instance *i, unsigned flag)
{
    return (i->open.driver_flags & flag) != 0;
}

/* Once a second one thread looks whether the file is still the same, and opens it again. */
void table_look(struct table *t);
/* The same without regard to the second: what has changed holds from now on. */
void table_look_at_once(struct table *t);
