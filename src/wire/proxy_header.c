#include "wire/proxy_header.h"

enum { LINE_MAX_V1 = 105, SIGNATURE_V2 = 12, REST_MAX_V2 = 2048 };

static const unsigned char signature[SIGNATURE_V2] = "\r\n\r\n\0\r\nQUIT\n";

static enum rc malformed(struct why *why)
{
    return FAIL(why, RC_PERM, "malformed proxy header");
}

static bool take_address(struct str text, struct str port_text, bool v6, struct addr *out)
{
    long port;

    return str_is_digits(port_text) && str_to_long(port_text, 0, 65535, &port) &&
           (str_index(text, ':') >= 0) == v6 &&
           addr_parse(text, (unsigned)port, out, NULL) == RC_OK;
}

/* "PROXY TCP4 client server clientport serverport" or "PROXY UNKNOWN ..." */
static enum rc read_v1(struct stream *s, struct proxy_header *out, struct why *why)
{
    struct proxy_header h = {0};
    struct str line, kind, client, server;
    bool crlf, v6;

    TRY(stream_line(s, LINE_MAX_V1, &line, &crlf, why));
    if (!crlf || !str_eq(str_cut(&line, ' '), STR("PROXY")))
        return malformed(why);
    kind = str_cut(&line, ' ');
    h.is_local = str_eq(kind, STR("UNKNOWN"));
    v6 = str_eq(kind, STR("TCP6"));
    if (!h.is_local) {
        struct str port;
        client = str_cut(&line, ' ');
        server = str_cut(&line, ' ');
        port = str_cut(&line, ' ');
        if ((!v6 && !str_eq(kind, STR("TCP4"))) || line.p == NULL ||
            !take_address(client, port, v6, &h.client) ||
            !take_address(server, line, v6, &h.server))
            return malformed(why);
    }
    *out = h;
    return RC_OK;
}

static void set_v4(struct addr *a, const unsigned char *address, const unsigned char *port)
{
    *a = (struct addr){.bytes = sizeof a->in};
    a->in.sin_family = AF_INET;
    memcpy(&a->in.sin_addr, address, 4);
    memcpy(&a->in.sin_port, port, 2);
}

static void set_v6(struct addr *a, const unsigned char *address, const unsigned char *port)
{
    *a = (struct addr){.bytes = sizeof a->in6};
    a->in6.sin6_family = AF_INET6;
    memcpy(&a->in6.sin6_addr, address, 16);
    memcpy(&a->in6.sin6_port, port, 2);
    addr_unmap(a);
}

static enum rc skip(struct stream *s, size_t n, struct why *why)
{
    char bytes[64];

    while (n) {
        size_t part = n < sizeof bytes ? n : sizeof bytes;
        TRY(stream_read(s, bytes, part, why));
        n -= part;
    }
    return RC_OK;
}

/* Signature, version and command, family, length, addresses, and extensions that are skipped. */
static enum rc read_v2(struct stream *s, struct proxy_header *out, struct why *why)
{
    unsigned char head[SIGNATURE_V2 + 4], addresses[36];
    struct proxy_header h = {0};
    size_t rest, used = 0;

    TRY(stream_read(s, head, sizeof head, why));
    rest = (size_t)head[14] << 8 | head[15];
    if (memcmp(head, signature, SIGNATURE_V2) != 0 || head[12] >> 4 != 2 || (head[12] & 15) > 1 ||
        rest > REST_MAX_V2)
        return malformed(why);
    h.is_local = (head[12] & 15) == 0;
    if (!h.is_local) {
        used = head[13] == 0x11 ? 12 : head[13] == 0x21 ? 36 : 0; /* TCP over IPv4, IPv6 */
        if (used == 0 || rest < used)
            return malformed(why);
        TRY(stream_read(s, addresses, used, why));
    }
    TRY(skip(s, rest - used, why));
    if (used == 12) {
        set_v4(&h.client, addresses, addresses + 8);
        set_v4(&h.server, addresses + 4, addresses + 10);
    } else if (used == 36) {
        set_v6(&h.client, addresses, addresses + 32);
        set_v6(&h.server, addresses + 16, addresses + 34);
    }
    *out = h;
    return RC_OK;
}

enum rc proxy_header_read(struct stream *s, struct proxy_header *out, struct why *why)
{
    struct str bytes;

    TRY(stream_fill(s, &bytes, why));
    return bytes.p[0] == '\r' ? read_v2(s, out, why) : read_v1(s, out, why);
}
