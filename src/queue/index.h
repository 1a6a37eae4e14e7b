/*
 * The queue index: what waits in deferred/, by next attempt and by destination, in an LMDB
 * environment. It is a cache: the files are the truth, and it is made anew from them when it is
 * missing, damaged, or somebody else has changed the queue. qmgr is its only writer; showq, flush
 * and qshape read.
 *
 * Tables: "messages" id -> next attempt and queue_entry (at most 100 recipients, "more" tells);
 * "due" next attempt and id; "sites" recipient domain and id; "meta".
 *
 * A message that qmgr has taken for delivery is in "messages" but not in "due".
 */
#pragma once

#include "queue/queue.h"

struct queue_index;

/* RC_CONFIG: this build has no LMDB. */
enum rc queue_index_open(const struct queue *q, struct str data_directory, bool writer,
                         struct queue_index **out, struct why *why) MUST_USE;
/* Files that root has created belong to the user that goes on with them. */
void queue_index_give_to(struct queue_index *ix, uid_t uid, gid_t gid);
void queue_index_close(struct queue_index *ix);

/* May it be believed? False until queue_index_reconcile() is through. */
bool queue_index_is_complete(struct queue_index *ix);

/* ---- writer ---- */
enum rc queue_index_put(struct queue_index *ix, const struct queue_entry *e, long next_attempt,
                        struct why *why) MUST_USE;
enum rc queue_index_remove(struct queue_index *ix, struct str id, struct why *why) MUST_USE;
/* Take up to max messages whose time has come out of "due". *next: when the next one is due; 0:
 * none. */
enum rc queue_index_take_due(struct queue_index *ix, long now, size_t max, struct arena *a,
                             struct str **ids, size_t *n, long *next, struct why *why) MUST_USE;
/* "Flush": everything is due now. */
enum rc queue_index_make_all_due(struct queue_index *ix, long now, struct why *why) MUST_USE;

/*
 * Compare with the directories: unknown files are read, entries without file dropped, times
 * corrected. Skips the work when the index was closed in order and nobody has touched the
 * directories since. Then the index is complete.
 */
enum rc queue_index_reconcile(struct queue_index *ix, struct why *why) MUST_USE;
/* At an orderly end, when nothing is taken: remember the state of the directories. Does nothing
 * when another process has opened the index for writing since. */
void queue_index_mark_clean(struct queue_index *ix);
/* It cannot be kept up to date any more: nobody shall believe it. The environment stays open. */
void queue_index_discard(struct queue_index *ix);

/* ---- readers ---- */
/*
 * For services: one environment for all sessions, opened when it is needed and anew when qmgr has
 * replaced it. get: NULL when there is no index to be believed; put gives it back.
 */
struct queue_index_reader;
struct queue_index_reader *queue_index_reader_new(const struct queue *q, struct str data_directory);
struct queue_index *queue_index_reader_get(struct queue_index_reader *r);
void queue_index_reader_put(struct queue_index_reader *r);

/* As queue_list(), deferred mail from the index. */
enum rc queue_index_list_queue(struct queue_index *ix, const struct queue *q,
                               const struct map *active,
                               bool (*each)(void *context, const struct queue_entry *entry),
                               void *context, struct why *why) MUST_USE;

/* All deferred messages in the order of ids. A message with more recipients than the index holds is
 * read from its file. */
enum rc queue_index_list(struct queue_index *ix,
                         bool (*each)(void *context, const struct queue_entry *entry),
                         void *context, struct why *why) MUST_USE;
/* Messages with a recipient in this domain. */
enum rc queue_index_site(struct queue_index *ix, struct str domain, struct arena *a,
                         struct str **ids, size_t *n, struct why *why) MUST_USE;
/* RC_NONE: not there. */
enum rc queue_index_get(struct queue_index *ix, struct str id, struct arena *a,
                        struct queue_entry *e, long *next_attempt, struct why *why) MUST_USE;
