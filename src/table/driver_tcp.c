/* tcp: "tcp:host:port"; a line with "get KEY", a line with the answer; tcp_table(5). */
#include "table/driver.h"
#include "table/peers.h"
#include "util/buf.h"

enum { TCP_TIMEOUT_MS = 100 * 1000, TCP_REPLY_MAX = 4096 };

struct query {
    struct str key;
    struct arena *a;
    struct str *value;
};

static enum rc tcp_open(struct driver_open *o, struct why *why)
{
    struct peers *peers;

    TRY(peers_new(o->arena, o->name, TCP_TIMEOUT_MS, &peers, why));
    o->state = peers;
    return RC_OK;
}

/* What is no printing ASCII, blanks and '%' become %XX. */
static void put_encoded(struct stream *s, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c >= 0x7f || c == '%')
            stream_putf(s, "%%%02x", c);
        else
            stream_put(s, (struct str){text.p + i, 1});
    }
}

static int hex(char c)
{
    return is_digit(c)                                ? c - '0'
           : to_lower(c) >= 'a' && to_lower(c) <= 'f' ? to_lower(c) - 'a' + 10
                                                      : -1;
}

static enum rc decode(struct str text, struct arena *a, struct str *out, struct why *why)
{
    char *p = arena_alloc(a, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '%') {
            p[n++] = text.p[i];
            continue;
        }
        if (i + 2 >= text.n || hex(text.p[i + 1]) < 0 || hex(text.p[i + 2]) < 0)
            return FAIL(why, RC_PERM, "malformed %%XX in reply");
        p[n++] = (char)(hex(text.p[i + 1]) * 16 + hex(text.p[i + 2]));
        i += 2;
    }
    *out = (struct str){p, n};
    return RC_OK;
}

static enum rc exchange(void *context, struct stream *s, struct why *why)
{
    struct query *q = context;
    struct str line, text;
    bool crlf;

    stream_put(s, STR("get "));
    put_encoded(s, q->key);
    stream_put(s, STR("\n"));
    TRY(stream_flush(s, why) == RC_OK ? RC_OK : RC_EOF);
    TRY(stream_line(s, TCP_REPLY_MAX, &line, &crlf, why));
    text = str_from(line, 4);
    if (line.n < 4 || line.p[3] != ' ')
        return FAIL(why, RC_PERM, "malformed reply");
    line.n = 3;
    if (str_eq(line, STR("500")))
        return RC_NONE;
    TRY(decode(text, q->a, &text, why));
    if (str_eq(line, STR("200"))) {
        *q->value = text;
        return RC_OK;
    }
    if (str_eq(line, STR("400")))
        return FAIL(why, RC_TEMP, "server: " STR_FMT, STR_ARG(text));
    return FAIL(why, RC_PERM, "unknown reply code");
}

static enum rc tcp_get(void *state, struct str key, struct arena *a, struct str *value,
                       struct why *why)
{
    struct query q = {key, a, value};

    return peers_ask(state, exchange, &q, why);
}

const struct table_driver table_driver_tcp = {
    .type = "tcp",
    .flags = DRIVER_FOLDS | DRIVER_WHOLE | DRIVER_THREADS | DRIVER_UNAUTH,
    .open = tcp_open,
    .get = tcp_get,
};
