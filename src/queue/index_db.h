/* Below the queue index: the LMDB environment, transactions, growth. Private to src/queue. */
#pragma once

#include "queue/index.h"

#ifdef HAVE_LMDB
#    include <fcntl.h>
#    include <lmdb.h>
#    include <pthread.h>

enum { INDEX_BATCH = 500 }; /* entries changed in one transaction */

struct queue_index {
    const struct queue *q;
    char path[4096];
    MDB_env *env;
    MDB_dbi messages, due, sites, meta;
    bool writer, was_clean;
    pthread_rwlock_t growing; /* transactions hold it shared, growth exclusive */
};

struct index_txn {
    struct queue_index *ix;
    MDB_txn *txn;
    MDB_cursor *cursor;
};

enum rc index_begin(struct queue_index *ix, bool write, struct index_txn *t,
                    struct why *why) MUST_USE;
void index_abort(struct index_txn *t);

/*
 * Run change() in a write transaction and commit; again from the start when the map had to grow.
 * The arena is for temporary things.
 */
enum rc index_write(struct queue_index *ix,
                    enum rc (*change)(struct index_txn *t, void *context, struct arena *a,
                                      struct why *why),
                    void *context, struct why *why) MUST_USE;

/* RC_NONE: not there. Errors of LMDB are RC_TEMP (map full: index_write() knows) or RC_PERM
 * (damaged). */
enum rc index_get(struct index_txn *t, MDB_dbi dbi, MDB_val *key, MDB_val *value,
                  struct why *why) MUST_USE;
enum rc index_put(struct index_txn *t, MDB_dbi dbi, MDB_val *key, MDB_val *value,
                  struct why *why) MUST_USE;
enum rc index_delete(struct index_txn *t, MDB_dbi dbi, MDB_val *key,
                     struct why *why) MUST_USE; /* fine when it is not there */

/* One cursor at a time. */
enum rc index_cursor(struct index_txn *t, MDB_dbi dbi, struct why *why) MUST_USE;
enum rc index_step(struct index_txn *t, MDB_val *key, MDB_val *value, MDB_cursor_op op,
                   struct why *why) MUST_USE;
enum rc index_cursor_delete(struct index_txn *t, struct why *why) MUST_USE;

enum rc index_set_complete(struct queue_index *ix, struct why *why) MUST_USE;
#endif
