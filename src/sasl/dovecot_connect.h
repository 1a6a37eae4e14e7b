/*
 * A connection to Dovecot's authentication server: where it is, and what it says of itself before
 * the first request.
 */
#pragma once

#include "util/arena.h"
#include "util/stream.h"

enum { DOVECOT_CONNECT_MS = 5000, DOVECOT_LINE_MAX = 64 * 1024 };

struct dovecot_endpoint { /* views of text */
    struct str text;
    bool is_unix;
    struct str host, port, path;
};

struct dovecot_mechanism {
    struct str name;
    unsigned lacks; /* enum login_security that it must not be used with */
};

struct dovecot_mechanisms {
    struct arena *arena;
    VEC(struct dovecot_mechanism) list;
};

/* "inet:host:port", "unix:path" or "path". */
enum rc dovecot_endpoint_parse(struct str text, struct dovecot_endpoint *out,
                               struct why *why) MUST_USE;

/* Connect and shake hands. m->arena: made here, the caller's when RC_OK. Trouble is RC_TEMP. */
enum rc dovecot_connect(const struct dovecot_endpoint *e, long timeout_ms, struct stream *s,
                        struct dovecot_mechanisms *m, struct why *why) MUST_USE;
