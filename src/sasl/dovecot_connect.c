#include "sasl/dovecot_connect.h"

#include <sys/socket.h>
#include <unistd.h>

#include "dns/dns.h"
#include "sasl/dovecot_line.h"
#include "util/net.h"

enum { HANDSHAKE_LINES = 200, VERSION_MAJOR_KNOWN = 1 };

enum rc dovecot_endpoint_parse(struct str text, struct dovecot_endpoint *e, struct why *why)
{
    *e = (struct dovecot_endpoint){.text = text};
    e->is_unix = !str_has_prefix_nocase(text, STR("inet:"));
    if (e->is_unix) {
        e->path = str_has_prefix_nocase(text, STR("unix:")) ? str_from(text, 5) : text;
        return e->path.n ? RC_OK : FAIL(why, RC_CONFIG, "smtpd_sasl_path names no socket");
    }
    TRY(host_port_split(str_from(text, 5), &e->host, &e->port, why));
    if (e->port.n == 0)
        e->port = e->host, e->host = STR("127.0.0.1");
    if (e->host.n == 0)
        e->host = STR("127.0.0.1");
    if (port_of(e->port) == 0)
        return FAIL(why, RC_CONFIG,
                    "smtpd_sasl_path = " STR_FMT ": write inet:host:port, unix:path or path",
                    STR_ARG(text));
    return RC_OK;
}

static enum rc open_socket(const struct dovecot_endpoint *e, struct arena *a, int *fd,
                           struct why *why)
{
    struct addr *addresses = NULL;
    enum rc rc = RC_TEMP;
    size_t n = 0;

    if (e->is_unix)
        return net_connect_unix(arena_text(a, e->path), SOCK_STREAM, DOVECOT_CONNECT_MS, fd, why);
    if (dns_native(e->host, AF_UNSPEC, a, &addresses, &n, why) != DNS_FOUND)
        return RC_TEMP;
    for (size_t i = 0; i < n && rc != RC_OK; i++) {
        addr_set_port(&addresses[i], port_of(e->port));
        rc = net_connect(&addresses[i], NULL, DOVECOT_CONNECT_MS, fd, why);
    }
    return rc;
}

/* Each side says who it is; the server what it can do. */
static enum rc handshake(struct stream *s, struct dovecot_mechanisms *m, struct why *why)
{
    struct str text;
    struct dovecot_line line;

    stream_putf(s, "VERSION\t%d\t1\nCPID\t%ld\n", VERSION_MAJOR_KNOWN, (long)getpid());
    for (int i = 0; i < HANDSHAKE_LINES; i++) {
        TRY(stream_line(s, DOVECOT_LINE_MAX, &text, NULL, why));
        TRY(dovecot_line_parse(text, m->arena, &line, why));
        if (line.word == DOVECOT_DONE)
            return RC_OK;
        if (line.word == DOVECOT_VERSION && line.major != VERSION_MAJOR_KNOWN)
            return FAIL(why, RC_TEMP, "it speaks version %lu of the protocol, not %d", line.major,
                        VERSION_MAJOR_KNOWN);
        if (line.word == DOVECOT_MECH && !line.is_private) {
            struct dovecot_mechanism found = {arena_copy(m->arena, line.name), line.lacks};
            vec_add(m->arena, &m->list, found);
        }
    }
    return FAIL(why, RC_TEMP, "no end of its introduction");
}

enum rc dovecot_connect(const struct dovecot_endpoint *e, long timeout_ms, struct stream *s,
                        struct dovecot_mechanisms *m, struct why *why)
{
    enum rc rc;
    int fd = -1;

    m->arena = arena_new(2048);
    rc = open_socket(e, m->arena, &fd, why);
    if (rc == RC_OK) {
        stream_init(s, fd, timeout_ms < DOVECOT_CONNECT_MS ? timeout_ms : DOVECOT_CONNECT_MS);
        rc = handshake(s, m, why);
        s->timeout_ms = timeout_ms;
        if (rc != RC_OK)
            stream_done(s);
    }
    if (rc == RC_OK)
        return RC_OK;
    arena_free(m->arena);
    why_prefix(why, "authentication server " STR_FMT, STR_ARG(e->text));
    return RC_TEMP;
}
