/* socketmap: "socketmap:inet:host:port:name", "socketmap:unix:path:name"; Sendmail's protocol. */
#include "table/driver.h"
#include "table/peers.h"
#include "util/buf.h"

enum { SOCKETMAP_TIMEOUT_MS = 100 * 1000, REPLY_MAX = 100000, REQUEST_MAX = 10000 };

struct socketmap {
    struct peers *peers;
    struct str name; /* of the map, for the server */
};

struct query {
    struct str request;
    struct arena *a;
    struct str *value;
};

static enum rc socketmap_open(struct driver_open *o, struct why *why)
{
    struct socketmap *m = arena_new_of(o->arena, struct socketmap);
    ssize_t colon = str_rindex(o->name, ':');

    if (colon <= 0 ||
        (!str_has_prefix(o->name, STR("inet:")) && !str_has_prefix(o->name, STR("unix:"))) ||
        (size_t)colon + 1 == o->name.n)
        return FAIL(why, RC_CONFIG,
                    "socketmap requires server:socketmap argument: inet:host:port:name or "
                    "unix:path:name");
    m->name = str_from(o->name, (size_t)colon + 1);
    TRY(peers_new(o->arena, str_head(o->name, (size_t)colon), SOCKETMAP_TIMEOUT_MS, &m->peers,
                  why));
    o->state = m;
    return RC_OK;
}

/* "LENGTH:bytes," */
static enum rc read_netstring(struct stream *s, struct arena *a, struct str *out, struct why *why)
{
    char c, *bytes;
    size_t n = 0, digits = 0;

    for (;; digits++) {
        TRY(stream_read(s, &c, 1, why));
        if (c == ':' && digits)
            break;
        if (!is_digit(c) || (n = n * 10 + (size_t)(c - '0')) > REPLY_MAX)
            return FAIL(why, RC_PERM, "malformed or too long reply");
    }
    bytes = arena_alloc(a, n + 1);
    TRY(stream_read(s, bytes, n, why));
    TRY(stream_read(s, &c, 1, why));
    if (c != ',')
        return FAIL(why, RC_PERM, "malformed reply");
    *out = (struct str){bytes, n};
    return RC_OK;
}

static enum rc exchange(void *context, struct stream *s, struct why *why)
{
    struct query *q = context;
    struct str reply, word;

    stream_putf(s, "%zu:", q->request.n);
    stream_put(s, q->request);
    stream_put(s, STR(","));
    TRY(stream_flush(s, why) == RC_OK ? RC_OK : RC_EOF);
    TRY(read_netstring(s, q->a, &reply, why));
    word = str_cut(&reply, ' ');
    if (str_eq(word, STR("OK"))) {
        *q->value = reply;
        return RC_OK;
    }
    if (str_eq(word, STR("NOTFOUND")))
        return RC_NONE;
    if (str_eq(word, STR("TEMP")) || str_eq(word, STR("TIMEOUT")) || str_eq(word, STR("PERM")))
        return FAIL(why, RC_TEMP, "server: " STR_FMT " " STR_FMT, STR_ARG(word), STR_ARG(reply));
    return FAIL(why, RC_PERM, "unknown reply");
}

static enum rc socketmap_get(void *state, struct str key, struct arena *a, struct str *value,
                             struct why *why)
{
    const struct socketmap *m = state;
    struct query q = {.a = a, .value = value};

    q.request = arena_join(a, arena_join(a, m->name, STR(" ")), key);
    if (q.request.n > REQUEST_MAX)
        return FAIL(why, RC_TEMP, "request longer than %d bytes", REQUEST_MAX);
    return peers_ask(m->peers, exchange, &q, why);
}

const struct table_driver table_driver_socketmap = {
    .type = "socketmap",
    .flags = DRIVER_FOLDS | DRIVER_WHOLE | DRIVER_THREADS | DRIVER_UNAUTH,
    .open = socketmap_open,
    .get = socketmap_get,
};
