#include "policy/policy.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns/dns.h"
#include "util/clock.h"
#include "util/memory.h"
#include "util/net.h"
#include "util/stream.h"

enum { REPLY_LINE_MAX = 4096, REPLY_LINES_MAX = 100, KEPT_MAX = 20 };

struct connection {
    struct stream stream;
    long born_ms, used_ms;
    long requests;
    struct connection *next;
};

struct policy_server {
    struct policy_options options;
    struct arena *arena;
    bool is_unix;
    struct str host, port, path;
    pthread_mutex_t lock;
    struct connection *kept; /* lock; latest first */
};

static enum rc parse_endpoint(struct policy_server *s, struct why *why)
{
    struct str text = s->options.endpoint;

    if (str_has_prefix_nocase(text, STR("unix:"))) {
        struct str path = str_from(text, 5);
        s->is_unix = true;
        s->path = path.n && path.p[0] != '/'
                      ? arena_printf(s->arena, STR_FMT "/" STR_FMT, STR_ARG(s->options.directory),
                                     STR_ARG(path))
                      : path;
        return path.n ? RC_OK
                      : FAIL(why, RC_CONFIG, "policy server \"" STR_FMT "\" has no path",
                             STR_ARG(text));
    }
    if (str_has_prefix_nocase(text, STR("inet:")))
        text = str_from(text, 5);
    TRY(host_port_split(text, &s->host, &s->port, why));
    if (s->port.n == 0) /* a port alone means this host */
        s->port = s->host, s->host = STR("127.0.0.1");
    if (s->host.n == 0)
        s->host = STR("127.0.0.1");
    if (port_of(s->port) == 0)
        return FAIL(why, RC_CONFIG,
                    "policy server \"" STR_FMT "\": write inet:host:port or unix:path",
                    STR_ARG(s->options.endpoint));
    return RC_OK;
}

enum rc policy_server_new(const struct policy_options *o, struct policy_server **out,
                          struct why *why)
{
    struct arena *a = arena_new(1024);
    struct policy_server *s = arena_new_of(a, struct policy_server);
    enum rc rc;

    s->arena = a;
    s->options = *o;
    s->options.endpoint = arena_copy(a, o->endpoint);
    s->options.directory = arena_copy(a, o->directory);
    pthread_mutex_init(&s->lock, NULL);
    rc = parse_endpoint(s, why);
    if (rc == RC_OK)
        *out = s;
    else
        policy_server_free(s);
    return rc;
}

static void connection_free(struct connection *c)
{
    stream_done(&c->stream);
    free(c);
}

void policy_server_free(struct policy_server *s)
{
    while (s->kept) {
        struct connection *next = s->kept->next;
        connection_free(s->kept);
        s->kept = next;
    }
    pthread_mutex_destroy(&s->lock);
    arena_free(s->arena);
}

void policy_attribute(struct buf *request, const char *name, struct str value)
{
    buf_addf(request, "%s=", name);
    for (size_t i = 0; i < value.n; i++)
        buf_addc(request,
                 value.p[i] == '\n' || value.p[i] == '\r' || value.p[i] == '\0' ? ' ' : value.p[i]);
    buf_addc(request, '\n');
}

void policy_attribute_number(struct buf *request, const char *name, long value)
{
    buf_addf(request, "%s=%ld\n", name, value);
}

static bool is_usable(const struct policy_server *s, const struct connection *c, long now)
{
    const struct policy_options *o = &s->options;

    return now - c->used_ms < o->max_idle_s * 1000 && now - c->born_ms < o->max_ttl_s * 1000 &&
           (o->request_limit == 0 || c->requests < o->request_limit);
}

static struct connection *take_kept(struct policy_server *s)
{
    struct connection *c;

    pthread_mutex_lock(&s->lock);
    while ((c = s->kept)) {
        s->kept = c->next;
        if (is_usable(s, c, clock_ms()))
            break;
        connection_free(c);
    }
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void give_back(struct policy_server *s, struct connection *c)
{
    size_t n = 0;

    c->used_ms = clock_ms();
    pthread_mutex_lock(&s->lock);
    c->next = s->kept;
    s->kept = c;
    while (c->next && ++n < KEPT_MAX)
        c = c->next;
    if (c->next) { /* the one that was idle longest */
        connection_free(c->next);
        c->next = NULL;
    }
    pthread_mutex_unlock(&s->lock);
}

/* Each address of the host in turn. */
static enum rc connect_inet(struct policy_server *s, struct arena *a, int *fd, struct why *why)
{
    struct addr *addresses = NULL;
    enum rc rc = RC_TEMP;
    size_t n = 0;

    if (dns_native(s->host, AF_UNSPEC, a, &addresses, &n, why) != DNS_FOUND)
        return RC_TEMP;
    for (size_t i = 0; i < n && rc != RC_OK; i++) {
        addr_set_port(&addresses[i], port_of(s->port));
        rc = net_connect(&addresses[i], NULL, s->options.timeout_s * 1000, fd, why);
    }
    return rc;
}

static enum rc connect_new(struct policy_server *s, struct arena *a, struct connection **out,
                           struct why *why)
{
    struct connection *c;
    int fd = -1;

    if (s->is_unix)
        TRY(net_connect_unix(s->path.p, SOCK_STREAM, s->options.timeout_s * 1000, &fd, why));
    else
        TRY(connect_inet(s, a, &fd, why));
    c = NEW(struct connection);
    stream_init(&c->stream, fd, s->options.timeout_s * 1000);
    c->born_ms = clock_ms();
    *out = c;
    return RC_OK;
}

static enum rc exchange(struct connection *c, struct str request, struct arena *a,
                        struct str *action, struct why *why)
{
    struct str found = STR_NONE, line;

    stream_put(&c->stream, request);
    stream_put(&c->stream, STR("\n"));
    for (int i = 0; i < REPLY_LINES_MAX; i++) {
        enum rc rc = stream_line(&c->stream, REPLY_LINE_MAX, &line, NULL, why);
        if (rc != RC_OK)
            return rc;
        if (line.n == 0)
            break;
        if (str_has_prefix(line, STR("action=")) && found.p == NULL)
            found = arena_copy(a, str_from(line, 7));
    }
    if (found.p == NULL)
        return FAIL(why, RC_PERM, "the answer has no action");
    *action = found;
    c->requests++;
    return RC_OK;
}

static enum rc try_once(struct policy_server *s, struct connection *c, struct str request,
                        struct arena *a, struct str *action, struct why *why)
{
    enum rc rc = exchange(c, request, a, action, why);

    if (rc == RC_OK)
        give_back(s, c);
    else
        connection_free(c);
    return rc;
}

enum rc policy_ask(struct policy_server *s, struct str request, struct arena *a, struct str *action,
                   struct why *why)
{
    struct connection *c;
    enum rc rc = RC_TEMP;

    while ((c = take_kept(s)))
        if (try_once(s, c, request, a, action, why) == RC_OK)
            return RC_OK;
    for (long i = 0; i < s->options.try_limit; i++) {
        if (i)
            sleep((unsigned)s->options.retry_delay_s);
        rc = connect_new(s, a, &c, why);
        if (rc == RC_OK)
            rc = try_once(s, c, request, a, action, why);
        if (rc == RC_OK)
            return RC_OK;
    }
    why_prefix(why, "policy server " STR_FMT, STR_ARG(s->options.endpoint));
    return RC_TEMP;
}
