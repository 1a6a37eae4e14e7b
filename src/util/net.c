#include "util/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file.h"

enum rc addr_parse(struct str text, unsigned port, struct addr *out, struct why *why)
{
    char copy[INET6_ADDRSTRLEN + 1];
    struct addr a = {0};
    struct str s = text;

    if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = (struct str){s.p + 1, s.n - 2};
    if (str_has_prefix_nocase(s, STR("IPv6:")))
        s = str_from(s, 5);
    if (s.n == 0 || s.n >= sizeof copy || str_index(s, '\0') >= 0)
        return FAIL(why, RC_PERM, "bad address: " STR_FMT, STR_ARG(text));
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    if (inet_pton(AF_INET, copy, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.bytes = sizeof a.in;
    } else if (inet_pton(AF_INET6, copy, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6;
        a.bytes = sizeof a.in6;
    } else {
        return FAIL(why, RC_PERM, "bad address: " STR_FMT, STR_ARG(text));
    }
    addr_unmap(&a);
    addr_set_port(&a, port);
    *out = a;
    return RC_OK;
}

int addr_family(const struct addr *a)
{
    return a->bytes ? a->sa.sa_family : AF_UNSPEC;
}

void addr_format(const struct addr *a, char text[ADDR_TEXT_SIZE])
{
    text[0] = '\0';
    switch (addr_family(a)) {
    case AF_INET: inet_ntop(AF_INET, &a->in.sin_addr, text, ADDR_TEXT_SIZE); break;
    case AF_INET6: inet_ntop(AF_INET6, &a->in6.sin6_addr, text, ADDR_TEXT_SIZE); break;
    case AF_UNIX: snprintf(text, ADDR_TEXT_SIZE, "unix"); break;
    default: break;
    }
}

unsigned addr_port(const struct addr *a)
{
    switch (addr_family(a)) {
    case AF_INET: return ntohs(a->in.sin_port);
    case AF_INET6: return ntohs(a->in6.sin6_port);
    default: return 0;
    }
}

void addr_set_port(struct addr *a, unsigned port)
{
    if (addr_family(a) == AF_INET)
        a->in.sin_port = htons((unsigned short)port);
    else if (addr_family(a) == AF_INET6)
        a->in6.sin6_port = htons((unsigned short)port);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (addr_family(a) != addr_family(b))
        return false;
    switch (addr_family(a)) {
    case AF_INET: return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    case AF_INET6: return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
    default: return true;
    }
}

bool addr_is_loopback(const struct addr *a)
{
    switch (addr_family(a)) {
    case AF_INET: return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
    case AF_INET6: return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
    case AF_UNIX: return true;
    default: return false;
    }
}

void addr_unmap(struct addr *a)
{
    struct addr v4 = {0};

    if (addr_family(a) != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return;
    v4.in.sin_family = AF_INET;
    v4.in.sin_port = a->in6.sin6_port;
    memcpy(&v4.in.sin_addr, a->in6.sin6_addr.s6_addr + 12, 4);
    v4.bytes = sizeof v4.in;
    *a = v4;
}

enum rc addr_of_socket(int fd, bool remote, struct addr *out, struct why *why)
{
    struct addr a = {0};

    a.bytes = sizeof a.un;
    if ((remote ? getpeername : getsockname)(fd, &a.sa, &a.bytes) < 0)
        return FAIL(why, RC_TEMP, "%s: %m", remote ? "getpeername" : "getsockname");
    addr_unmap(&a);
    *out = a;
    return RC_OK;
}

static const unsigned char *addr_bytes(const struct addr *a)
{
    return addr_family(a) == AF_INET ? (const unsigned char *)&a->in.sin_addr
                                     : a->in6.sin6_addr.s6_addr;
}

enum rc network_parse(struct str text, struct network *out, struct why *why)
{
    struct str rest = text, host = str_cut(&rest, '/');
    struct network n = {0};
    unsigned char *bytes;
    long bits;
    int full, mapped = 0;

    TRY(addr_parse(host, 0, &n.base, why));
    full = addr_family(&n.base) == AF_INET ? 32 : 128;
    if (full == 32 && str_index(host, ':') >= 0)
        mapped = 96; /* "[::ffff:127.0.0.0]/104" is 127.0.0.0/8 */
    bits = full + mapped;
    if (rest.p && !str_to_long(rest, mapped, full + mapped, &bits))
        return FAIL(why, RC_PERM, "bad network mask in \"" STR_FMT "\"", STR_ARG(text));
    bits -= mapped;
    n.bits = (int)bits;
    bytes = (unsigned char *)addr_bytes(&n.base);
    for (int i = n.bits; i < full; i++) {
        if ((bytes[i / 8] & (0x80 >> i % 8)) == 0)
            continue;
        char right[ADDR_TEXT_SIZE];
        for (int j = n.bits; j < full; j++)
            bytes[j / 8] &= (unsigned char)~(0x80 >> j % 8);
        addr_format(&n.base, right);
        return FAIL(why, RC_PERM,
                    "non-null host address bits in \"" STR_FMT
                    "\", perhaps you should use \"%s/%d\" instead",
                    STR_ARG(text), right, n.bits);
    }
    *out = n;
    return RC_OK;
}

bool network_has(const struct network *n, const struct addr *a)
{
    const unsigned char *x, *y;
    int whole = n->bits / 8, part = n->bits % 8;

    if (addr_family(&n->base) != addr_family(a) ||
        (addr_family(a) != AF_INET && addr_family(a) != AF_INET6))
        return false;
    x = addr_bytes(&n->base);
    y = addr_bytes(a);
    return memcmp(x, y, (size_t)whole) == 0 &&
           (part == 0 || ((x[whole] ^ y[whole]) & (0xff00 >> part) & 0xff) == 0);
}

unsigned port_of(struct str text)
{
    struct servent entry, *found = NULL;
    char name[64], space[1024];
    long port;

    if (str_to_long(text, 1, 65535, &port))
        return (unsigned)port;
    if (text.n == 0 || text.n >= sizeof name)
        return 0;
    memcpy(name, text.p, text.n);
    name[text.n] = '\0';
    if (getservbyname_r(name, "tcp", &entry, space, sizeof space, &found) == 0 && found)
        return ntohs((unsigned short)found->s_port);
    return 0;
}

enum rc host_port_split(struct str text, struct str *host, struct str *port, struct why *why)
{
    ssize_t at;

    *port = STR("");
    if (text.n && text.p[0] == '[') {
        at = str_index(text, ']');
        if (at < 0)
            return FAIL(why, RC_PERM, "missing ']' in \"" STR_FMT "\"", STR_ARG(text));
        *host = (struct str){text.p + 1, (size_t)at - 1};
        text = str_from(text, (size_t)at + 1);
        if (text.n && text.p[0] != ':')
            return FAIL(why, RC_PERM, "garbage after ']' in \"" STR_FMT "\"", STR_ARG(text));
        *port = str_from(text, 1);
        return RC_OK;
    }
    at = str_rindex(text, ':');
    if (at < 0 || str_index(text, ':') != at) { /* none, or an IPv6 address without brackets */
        *host = text;
        return RC_OK;
    }
    *host = str_head(text, (size_t)at);
    *port = str_from(text, (size_t)at + 1);
    return RC_OK;
}

enum rc net_listen(const struct addr *at, int backlog, int *fd, struct why *why)
{
    char text[ADDR_TEXT_SIZE];
    int on = 1, s = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    addr_format(at, text);
    if (s < 0)
        return FAIL(why, RC_TEMP, "socket for %s: %m", text);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->sa.sa_family == AF_INET6)
        setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(s, &at->sa, at->bytes) < 0 || listen(s, backlog) < 0) {
        int error = errno;
        close(s);
        errno = error;
        return FAIL(why, error == EADDRNOTAVAIL || error == EACCES ? RC_CONFIG : RC_TEMP,
                    "bind %s port %u: %m%s", text, addr_port(at),
                    error == EACCES ? "; start as root, or take a port above 1023" : "");
    }
    *fd = s;
    return RC_OK;
}

static enum rc unix_addr(const char *path, struct addr *a, struct why *why)
{
    *a = (struct addr){.bytes = sizeof a->un};
    a->un.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof a->un.sun_path)
        return FAIL(why, RC_CONFIG,
                    "%s: socket path longer than %zu bytes; use a shorter directory", path,
                    sizeof a->un.sun_path - 1);
    memcpy(a->un.sun_path, path, strlen(path) + 1);
    return RC_OK;
}

enum rc net_listen_unix(const char *path, int type, mode_t mode, int backlog, int *fd,
                        struct why *why)
{
    struct addr a;
    int s;

    TRY(unix_addr(path, &a, why));
    s = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return FAIL(why, RC_TEMP, "socket for %s: %m", path);
    unlink(path);
    if (bind(s, &a.sa, a.bytes) < 0 || chmod(path, mode) < 0 ||
        (type == SOCK_STREAM && listen(s, backlog) < 0)) {
        close(s);
        return FAIL(why, RC_TEMP, "bind %s: %m", path);
    }
    *fd = s;
    return RC_OK;
}

static enum rc finish_connect(int s, long timeout_ms, struct why *why)
{
    struct pollfd p = {.fd = s, .events = POLLOUT};
    int error = 0, ready;
    socklen_t n = sizeof error;

    do
        ready = poll(&p, 1, (int)timeout_ms);
    while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        errno = ETIMEDOUT;
        return FAIL(why, RC_TIMEOUT, "%m");
    }
    if (ready < 0 || getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        return FAIL(why, RC_TEMP, "%m");
    errno = error;
    return error ? FAIL(why, RC_TEMP, "%m") : RC_OK;
}

static enum rc connect_socket(int s, const struct addr *to, long timeout_ms, struct why *why)
{
    enum rc rc = RC_OK;

    if (connect(s, &to->sa, to->bytes) < 0)
        rc = errno == EINPROGRESS || errno == EAGAIN ? finish_connect(s, timeout_ms, why)
                                                     : FAIL(why, RC_TEMP, "%m");
    if (rc == RC_OK)
        rc = fd_set_blocking(s, true, why);
    return rc;
}

enum rc net_connect(const struct addr *to, const struct addr *bind_to, long timeout_ms, int *fd,
                    struct why *why)
{
    int on = 1, s = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    enum rc rc = RC_OK;

    if (s < 0)
        return FAIL(why, RC_TEMP, "socket: %m");
    if (bind_to && bind_to->bytes && bind(s, &bind_to->sa, bind_to->bytes) < 0)
        rc = FAIL(why, RC_CONFIG, "bind: %m");
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (rc == RC_OK)
        rc = connect_socket(s, to, timeout_ms, why);
    if (rc == RC_OK)
        *fd = s;
    else
        close(s);
    return rc;
}

enum rc net_connect_unix(const char *path, int type, long timeout_ms, int *fd, struct why *why)
{
    struct addr a;
    enum rc rc;
    int s;

    TRY(unix_addr(path, &a, why));
    /* blocking with a send time limit: a full backlog makes connect() wait, not fail with EAGAIN */
    s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (s < 0)
        return FAIL(why, RC_TEMP, "socket: %m");
    struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000}, none = {0};
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    rc = connect(s, &a.sa, a.bytes) < 0 ? FAIL(why, RC_TEMP, "connect to %s: %m", path) : RC_OK;
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
    if (rc == RC_OK)
        *fd = s;
    else
        close(s);
    return rc;
}

ssize_t fd_send(int socket, const void *bytes, size_t n, int fd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)bytes, n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    if (fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control.space;
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    do
        sent = sendmsg(socket, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t fd_receive(int socket, void *bytes, size_t n, int *fd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {bytes, n};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control.space};
    ssize_t got;

    *fd = -1;
    do
        got = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return got;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(fd, CMSG_DATA(c), sizeof *fd);
    return got;
}
