/*
 * Writing a queue file, and the commit rule: name first, then one sync of the file.
 *
 * A small message leaves in one write: records collect in memory, and the size record is patched
 * there as long as it was not written out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

#include "queue/pack.h"
#include "queue/queue.h"
#include "queue/record.h"
#include "util/clock.h"
#include "util/memory.h"

enum { BUFFER_FIRST = 8 * 1024, BUFFER_MAX = 64 * 1024, TRIES = 100, MODE_WRITING = 0600 };

struct queue_file {
    const struct queue *queue;
    struct arena *arena;
    int fd;
    char id[QUEUE_ID_SIZE];
    char path[QUEUE_PATH_SIZE];
    struct timespec created;
    long written; /* bytes in the file already */
    char *buffer; /* what follows them */
    size_t n, size;
    struct packer *packer; /* of content; NULL: there is none now, or it is written as it is */
    long saved;            /* bytes that packing saved so far; negative: that it cost */
    struct why trouble;    /* rc is RC_OK as long as all is well */
};

static enum rc open_temporary(struct queue_file *f, struct str queue_name, char path[256],
                              struct why *why)
{
    for (int i = 0; i < TRIES; i++) {
        f->created = clock_now();
        snprintf(path, QUEUE_PATH_SIZE, STR_FMT "/%09ld.%lx", STR_ARG(queue_name),
                 f->created.tv_nsec, (unsigned long)f >> 4 & 0xffffff);
        f->fd = openat(f->queue->dir, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                       MODE_WRITING);
        if (f->fd >= 0)
            return RC_OK;
        if (errno != EEXIST)
            break;
    }
    return FAIL(why, RC_TEMP, "create %s: %m", path);
}

enum rc queue_file_create(const struct queue *q, struct str queue_name, struct arena *a,
                          struct queue_file **out, struct why *why)
{
    struct queue_file *f = arena_new_of(a, struct queue_file);
    char temporary[QUEUE_PATH_SIZE];
    struct stat st;

    f->queue = q;
    f->arena = a;
    TRY(open_temporary(f, queue_name, temporary, why));
    memcpy(f->path, temporary, sizeof f->path);
    arena_defer(a, queue_file_abandon, f);
    /* everybody reads through this descriptor: no inode is written because of that */
    (void)fcntl(f->fd, F_SETFL, O_NOATIME);
    if (flock(f->fd, LOCK_EX | LOCK_NB) < 0 || fstat(f->fd, &st) < 0)
        return FAIL(why, RC_TEMP, "lock %s: %m", temporary);
    queue_id_make(f->id, f->created, st.st_ino, q->long_ids);
    queue_path(q, queue_name, str_of(f->id), f->path);
    if (queue_rename(q, temporary, f->path, why) != RC_OK) {
        memcpy(f->path, temporary, sizeof f->path);
        return why ? why->rc : RC_TEMP;
    }
    *out = f;
    return RC_OK;
}

const char *queue_file_id(const struct queue_file *f)
{
    return f->id;
}

struct timespec queue_file_created(const struct queue_file *f)
{
    return f->created;
}

long queue_file_offset(const struct queue_file *f)
{
    return f->written + (long)f->n;
}

static void fail(struct queue_file *f, const char *what)
{
    if (f->trouble.rc == RC_OK)
        why_set(&f->trouble, RC_TEMP, "%s %s: %m", what, f->path);
}

/* Write the buffer and then more. */
static void write_out(struct queue_file *f, struct str more)
{
    struct iovec parts[2] = {{f->buffer, f->n}, {(char *)more.p, more.n}}, *part = parts;

    f->written += (long)(f->n + more.n);
    f->n = 0;
    while (f->trouble.rc == RC_OK && (parts[0].iov_len || parts[1].iov_len)) {
        ssize_t done = writev(f->fd, part, part == parts ? 2 : 1);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            fail(f, "write");
        for (; done > 0 && part < parts + 2; part++) {
            size_t n = (size_t)done < part->iov_len ? (size_t)done : part->iov_len;
            part->iov_base = (char *)part->iov_base + n;
            part->iov_len -= n;
            done -= (ssize_t)n;
            if (part->iov_len)
                break;
        }
    }
}

static void put_bytes(struct queue_file *f, struct str bytes)
{
    if (f->size - f->n < bytes.n && f->size < BUFFER_MAX) {
        size_t want = f->size ? f->size : BUFFER_FIRST;
        while (want < f->n + bytes.n && want < BUFFER_MAX)
            want *= 2;
        f->buffer = memory_resize(f->buffer, want);
        f->size = want;
    }
    if (f->size - f->n < bytes.n) {
        write_out(f, bytes);
        return;
    }
    if (bytes.n)
        memcpy(f->buffer + f->n, bytes.p, bytes.n);
    f->n += bytes.n;
}

static void put_record(struct queue_file *f, int type, struct str payload)
{
    char head[RECORD_HEAD_MAX];

    put_bytes(f, (struct str){head, record_head(head, type, payload.n)});
    put_bytes(f, payload);
}

/* ---- packed content ---- */

static void put_piece(struct queue_file *f, bool is_last)
{
    struct packer *p = f->packer;
    long before = queue_file_offset(f);
    size_t plain = p->n;
    struct str payload;
    struct why why;

    if (plain == 0 || f->trouble.rc != RC_OK)
        return;
    if (packer_take(p, is_last, &payload, &why) != RC_OK) {
        f->trouble = why;
        return;
    }
    put_record(f, REC_PACKED, payload);
    f->saved += (long)plain - (queue_file_offset(f) - before);
}

/* There is always something left for the last piece. */
static void pack(struct queue_file *f, int type, struct str payload)
{
    while (payload.n > PACK_RECORD_MAX) {
        pack(f, REC_CONT, str_head(payload, PACK_RECORD_MAX));
        payload = str_from(payload, PACK_RECORD_MAX);
    }
    if (packer_add(f->packer, type, payload) == RC_OK)
        return;
    put_piece(f, false);
    f->packer->n = 0;
    (void)!packer_add(f->packer, type, payload);
}

static void begin_packing(struct queue_file *f)
{
    const struct queue *q = f->queue;
    const struct queue_keys *keys = q->keys && !q->keys->is_off ? q->keys : NULL;

    if (f->packer || (keys == NULL && !q->compresses))
        return;
    f->packer = NEW(struct packer);
    f->packer->keys = keys;
    f->packer->compresses = q->compresses;
}

static void drop_packer(struct queue_file *f)
{
    if (f->packer)
        explicit_bzero(&f->packer->seal, sizeof f->packer->seal);
    free(f->packer);
    f->packer = NULL;
}

static void end_packing(struct queue_file *f)
{
    if (f->packer == NULL)
        return;
    put_piece(f, true);
    drop_packer(f);
}

long queue_file_end_content(struct queue_file *f)
{
    end_packing(f);
    return queue_file_offset(f);
}

long queue_file_size(const struct queue_file *f)
{
    return queue_file_offset(f) + f->saved + (long)(f->packer ? f->packer->n : 0);
}

void queue_file_put(struct queue_file *f, int type, struct str payload)
{
    if (f->packer) {
        if (type == REC_NORM || type == REC_CONT || type == REC_PAD) {
            pack(f, type, payload);
            return;
        }
        end_packing(f);
    }
    put_record(f, type, payload);
    if (type == REC_MESSAGE)
        begin_packing(f);
}

void queue_file_putf(struct queue_file *f, int type, const char *format, ...)
{
    char text[512], *longer = NULL;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= (int)sizeof text) {
        longer = memory_new((size_t)n + 1);
        va_start(args, format);
        vsnprintf(longer, (size_t)n + 1, format, args);
        va_end(args);
    }
    queue_file_put(f, type, (struct str){longer ? longer : text, n > 0 ? (size_t)n : 0});
    free(longer);
}

void queue_file_patch(struct queue_file *f, long offset, struct str bytes)
{
    if (offset < f->written && offset + (long)bytes.n > f->written)
        write_out(f, STR_NONE);
    if (offset >= f->written) {
        size_t at = (size_t)(offset - f->written);
        if (at <= f->n && bytes.n <= f->n - at)
            memcpy(f->buffer + at, bytes.p, bytes.n);
    } else if (pwrite(f->fd, bytes.p, bytes.n, offset) != (ssize_t)bytes.n) {
        fail(f, "write");
    }
}

enum rc queue_file_error(const struct queue_file *f, struct why *why)
{
    if (f->trouble.rc != RC_OK)
        return FAIL(why, f->trouble.rc, "%s", f->trouble.text);
    return RC_OK;
}

/* Syncs that run together share a journal commit; more than a few dozen only get into each other's
 * way. */
static enum rc sync_file(struct queue_file *f, struct why *why)
{
    enum rc rc = RC_OK;

    while (sem_wait(f->queue->committers) < 0 && errno == EINTR)
        continue;
    if (fsync(f->fd) < 0)
        rc = FAIL(why, RC_TEMP, "sync %s: %m", f->path);
    if (rc == RC_OK && f->queue->sync_directory)
        rc = queue_sync_directory(f->queue, f->path, why);
    sem_post(f->queue->committers);
    return rc;
}

enum rc queue_file_commit(struct queue_file *f, struct str final_queue, int *fd, struct why *why)
{
    char final[QUEUE_PATH_SIZE];

    end_packing(f);
    write_out(f, STR_NONE);
    free(f->buffer); /* those who waited for the same sync would all do so at once */
    f->buffer = NULL;
    f->size = 0;
    TRY(queue_file_error(f, why));
    queue_path(f->queue, final_queue, str_of(f->id), final);
    if (strcmp(final, f->path) != 0) {
        TRY(queue_rename(f->queue, f->path, final, why));
        memcpy(f->path, final, sizeof f->path);
    }
    if (fchmod(f->fd,
               str_eq(final_queue, STR("maildrop")) ? QUEUE_MODE_DROPPED : QUEUE_MODE_READY) < 0)
        return FAIL(why, RC_TEMP, "chmod %s: %m", f->path);
    TRY(sync_file(f, why));
    *fd = f->fd;
    f->fd = -1;
    arena_undefer(f->arena, queue_file_abandon, f);
    return RC_OK;
}

void queue_file_abandon(void *file)
{
    struct queue_file *f = file;

    if (f->fd >= 0) {
        unlinkat(f->queue->dir, f->path, 0);
        close(f->fd);
    }
    f->fd = -1;
    free(f->buffer);
    f->buffer = NULL;
    drop_packer(f);
}
