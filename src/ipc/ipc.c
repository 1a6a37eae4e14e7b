#include "ipc/ipc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/memory.h"
#include "util/net.h"

enum { HEAD_BYTES = 8 };

void ipc_init(struct ipc *c, int fd, long timeout_ms)
{
    *c = (struct ipc){.fd = fd, .timeout_ms = timeout_ms};
}

void ipc_done(struct ipc *c)
{
    if (c->fd >= 0)
        close(c->fd);
    for (unsigned i = 0; i < c->n_fds; i++)
        close(c->fds[i]);
    free(c->in);
    *c = (struct ipc){.fd = -1};
}

enum rc ipc_connect(struct ipc *c, struct str queue_directory, const char *socket_name,
                    long timeout_ms, struct why *why)
{
    char path[4096];
    const char *slash;
    int fd = -1;

    snprintf(path, sizeof path, STR_FMT "/%s", STR_ARG(queue_directory), socket_name);
    TRY(net_connect_unix(path, SOCK_STREAM, timeout_ms ? timeout_ms : 3600 * 1000L, &fd, why));
    ipc_init(c, fd, timeout_ms);
    slash = strrchr(socket_name, '/');
    snprintf(c->peer, sizeof c->peer, "%.31s", slash ? slash + 1 : socket_name);
    return RC_OK;
}

void ipc_trace(struct ipc *c, const struct log *log)
{
    c->trace = log;
}

/* The program at the other end of a connection that was accepted. */
static void name_peer(const struct ipc *c, char name[32])
{
    char path[64];
    struct ucred peer = {0};
    socklen_t n = sizeof peer;
    FILE *f = NULL;

    snprintf(name, 32, "%s", c->peer[0] ? c->peer : "client");
    if (c->peer[0] || getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/comm", (int)peer.pid);
    f = fopen(path, "re");
    if (f && fgets(name, 32, f))
        name[strcspn(name, "\n")] = '\0';
    if (f)
        fclose(f);
}

void ipc_note_sent(const struct ipc *c, enum ipc_type type, size_t length)
{
    char peer[32];

    if (c->trace == NULL || !log_traces(c->trace, LOG_TRACE_IMSG))
        return;
    name_peer(c, peer);
    log_info(c->trace, "imsg: %s -> %s: %s (len=%zu)", program_invocation_short_name, peer,
             ipc_name(type), length);
}

/* 1 ready; 0 deadline passed; -1 error */
static int wait_ready(int fd, short events, long deadline_ms)
{
    struct pollfd p = {.fd = fd, .events = events};

    for (;;) {
        long left = deadline_ms ? deadline_ms - clock_ms() : -1;
        int n;
        if (deadline_ms && left <= 0)
            return 0;
        n = poll(&p, 1, (int)left);
        if (n > 0)
            return 1;
        if (n < 0 && errno != EINTR)
            return -1;
    }
}

static long deadline_of(const struct ipc *c)
{
    return c->timeout_ms ? clock_ms() + c->timeout_ms : 0;
}

enum rc ipc_send_frame(struct ipc *c, enum ipc_type type, struct str frame, int fd, struct why *why)
{
    struct str rest = frame;
    long deadline = deadline_of(c);

    while (rest.n) {
        ssize_t sent = fd_send(c->fd, rest.p, rest.n, fd);
        if (sent > 0) {
            rest = str_from(rest, (size_t)sent);
            fd = -1;
        } else if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return FAIL(why, RC_EOF, "send %s: %m", ipc_name(type));
        } else if (sent < 0 && errno != EAGAIN) {
            return FAIL(why, RC_TEMP, "send %s: %m", ipc_name(type));
        } else if (wait_ready(c->fd, POLLOUT, deadline) <= 0) {
            return FAIL(why, RC_TIMEOUT, "send %s: timeout", ipc_name(type));
        }
    }
    ipc_note_sent(c, type, frame.n);
    return RC_OK;
}

enum rc ipc_send(struct ipc *c, enum ipc_type type, const void *message, int fd, struct why *why)
{
    AUTO_BUF b;

    buf_init(&b, IPC_FRAME_MAX);
    TRY(ipc_encode(&b, type, message, why));
    return ipc_send_frame(c, type, buf_str(&b), fd, why);
}

static void make_room(struct ipc *c, size_t want)
{
    if (c->in_start > 0) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }
    if (c->in_size < want) {
        c->in_size = want < 4096 ? 4096 : want;
        c->in = memory_resize(c->in, c->in_size);
    }
}

/* One recvmsg into free room. RC_NONE when it would block. */
static enum rc receive_some(struct ipc *c, int flags, struct why *why)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * 8)];
    } control;
    struct iovec iov = {c->in + c->in_end, c->in_size - c->in_end};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    ssize_t got;

    do
        got = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | flags);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return RC_NONE;
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return FAIL(why, RC_EOF, "the other end closed the connection");
    if (got < 0)
        return FAIL(why, RC_TEMP, "receive: %m");
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
        size_t n = h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS
                       ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                       : 0;
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            if (c->n_fds < sizeof c->fds / sizeof *c->fds)
                c->fds[c->n_fds++] = fd;
            else
                close(fd);
        }
    }
    c->in_end += (size_t)got;
    return RC_OK;
}

static uint32_t get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static struct str buffered(const struct ipc *c)
{
    return (struct str){c->in + c->in_start, c->in_end - c->in_start};
}

static bool head_is_valid(struct str s)
{
    return (unsigned char)s.p[0] == IPC_MAGIC && s.p[1] > IPC_NONE && s.p[1] < IPC_TYPES &&
           get32(s.p + 4) <= IPC_FRAME_MAX;
}

bool ipc_has_frame(const struct ipc *c, enum ipc_type *type)
{
    struct str s = buffered(c);

    if (s.n < HEAD_BYTES || !head_is_valid(s) || s.n < HEAD_BYTES + get32(s.p + 4))
        return false;
    *type = (enum ipc_type)s.p[1];
    return true;
}

struct str ipc_trigger_bytes(struct ipc *c)
{
    struct str s = buffered(c);
    size_t n = 0;

    while (n < s.n && (unsigned char)s.p[n] != IPC_MAGIC)
        n++;
    c->in_start += n;
    return str_head(s, n);
}

enum rc ipc_receive(struct ipc *c, struct why *why)
{
    struct str s = buffered(c);
    size_t want = s.n + 4096;

    if (s.n >= HEAD_BYTES && (unsigned char)s.p[0] == IPC_MAGIC) {
        if (!head_is_valid(s))
            return FAIL(why, RC_PERM, "malformed message");
        if (want < HEAD_BYTES + get32(s.p + 4))
            want = HEAD_BYTES + get32(s.p + 4);
    }
    make_room(c, want);
    return receive_some(c, MSG_DONTWAIT, why);
}

/* The kernel keeps the time of a blocking read: one system call instead of three. */
static void use_kernel_timeout(struct ipc *c)
{
    struct timeval limit = {c->timeout_ms / 1000, c->timeout_ms % 1000 * 1000};

    if (c->kernel_timeout_ms == c->timeout_ms)
        return;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    c->kernel_timeout_ms = c->timeout_ms;
}

/* Wait until n bytes are buffered. A descriptor that does not block is polled. */
static enum rc need(struct ipc *c, size_t n, long deadline, struct why *why)
{
    while (c->in_end - c->in_start < n) {
        enum rc rc;
        if (c->in_size - c->in_start < n || c->in_end == c->in_size)
            make_room(c, n);
        use_kernel_timeout(c);
        rc = receive_some(c, 0, why);
        if (rc == RC_NONE) {
            int ready = wait_ready(c->fd, POLLIN, deadline);
            if (ready == 0)
                return FAIL(why, RC_TIMEOUT, "receive: timeout");
            if (ready < 0)
                return FAIL(why, RC_TEMP, "poll: %m");
        } else if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

enum rc ipc_next(struct ipc *c, enum ipc_type *type, struct why *why)
{
    long deadline = deadline_of(c);

    TRY(need(c, HEAD_BYTES, deadline, why));
    if (!head_is_valid(buffered(c)))
        return FAIL(why, RC_PERM, "malformed message");
    TRY(need(c, HEAD_BYTES + get32(c->in + c->in_start + 4), deadline, why));
    *type = (enum ipc_type)c->in[c->in_start + 1];
    return RC_OK;
}

enum rc ipc_read(struct ipc *c, enum ipc_type type, struct arena *a, void *message, int *fd,
                 struct why *why)
{
    enum ipc_type got;
    struct str frame;
    enum rc rc;

    if (fd)
        *fd = -1;
    TRY(ipc_next(c, &got, why));
    if (got != type)
        return FAIL(why, RC_PERM, "unexpected message %s instead of %s", ipc_name(got),
                    ipc_name(type));
    frame = str_head(buffered(c), HEAD_BYTES + get32(c->in + c->in_start + 4));
    rc = ipc_decode(frame, type, a, message, why);
    c->in_start += frame.n;
    if (c->in_start == c->in_end)
        c->in_start = c->in_end = 0;
    if (c->n_fds > 0) {
        int first = c->fds[0];
        memmove(c->fds, c->fds + 1, --c->n_fds * sizeof *c->fds);
        if (fd && rc == RC_OK)
            *fd = first;
        else
            close(first);
    }
    return rc;
}
