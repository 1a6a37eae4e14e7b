#include <grp.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "dns/dns.h"
#include "smtp-sink/sink.h"

static void add_listener(struct sink *s, int fd)
{
    int window = (int)s->o.window;

    if (window)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    s->listeners[s->n_listeners++] = fd;
}

static void open_inet(struct sink *s, struct str where, int backlog)
{
    AUTO_ARENA a = arena_new(1024);
    struct str host = STR_NONE, port = STR_NONE;
    struct addr *all = NULL;
    struct why why = {0};
    size_t n = 0;

    if (host_port_split(where, &host, &port, &why) != RC_OK)
        log_fatal(&s->log, 1, "%s", why.text);
    if (port_of(port) == 0)
        log_fatal(&s->log, 1, "bad or missing port in \"" STR_FMT "\"", STR_ARG(where));
    if (host.n == 0) {
        all = arena_array(a, struct addr, 2);
        if (s->o.family != AF_INET && addr_parse(STR("::"), 0, &all[n], &why) == RC_OK)
            n++;
        if (s->o.family != AF_INET6 && addr_parse(STR("0.0.0.0"), 0, &all[n], &why) == RC_OK)
            n++;
    } else if (dns_native(host, s->o.family, a, &all, &n, &why) != DNS_FOUND)
        log_fatal(&s->log, 1, STR_FMT ": %s", STR_ARG(host), why.text);
    for (size_t i = 0; i < n && s->n_listeners < sizeof s->listeners / sizeof *s->listeners; i++) {
        int fd;
        addr_set_port(&all[i], port_of(port));
        if (net_listen(&all[i], backlog, &fd, &why) == RC_OK)
            add_listener(s, fd);
    }
    if (s->n_listeners == 0) /* an address family that this machine has not is no reason to end */
        log_fatal(&s->log, 1, "%s", why.text);
}

static void drop_rights(struct sink *s)
{
    const struct passwd *user = NULL;

    if (s->o.user && (user = getpwnam(s->o.user)) == NULL)
        log_fatal(&s->log, 1, "unknown user: %s", s->o.user);
    if (s->o.root && (chroot(s->o.root) < 0 || chdir("/") < 0))
        log_fatal(&s->log, 1, "chroot %s: %m", s->o.root);
    if (user && getuid() == 0 &&
        (setgroups(1, &user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
        log_fatal(&s->log, 1, "become %s: %m", s->o.user);
}

void sink_open(struct sink *s, const char *where, long backlog)
{
    struct str at = str_of(where);
    struct why why = {0};
    int fd;

    if (str_has_prefix(at, STR("unix:"))) {
        if (net_listen_unix(where + 5, SOCK_STREAM, 0666, (int)backlog, &fd, &why) != RC_OK)
            log_fatal(&s->log, 1, "%s", why.text);
        add_listener(s, fd);
    } else
        open_inet(s, str_has_prefix(at, STR("inet:")) ? str_from(at, 5) : at, (int)backlog);
    drop_rights(s);
}

static int take(int listener, struct addr *from)
{
    int on = 1, fd;

    *from = (struct addr){.bytes = sizeof from->un};
    fd = accept4(listener, &from->sa, &from->bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && from->sa.sa_family != AF_UNIX) {
        addr_unmap(from);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

static void connected(struct sink *s, int listener)
{
    struct addr from;
    int fd;

    while (s->listening && (fd = take(listener, &from)) >= 0)
        client_new(s, fd, &from);
}

static void ready(void *context, int events)
{
    struct sink *s = context;

    (void)events;
    for (size_t i = 0; i < s->n_listeners; i++)
        connected(s, s->listeners[i]);
}

void sink_listen(struct sink *s, bool on)
{
    s->listening = on;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (on)
            loop_watch(s->loop, s->listeners[i], LOOP_READ, ready, s);
        else
            loop_unwatch(s->loop, s->listeners[i]);
}

void sink_show(const struct sink *s)
{
    if (!s->o.counters)
        return;
    printf("sess=%ld quit=%ld mesg=%ld\r", s->sessions, s->quits, s->messages);
    fflush(stdout);
}
