/*
 * Messages between our own services over UNIX-domain stream sockets.
 *
 * A frame is a head of 8 bytes (magic 0xF5, message number, 2 bytes zero, length of the rest, all
 * little-endian) and the fields in order: NUMBER 8 bytes, FLAG 1 byte, TEXT length (4 bytes) and
 * bytes, LIST count (4 bytes) and records. The magic is no letter, so one socket can also take
 * Postfix's trigger bytes. Texts and lists of a message that was read point into the arena. A
 * malformed frame is RC_PERM and the caller closes the connection.
 *
 * messages.def makes, for each message m: struct m; IPC_m; ipc_send_m(); ipc_read_m().
 */
#pragma once

#include <stdint.h>
#include <time.h>

#include "util/arena.h"
#include "util/buf.h"
#include "util/log.h"

/* structs */
#define FIELD_TYPE_TEXT            struct str
#define FIELD_TYPE_NUMBER          long
#define FIELD_TYPE_FLAG            bool
#define RECORD(name)               struct name {
#define MESSAGE(name)              struct name {
#define FIELD(type, name, limit)   FIELD_TYPE_##type name;
#define RECORD_FIELD(record, name) struct record name;
#define LIST(record, name, limit)                                                                  \
    struct record *name;                                                                           \
    size_t n_##name;
#define END(name)                                                                                  \
    }                                                                                              \
    ;
#include "ipc/messages.def"
#undef RECORD
#undef MESSAGE
#undef FIELD
#undef RECORD_FIELD
#undef LIST
#undef END

/* numbers */
enum ipc_type {
    IPC_NONE,
#define RECORD(name)
#define MESSAGE(name) IPC_##name,
#define FIELD(type, name, limit)
#define RECORD_FIELD(record, name)
#define LIST(record, name, limit)
#define END(name)
#include "ipc/messages.def"
#undef RECORD
#undef MESSAGE
#undef FIELD
#undef RECORD_FIELD
#undef LIST
#undef END
    IPC_TYPES
};

enum { IPC_MAGIC = 0xF5, IPC_FRAME_MAX = 1024 * 1024 };

/* One end of a connection. Not shared between threads at the same time. */
struct ipc {
    int fd;                 /* -1: closed; owned */
    long timeout_ms;        /* for one message, each way; 0: for ever */
    long kernel_timeout_ms; /* private: what the socket is set to, so that a read is one call */
    char *in;               /* bytes received, not yet used */
    size_t in_start, in_end, in_size;
    int fds[8]; /* descriptors received, not yet used */
    unsigned n_fds;
    const struct log *trace; /* NULL: what is sent is never traced */
    char peer[32];           /* for that; "": whoever connected */
    struct timespec began;   /* when service_next() gave the last request, while times are logged */
    enum ipc_type last;      /* what it was */
    void *own;               /* of whoever serves this connection */
};

void ipc_init(struct ipc *c, int fd, long timeout_ms);
void ipc_done(struct ipc *c); /* closes */

/*
 * From now on what is sent is traced there, while log_traces(LOG_TRACE_IMSG): "imsg: FROM -> TO:
 * NAME (len=N)". log must stay as long as c. ipc_note_sent() does it for frames of ipc_encode().
 */
void ipc_trace(struct ipc *c, const struct log *log);
void ipc_note_sent(const struct ipc *c, enum ipc_type type, size_t length);

/* Connect to a service's socket, e.g. "private/bounce" below queue_directory. */
enum rc ipc_connect(struct ipc *c, struct str queue_directory, const char *socket_name,
                    long timeout_ms, struct why *why) MUST_USE;

/*
 * Send message (struct of that type), with fd unless -1. The caller keeps fd. Blocks up to the
 * timeout. RC_EOF: the other end is gone. RC_PERM: a field is longer than messages.def allows
 * (nothing sent).
 */
enum rc ipc_send(struct ipc *c, enum ipc_type type, const void *message, int fd,
                 struct why *why) MUST_USE;
/* The same for a frame of ipc_encode(). */
enum rc ipc_send_frame(struct ipc *c, enum ipc_type type, struct str frame, int fd,
                       struct why *why) MUST_USE;

/*
 * Read the next message, which must be of that type. *fd: a descriptor that came along, now the
 * caller's, or -1; fd may be NULL (descriptor closed). RC_EOF, RC_TIMEOUT, RC_PERM (another type,
 * malformed).
 */
enum rc ipc_read(struct ipc *c, enum ipc_type type, struct arena *a, void *message, int *fd,
                 struct why *why) MUST_USE;

/* What kind of message comes next; waits for it. For services that take several kinds. */
enum rc ipc_next(struct ipc *c, enum ipc_type *type, struct why *why) MUST_USE;

/*
 * For event loops: read what is there without waiting (RC_OK: something came, RC_NONE: nothing,
 * RC_EOF), then take complete frames while ipc_has_frame(); take trigger bytes (anything that is
 * not a frame) with ipc_trigger_bytes().
 */
enum rc ipc_receive(struct ipc *c, struct why *why) MUST_USE;
bool ipc_has_frame(const struct ipc *c, enum ipc_type *type);
struct str ipc_trigger_bytes(struct ipc *c); /* consumed; valid until the next receive */

/* Encode into a buffer / decode from bytes, whole frames; for event loops, tests, fuzzing. */
enum rc ipc_encode(struct buf *b, enum ipc_type type, const void *message,
                   struct why *why) MUST_USE;
enum rc ipc_decode(struct str frame, enum ipc_type type, struct arena *a, void *message,
                   struct why *why) MUST_USE;

size_t ipc_size(enum ipc_type type); /* of the struct */
const char *ipc_name(enum ipc_type type);
void ipc_print(struct buf *b, enum ipc_type type,
               const void *message); /* "name{field=value ...}" for traces */

/* typed wrappers */
#define RECORD(name)
#define MESSAGE(name)                                                                              \
    static inline enum rc ipc_send_##name(struct ipc *c, const struct name *m, int fd,             \
                                          struct why *why)                                         \
    {                                                                                              \
        return ipc_send(c, IPC_##name, m, fd, why);                                                \
    }                                                                                              \
    static inline enum rc ipc_read_##name(struct ipc *c, struct arena *a, struct name *m, int *fd, \
                                          struct why *why)                                         \
    {                                                                                              \
        return ipc_read(c, IPC_##name, a, m, fd, why);                                             \
    }
#define FIELD(type, name, limit)
#define RECORD_FIELD(record, name)
#define LIST(record, name, limit)
#define END(name)
#include "ipc/messages.def"
#undef RECORD
#undef MESSAGE
#undef FIELD
#undef RECORD_FIELD
#undef LIST
#undef END
