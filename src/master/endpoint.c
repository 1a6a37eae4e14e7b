/* Where services listen: addresses of inet services, paths of local ones, and opening them. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/master.h"
#include "util/file.h"

enum { SUBMIT_DIRECTORY_MODE = 0755, SOCKET_MODE = 0666, FIFO_MODE = 0622 };

struct endpoint_list {
    struct endpoint *v;
    size_t n;
    struct why *why;
};

static enum rc add(struct endpoint_list *list, const struct addr *addr, struct str path)
{
    const struct endpoint p = {.addr = *addr, .path = path, .fd = -1};

    for (size_t i = 0; i < list->n; i++)
        if (endpoint_equal(&list->v[i], &p))
            return RC_OK;
    if (list->n == LISTENERS_PER_SERVICE)
        return FAIL(list->why, RC_CONFIG, "more than %d addresses to listen on",
                    LISTENERS_PER_SERVICE);
    list->v[list->n++] = p;
    return RC_OK;
}

/* known_tcp_ports: "smtps=submissions=465, ..."; then services(5). */
static unsigned port_number(const struct config *c, struct str name)
{
    struct str rest = c->known_tcp_ports, item;

    while (str_token(&rest, LIST_SEPARATORS, &item)) {
        struct str number = item, word;
        bool found = false;
        while (word = str_cut(&number, '='), number.p)
            found = found || str_eq(word, name);
        if (found)
            return port_of(word);
    }
    return port_of(name);
}

/* A kernel without IPv6, or one that has it turned off. */
static bool ipv6_works(void)
{
    struct addr loopback = {.bytes = sizeof loopback.in6};
    AUTO_CLOSE int s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    loopback.in6.sin6_family = AF_INET6;
    loopback.in6.sin6_addr = in6addr_loopback;
    return s >= 0 && bind(s, &loopback.sa, loopback.bytes) == 0;
}

static bool protocol_is_on(const struct config *c, int family)
{
    return config_has_protocol(c, family) && (family == AF_INET || ipv6_works());
}

static enum rc add_numeric(const struct config *c, struct endpoint_list *list, const char *v4,
                           const char *v6, unsigned port)
{
    struct addr a;

    if (protocol_is_on(c, AF_INET)) {
        TRY(addr_parse(str_of(v4), port, &a, list->why));
        TRY(add(list, &a, STR_NONE));
    }
    if (protocol_is_on(c, AF_INET6)) {
        TRY(addr_parse(str_of(v6), port, &a, list->why));
        TRY(add(list, &a, STR_NONE));
    }
    return RC_OK;
}

static enum rc add_resolved(const struct config *c, struct endpoint_list *list, const char *host,
                            unsigned port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int error = getaddrinfo(host, NULL, &hints, &found);
    size_t before = list->n;
    enum rc rc = RC_OK;

    if (error)
        return FAIL(list->why, RC_CONFIG, "host %s: %s", host, gai_strerror(error));
    for (struct addrinfo *f = found; f && rc == RC_OK; f = f->ai_next) {
        struct addr a = {.bytes = f->ai_addrlen};
        memcpy(&a.sa, f->ai_addr, f->ai_addrlen);
        addr_set_port(&a, port);
        if (protocol_is_on(c, f->ai_family))
            rc = add(list, &a, STR_NONE);
    }
    freeaddrinfo(found);
    if (rc == RC_OK && list->n == before)
        return FAIL(list->why, RC_CONFIG, "host %s has no address that inet_protocols allows",
                    host);
    return rc;
}

static enum rc add_host(const struct config *c, struct endpoint_list *list, struct str host,
                        unsigned port)
{
    AUTO_ARENA a = arena_new(256);
    struct addr numeric;

    if (str_eq_nocase(host, STR("all")))
        return add_numeric(c, list, "0.0.0.0", "::", port);
    if (str_eq_nocase(host, STR("loopback-only")))
        return add_numeric(c, list, "127.0.0.1", "::1", port);
    if (addr_parse(host, port, &numeric, NULL) == RC_OK)
        return add(list, &numeric, STR_NONE);
    return add_resolved(c, list, arena_text(a, host), port);
}

static enum rc inet_endpoints(const struct config *c, const struct master_entry *e,
                              struct endpoint_list *list)
{
    ssize_t colon = str_rindex(e->name, ':');
    struct str host = colon < 0 ? STR("") : str_head(e->name, (size_t)colon);
    struct str port_text = colon < 0 ? e->name : str_from(e->name, (size_t)colon + 1);
    struct str rest = c->inet_interfaces;
    unsigned port = port_number(c, port_text);

    if (port == 0)
        return FAIL(list->why, RC_CONFIG,
                    "unknown port \"" STR_FMT "\"; write a number, or a name of services(5)",
                    STR_ARG(port_text));
    if (host.n)
        return add_host(c, list, host, port);
    while (str_token(&rest, LIST_SEPARATORS, &host))
        TRY(add_host(c, list, host, port));
    if (list->n == 0)
        return FAIL(list->why, RC_CONFIG,
                    "no address to listen on; see inet_interfaces and inet_protocols");
    return RC_OK;
}

static enum rc submit_endpoint(const struct config *c, struct arena *a, struct endpoint_list *list)
{
    const struct addr none = {0};
    struct str top = arena_join(a, c->queue_directory, STR("/")), dir = c->submit_socket_directory;

    if (str_has_prefix(dir, top)) /* the working directory; a short path fits more often */
        dir = str_from(dir, top.n);
    return add(list, &none, arena_printf(a, STR_FMT "/submit", STR_ARG(dir)));
}

enum rc endpoints_of(struct master *m, const struct master_entry *e, struct endpoint *v, size_t *n,
                     struct arena *a, struct why *why)
{
    const struct config *c = m->current->config;
    const struct addr none = {0};
    struct endpoint_list list = {v, 0, why};

    if (e->type == MASTER_INET) {
        TRY(inet_endpoints(c, e, &list));
    } else {
        TRY(add(&list, &none,
                arena_printf(a, "%s/" STR_FMT, e->is_private ? "private" : "public",
                             STR_ARG(e->name))));
        if (e->type == MASTER_UNIX && str_eq(e->command, STR("pickup")) &&
            str_eq(e->name, c->pickup_service_name))
            TRY(submit_endpoint(c, a, &list));
    }
    *n = list.n;
    return RC_OK;
}

bool endpoint_equal(const struct endpoint *x, const struct endpoint *y)
{
    if (x->path.n || y->path.n)
        return str_eq(x->path, y->path);
    return addr_family(&x->addr) == addr_family(&y->addr) && addr_equal(&x->addr, &y->addr) &&
           addr_port(&x->addr) == addr_port(&y->addr);
}

static enum rc open_fifo(const char *path, int *fd, struct why *why)
{
    unlink(path);
    if (mkfifo(path, FIFO_MODE) < 0 || chmod(path, FIFO_MODE) < 0)
        return FAIL(why, RC_TEMP, "create FIFO %s: %m", path);
    *fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return *fd < 0 ? FAIL(why, RC_TEMP, "open FIFO %s: %m", path) : RC_OK;
}

static enum rc open_local(struct master *m, struct endpoint *p, enum master_type type,
                          struct why *why)
{
    int kind = type == MASTER_UNIX_DGRAM ? SOCK_DGRAM : SOCK_STREAM;
    enum rc rc;

    if (str_has_suffix(p->path, STR("/submit"))) {
        AUTO_ARENA a = arena_new(256);
        struct str dir = str_head(p->path, (size_t)str_rindex(p->path, '/'));
        const char *path = arena_text(a, dir);
        if (mkdir(path, SUBMIT_DIRECTORY_MODE) == 0)
            (void)!chmod(path, SUBMIT_DIRECTORY_MODE);
    }
    rc = type == MASTER_FIFO
             ? open_fifo(p->path.p, &p->fd, why)
             : net_listen_unix(p->path.p, kind, SOCKET_MODE, p->backlog, &p->fd, why);
    if (rc == RC_OK && !m->rootless &&
        fchownat(AT_FDCWD, p->path.p, m->owner_uid, m->owner_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return FAIL(why, RC_TEMP, "chown %s: %m", p->path.p);
    return rc;
}

enum rc endpoint_open(struct master *m, struct endpoint *p, enum master_type type, struct why *why)
{
    long window = m->current->config->tcp_windowsize;
    int on = 1, bytes = (int)window;

    p->fd = systemd_socket(m, p, type);
    if (p->fd < 0 && type != MASTER_INET)
        return open_local(m, p, type, why);
    if (p->fd < 0)
        TRY(net_listen(&p->addr, p->backlog, &p->fd, why));
    if (type == MASTER_INET) { /* accepted sockets inherit these */
        setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (window > 0) {
            setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
            setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        }
    }
    return fd_set_blocking(p->fd, false, why);
}

void endpoint_close(struct endpoint *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}
