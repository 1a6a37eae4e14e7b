#include "dns/dns.h"
#include "smtp-source/source.h"
#include "util/memory.h"

static void resolve_unix(struct source *s, struct str path)
{
    struct addr *a = s->targets = NEW(struct addr);

    if (path.n >= sizeof a->un.sun_path)
        log_fatal(&s->log, 1, STR_FMT ": path of the socket is too long", STR_ARG(path));
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, path.p, path.n);
    a->bytes = sizeof a->un;
    s->n_targets = 1;
}

void source_resolve(struct source *s, const char *where)
{
    struct arena *a = arena_new(1024); /* the addresses stay */
    struct str at = str_of(where), host = STR_NONE, port = STR_NONE;
    struct why why = {0};

    if (str_has_prefix(at, STR("unix:"))) {
        resolve_unix(s, str_from(at, 5));
        arena_free(a);
        return;
    }
    if (str_has_prefix(at, STR("inet:")))
        at = str_from(at, 5);
    if (host_port_split(at, &host, &port, &why) != RC_OK)
        log_fatal(&s->log, 1, "%s", why.text);
    if (port.n == 0)
        port = STR("25");
    if (port_of(port) == 0)
        log_fatal(&s->log, 1, "unknown port: " STR_FMT, STR_ARG(port));
    if (host.n == 0)
        host = STR("localhost");
    if (dns_native(host, s->o.family, a, &s->targets, &s->n_targets, &why) != DNS_FOUND)
        log_fatal(&s->log, 1, STR_FMT ": %s", STR_ARG(host), why.text);
    for (size_t i = 0; i < s->n_targets; i++)
        addr_set_port(&s->targets[i], port_of(port));
}
