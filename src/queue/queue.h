/*
 * The queue on disk: ids, directories, the record format, creation with the commit rule, reading.
 * Nobody else opens a queue file. Formats are Postfix's, so that either system can take over the
 * other's queue; but for packed content, which is for those who ask for it (pack.h).
 */
#pragma once

#include <limits.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "ipc/ipc.h"
#include "util/arena.h"
#include "util/buf.h"

struct config;

enum { QUEUE_ID_SIZE = 32, QUEUE_PATH_SIZE = 256 };

enum {                          /* permission bits of queue files; see queue_file_commit() */
       QUEUE_MODE_READY = 0700, /* complete; without owner-execute it is being written */
       QUEUE_MODE_DROPPED =
           0744, /* in maildrop/, where the file is its user's and pickup reads it */
       QUEUE_MODE_IS_READY = 0100,
       QUEUE_MODE_FORCE_EXPIRE = 0010,
       QUEUE_MODE_UNTHROTTLE = 0040, /* deliver now, even to a dead destination */
       QUEUE_MODE_CORRUPT = 0400
};

/* ---- ids ---- */
/* For a file with this inode, created then; long form when enable_long_queue_ids. */
void queue_id_make(char id[QUEUE_ID_SIZE], struct timespec created, ino_t inode, bool long_form);
bool queue_id_is_valid(struct str text); /* only letters and digits, fits in QUEUE_ID_SIZE */
bool queue_id_is_long(struct str id);
/* Seconds and microseconds in the id (short form: microseconds only, seconds 0). */
enum rc queue_id_time(struct str id, struct timespec *created, struct why *why) MUST_USE;
enum rc queue_id_inode(struct str id, ino_t *inode, struct why *why) MUST_USE;

/* ---- directories ---- */
struct queue { /* where and how; made from the configuration, shared, read-only */
    int dir;   /* descriptor of queue_directory */
    struct str directory, hashed; /* hash_queue_names */
    long hash_depth;
    bool long_ids;
    bool sync_directory;     /* file system where the sync of a new file does not cover its name */
    sem_t *committers;       /* how many threads may sync at once */
    struct queue_keys *keys; /* of content; NULL: none is encrypted */
    bool compresses;         /* queue_compression */
};
/* Texts belong to config, which must live as long as q. In start(), before chroot. */
enum rc queue_open(const struct config *config, struct queue *q, struct why *why) MUST_USE;
/* The same for a program that writes or reads content: with queue_compression and the keys. */
enum rc queue_open_content(const struct config *config, struct queue *q, struct why *why) MUST_USE;
void queue_close(struct queue *q);
/*
 * The keys of queue_encryption_key; *out NULL when that is empty. In start(), before chroot and
 * before root's rights go. path: for messages.
 */
struct queue_keys;
enum rc queue_keys_open(const struct config *config, struct queue_keys **out,
                        struct why *why) MUST_USE;
enum rc queue_keys_parse(struct str text, const char *path, struct queue_keys **out,
                         struct why *why) MUST_USE;
void queue_keys_free(struct queue_keys *keys); /* NULL is fine */
/* "deferred/A/A1B2..." relative to queue_directory. */
void queue_path(const struct queue *q, struct str queue_name, struct str id, char path[256]);
/* Make the directories above path; rename within the queue, making them when needed. RC_NONE: from
 * is not there. Both paths relative to queue_directory. */
enum rc queue_make_directories(const struct queue *q, const char *path, struct why *why) MUST_USE;
enum rc queue_rename(const struct queue *q, const char *from, const char *to,
                     struct why *why) MUST_USE;
enum rc queue_sync_directory(const struct queue *q, const char *path, struct why *why) MUST_USE;
/* Rename between queues, making hash directories when needed. RC_NONE: the file is not there. */
enum rc queue_move(const struct queue *q, struct str from, struct str to, struct str id,
                   struct why *why) MUST_USE;
enum rc queue_remove(const struct queue *q, struct str queue_name, struct str id,
                     struct why *why) MUST_USE;
/* Read one directory tree; calls each(context, id, path relative to queue_directory). Stops when it
 * returns false. */
enum rc queue_scan(const struct queue *q, struct str queue_name,
                   bool (*each)(void *context, struct str id, const char *path), void *context,
                   struct why *why) MUST_USE;

/* ---- record types ---- */
enum record_type {
    REC_SIZE = 'C',
    REC_TIME = 'T',
    REC_CTIME = 'c',
    REC_FULL = 'F',
    REC_INSPECT = 'I',
    REC_FILTER = 'L',
    REC_SENDER = 'S',
    REC_DONE = 'D',
    REC_RCPT = 'R',
    REC_ORCPT = 'O',
    REC_CANCELLED = '/',
    REC_WARN = 'W',
    REC_ATTR = 'A',
    REC_KILLED = 'K',
    REC_REDIRECT = '>',
    REC_FLAGS = 'f',
    REC_DELAY = 'd',
    REC_MESSAGE = 'M',
    REC_CONT = 'L',
    REC_NORM = 'N',
    REC_PAD = 'w',
    REC_EXTRACTED = 'X',
    REC_RRTO = 'r',
    REC_ERTO = 'e',
    REC_PRIO = 'P',
    REC_POINTER = 'p',
    REC_VERP = 'V',
    REC_DSN_RET = '<',
    REC_DSN_ENVID = 'i',
    REC_DSN_ORCPT = 'o',
    REC_DSN_NOTIFY = 'n',
    REC_MILTER_COUNT = 'm',
    REC_PACKED = 'Z', /* ours: content records, compressed or encrypted */
    REC_END = 'E',
};

/* ---- writing ---- */
/*
 * A new file in incoming/ (or maildrop/, hold/): buffered, created at once under its id, mode 0600,
 * locked with flock so that the lock follows the descriptor to qmgr and the delivery agent; becomes
 * visible (mode 0700) and synced in queue_file_commit(). Deferred on the arena: an uncommitted file
 * is unlinked.
 */
struct queue_file;
enum rc queue_file_create(const struct queue *q, struct str queue_name, struct arena *a,
                          struct queue_file **out, struct why *why) MUST_USE;
const char *queue_file_id(const struct queue_file *f);
struct timespec queue_file_created(const struct queue_file *f);
long queue_file_offset(const struct queue_file *f); /* where the next record will stand; within the
                                                       content only a guess when that is packed */
long queue_file_size(const struct queue_file *f);   /* the offset as it were without packing */
/* All content records were put; the offset where they end. */
long queue_file_end_content(struct queue_file *f);
void queue_file_put(struct queue_file *f, int type,
                    struct str payload); /* failure is sticky, shows at commit */
void queue_file_putf(struct queue_file *f, int type, const char *format, ...) PRINTF_LIKE(3, 4);
/* Overwrite at an earlier offset, same length (size record, pointers). */
void queue_file_patch(struct queue_file *f, long offset, struct str bytes);
enum rc queue_file_error(const struct queue_file *f,
                         struct why *why) MUST_USE; /* so far: full disk ... */
/* Write out, make ready, sync (grouped with concurrent commits), keep fd open for hand-over: *fd is
 * the caller's. final_queue: incoming, or hold. */
enum rc queue_file_commit(struct queue_file *f, struct str final_queue, int *fd,
                          struct why *why) MUST_USE;
void queue_file_abandon(void *f);

/* ---- reading ---- */
struct record_reader {
    int fd;
    struct arena *arena;
    char *buffer; /* 8 KiB, then 64 KiB when the file is longer */
    size_t start, end, size;
    long offset;      /* of the record that record_read() returned last */
    long file_offset; /* of buffer[end] */
    long jumps_left;  /* pointers that may still be followed; 0: not counted yet */
    bool unpacks;     /* packed content is returned as the records that are in it */
    const struct queue_keys *keys;
    struct unpacker *unpacker; /* made with the first packed record */
};
void record_reader_init(struct record_reader *r, int fd, struct arena *a,
                        long offset); /* uses pread: descriptors are shared */
/* For readers of content. keys (may be NULL) must live as long as r. What cannot be unpacked is
 * RC_TEMP: with the right key it can. */
void record_reader_unpack(struct record_reader *r, const struct queue_keys *keys);
/* Next record; payload a view until the next read. follow: pointer records are followed and padding
 * is skipped, neither is returned. RC_NONE at the end of the file; RC_PERM damaged. */
enum rc record_read(struct record_reader *r, bool follow, int *type, struct str *payload,
                    struct why *why) MUST_USE;
/* Returns pointers and padding as well, and goes on where pointers lead. */
enum rc record_read_shown(struct record_reader *r, int *type, struct str *payload,
                          struct why *why) MUST_USE;
void record_seek(struct record_reader *r, long offset);
long record_tell(const struct record_reader *r); /* where the next record stands */

/*
 * Envelope of a queue file, as qmgr needs it, in portions: at most max recipients, those already
 * done are left out; where to go on stands in *more, and queue_file_read_recipients() reads the
 * next portion. out->complete: no others are left. RC_PERM: damaged.
 */
struct envelope_rest {
    long offset;        /* where to go on; 0: nothing is left */
    size_t unread;      /* recipients that were not read yet */
    long data_end;      /* where the part after the content begins */
    bool after_content; /* offset is in that part */
};
enum rc queue_file_read_envelope(int fd, struct str id, size_t max, struct arena *a,
                                 struct message_ready *out, struct envelope_rest *more,
                                 struct why *why) MUST_USE;
enum rc queue_file_read_recipients(int fd, struct envelope_rest *more, size_t max, struct arena *a,
                                   struct recipient **recipients, size_t *n,
                                   struct why *why) MUST_USE;

/* Age in seconds at which the next delay warning is due, for a message of that age; 0: none.
 * delay_warning_times, or delay_warning_time when that is empty. */
long queue_warn_delay(const struct config *config, long age);

/* Overwrite the time in the warning record at offset. */
enum rc queue_file_set_warn_time(int fd, long offset, long when, struct why *why) MUST_USE;

/* Mark the recipient whose record starts at offset as done ('R' -> 'D'); RC_PERM when no recipient
 * stands there. */
enum rc queue_file_mark_done(int fd, long offset, struct why *why) MUST_USE;

/*
 * Notes of ours behind the end record, where nobody else reads: attribute records split_from and
 * attempts. A file without them, or with half of one, has none.
 */
struct queue_notes {
    char split_from[QUEUE_ID_SIZE]; /* of what message this one is a part; "": of none */
    long attempts;                  /* how often delivery was tried and put off */
};
void queue_file_read_notes(int fd, struct queue_notes *out);
/* RC_PERM: another program has put something behind the end record; there is no place then. */
enum rc queue_file_write_notes(int fd, const struct queue_notes *notes, struct why *why) MUST_USE;
/* The same, for one attempt more. was_tried: so it was, maybe by a queue manager that does not
 * count. */
enum rc queue_file_add_attempt(int fd, bool was_tried, struct why *why) MUST_USE;

/* Record encoding for other users (postdrop, pickup socket, postcat). */
void record_put(struct buf *b, int type, struct str payload);
enum rc record_take(struct str *bytes, int *type, struct str *payload,
                    struct why *why) MUST_USE; /* RC_NONE: incomplete */
bool record_is_encrypted(struct str payload);  /* of REC_PACKED */
const char *record_type_name(int type);        /* postcat's words; NULL: no such type */
bool record_may_begin_file(int type);

/* ---- defer, bounce and trace logs ---- */
enum rc bounce_log_append(const struct queue *q, struct str log_class, struct str id,
                          const struct recipient *r, const struct dsn *d, bool compatible,
                          struct why *why) MUST_USE;
struct bounce_log_entry {
    struct recipient recipient;
    struct dsn dsn;
};
/* Values are views of text. Takes anything: what is no log gives no entries. */
void bounce_log_parse(struct str text, struct arena *a, struct bounce_log_entry **entries,
                      size_t *n);
/* RC_NONE: there is no such log. */
enum rc bounce_log_read(const struct queue *q, struct str log_class, struct str id, struct arena *a,
                        struct bounce_log_entry **entries, size_t *n, struct why *why) MUST_USE;
enum rc bounce_log_remove(const struct queue *q, struct str log_class, struct str id,
                          struct why *why) MUST_USE;

/* ---- listing ---- */
/*
 * Everything that waits, in the order of Postfix's listing: maildrop, incoming (active when the id
 * is in active), deferred, hold; a message with very many recipients comes in several entries
 * (more). Reasons are those of the last attempt. each returns false to stop. active may be NULL.
 */
struct map;
enum rc queue_list(const struct queue *q, const struct map *active,
                   bool (*each)(void *context, const struct queue_entry *entry), void *context,
                   struct why *why) MUST_USE;

/* The same for a part of it; RC_NONE of each queue is no error. */
enum rc queue_list_some(const struct queue *q, const char *const *queue_names, size_t n,
                        const struct map *active,
                        bool (*each)(void *context, const struct queue_entry *entry), void *context,
                        struct why *why) MUST_USE;
/* One file, with all its recipients. RC_NONE: gone, or not complete. *modified: its time stamp. */
enum rc queue_list_file(const struct queue *q, struct str queue_name, struct str id,
                        struct arena *a, struct queue_entry *out, long *modified,
                        struct why *why) MUST_USE;

/* Ask qmgr which messages it has in memory; ids become keys. RC_TEMP: it does not answer. */
enum rc queue_ask_active(struct str queue_directory, struct map *active, struct why *why) MUST_USE;
