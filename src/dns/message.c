#include "dns/message.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { CLASS_IN = 1, TYPE_OPT = 41, NAME_TEXT_MAX = 1024, ALIASES_MAX = 16 };

struct reader {
    const unsigned char *p;
    size_t n, at;
    bool bad; /* sticky: something lay outside */
};

static unsigned take(struct reader *r, size_t bytes)
{
    unsigned v = 0;

    if (r->bad || r->n - r->at < bytes) {
        r->bad = true;
        return 0;
    }
    while (bytes--)
        v = v << 8 | r->p[r->at++];
    return v;
}

static size_t label_text(const unsigned char *label, size_t n, char *to, size_t room)
{
    size_t used = 0;

    for (size_t i = 0; i < n && room - used > 5; i++) {
        unsigned char c = label[i];
        if (c <= ' ' || c >= 127 || c == '.' || c == '\\')
            used += (size_t)snprintf(to + used, room - used, "\\%03u", c);
        else
            to[used++] = to_lower((char)c);
    }
    return used;
}

/* A name, possibly compressed (RFC 1035 4.1.4). Pointers only lead backwards, so it ends. */
static struct str take_name(struct reader *r, struct arena *a)
{
    char text[NAME_TEXT_MAX];
    size_t n = 0, at = r->at, lowest = r->at, after = 0;

    while (!r->bad) {
        unsigned length;
        if (at >= r->n)
            break;
        length = r->p[at];
        if (length == 0) {
            r->at = after ? after : at + 1;
            return arena_copy(a, (struct str){text, n});
        }
        if (length >= 0xc0) {
            if (at + 1 >= r->n)
                break;
            if (after == 0)
                after = at + 2;
            at = (length & 0x3f) << 8 | r->p[at + 1];
            if (at >= lowest)
                break;
            lowest = at;
            continue;
        }
        if (length > 63 || at + 1 + length > r->n || n + 4 * length + 8 > sizeof text)
            break;
        if (n)
            text[n++] = '.';
        n += label_text(r->p + at + 1, length, text + n, sizeof text - n);
        at += 1 + length;
    }
    r->bad = true;
    return STR("");
}

/* Character strings of TXT, joined. */
static struct str take_strings(struct reader *r, size_t end, struct arena *a)
{
    char *text = arena_alloc(a, end - r->at + 1);
    size_t n = 0;

    while (r->at < end && !r->bad) {
        size_t length = take(r, 1);
        if (r->at + length > end) {
            r->bad = true;
            break;
        }
        memcpy(text + n, r->p + r->at, length);
        n += length;
        r->at += length;
    }
    return (struct str){text, n};
}

static struct str hex_text(struct str raw, struct arena *a)
{
    char *text = arena_alloc(a, raw.n * 2 + 1);

    for (size_t i = 0; i < raw.n; i++)
        snprintf(text + 2 * i, 3, "%02X", (unsigned char)raw.p[i]);
    return (struct str){text, raw.n * 2};
}

static void take_address(struct reader *r, struct dns_record *out, size_t bytes, struct arena *a)
{
    char text[ADDR_TEXT_SIZE];

    if (bytes == 4) {
        out->address.in.sin_family = AF_INET;
        memcpy(&out->address.in.sin_addr, r->p + r->at, 4);
        out->address.bytes = sizeof out->address.in;
    } else {
        out->address.in6.sin6_family = AF_INET6;
        memcpy(&out->address.in6.sin6_addr, r->p + r->at, 16);
        out->address.bytes = sizeof out->address.in6;
        addr_unmap(&out->address);
    }
    addr_format(&out->address, text);
    out->data = arena_copy(a, str_of(text));
    r->at += bytes;
}

/* The data of one record, of length bytes. False: malformed, or a target that is no host name. */
static bool take_data(struct reader *r, size_t length, struct dns_record *out, struct arena *a)
{
    size_t end = r->at + length;
    bool host = false;

    switch (out->type) {
    case DNS_A:
    case DNS_AAAA:
        if (length != (out->type == DNS_A ? 4 : 16))
            return false;
        take_address(r, out, length, a);
        break;
    case DNS_MX:
        out->preference = (int)take(r, 2);
        out->data = take_name(r, a);
        host = true;
        break;
    case DNS_SRV:
        out->preference = (int)take(r, 2);
        out->weight = (int)take(r, 2);
        out->port = (int)take(r, 2);
        out->data = take_name(r, a);
        host = true;
        break;
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR:
        out->data = take_name(r, a);
        host = true;
        break;
    case DNS_TXT: out->data = take_strings(r, end, a); break;
    case DNS_SOA: {
        struct str primary = take_name(r, a), contact = take_name(r, a);
        unsigned long v[5];
        for (int i = 0; i < 5; i++)
            v[i] = take(r, 4);
        out->data = arena_printf(a, STR_FMT " " STR_FMT " %lu %lu %lu %lu %lu", STR_ARG(primary),
                                 STR_ARG(contact), v[0], v[1], v[2], v[3], v[4]);
        out->weight = v[4] > 0x7fffffff ? 0 : (int)v[4]; /* minimum: life of negative answers */
        break;
    }
    default:
        out->data = hex_text(out->raw, a);
        r->at = end;
        break;
    }
    if (r->bad || r->at != end)
        return false;
    /* the root as target says "none" (RFC 7505, RFC 2782) */
    return !host || out->data.n == 0 || dns_name_is_valid(out->data);
}

/* One record of any section; false when the message ends inside of it. *good: out holds it. */
static bool take_record(struct reader *r, struct arena *a, struct dns_record *out, bool *good)
{
    struct dns_record record = {.name = take_name(r, a)};
    struct reader data;
    size_t length, class;

    record.type = (int)take(r, 2);
    class = take(r, 2);
    record.ttl = take(r, 4);
    if (record.ttl > 0x7fffffff)
        record.ttl = 0; /* RFC 2181 8 */
    length = take(r, 2);
    if (r->bad || r->n - r->at < length)
        return false;
    record.raw = arena_copy(a, (struct str){(const char *)r->p + r->at, length});
    data = *r;
    r->at += length;
    *good = class == CLASS_IN && take_data(&data, length, &record, a);
    *out = record;
    return true;
}

static enum rc take_question(struct reader *r, struct arena *a, struct dns_message *m,
                             struct why *why)
{
    m->question = take_name(r, a);
    m->question_type = (int)take(r, 2);
    take(r, 2);
    return r->bad ? FAIL(why, RC_PERM, "malformed question in DNS message") : RC_OK;
}

enum rc dns_message_parse(struct str bytes, struct arena *a, struct dns_message *out,
                          struct why *why)
{
    struct reader r = {(const unsigned char *)bytes.p, bytes.n, 0, false};
    struct dns_message m = {0};
    unsigned flags, questions, answers, authorities;
    struct dns_record record;
    bool good = false;

    m.id = take(&r, 2);
    flags = take(&r, 2);
    questions = take(&r, 2);
    answers = take(&r, 2);
    authorities = take(&r, 2);
    take(&r, 2);
    if (r.bad)
        return FAIL(why, RC_PERM, "DNS message shorter than its head");
    m.response = flags & 0x8000;
    m.truncated = flags & 0x0200;
    m.authenticated = flags & 0x0020;
    m.rcode = flags & 15;
    if (questions != 1)
        return FAIL(why, RC_PERM, "DNS message with %u questions", questions);
    TRY(take_question(&r, a, &m, why));
    m.records = arena_array(a, struct dns_record,
                            answers < DNS_RECORDS_MAX ? answers + 1 : DNS_RECORDS_MAX + 1);
    for (unsigned i = 0; i < answers; i++) {
        if (!take_record(&r, a, &record, &good)) {
            if (m.truncated)
                break;
            return FAIL(why, RC_PERM, "DNS message ends inside a record");
        }
        record.authenticated = m.authenticated;
        if (!good)
            m.n_malformed++;
        else if (m.n < DNS_RECORDS_MAX)
            m.records[m.n++] = record;
    }
    for (unsigned i = 0; i < authorities && take_record(&r, a, &record, &good); i++)
        if (good && record.type == DNS_SOA)
            m.negative_ttl = record.weight < record.ttl ? record.weight : record.ttl;
    *out = m;
    return RC_OK;
}

static bool put_name(unsigned char *out, size_t *at, struct str name)
{
    struct str rest = name;

    while (rest.n) {
        struct str label = str_cut(&rest, '.');
        if (label.n == 0 || label.n > 63 || *at + label.n + 2 > 12 + 255)
            return false;
        out[(*at)++] = (unsigned char)label.n;
        memcpy(out + *at, label.p, label.n);
        *at += label.n;
    }
    out[(*at)++] = 0;
    return true;
}

static void put16(unsigned char *out, size_t *at, unsigned v)
{
    out[(*at)++] = (unsigned char)(v >> 8);
    out[(*at)++] = (unsigned char)v;
}

size_t dns_query_make(unsigned char out[DNS_QUERY_MAX], unsigned id, struct str name, int type,
                      bool edns, bool dnssec)
{
    size_t at = 0;

    put16(out, &at, id);
    put16(out, &at, 0x0100 | (dnssec ? 0x0020 : 0)); /* recursion desired, AD */
    put16(out, &at, 1);
    put16(out, &at, 0);
    put16(out, &at, 0);
    put16(out, &at, edns);
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (!put_name(out, &at, name))
        return 0;
    put16(out, &at, (unsigned)type);
    put16(out, &at, CLASS_IN);
    if (edns) {
        out[at++] = 0;
        put16(out, &at, TYPE_OPT);
        put16(out, &at, DNS_UDP_SIZE);
        put16(out, &at, 0);
        put16(out, &at, dnssec ? 0x8000 : 0);
        put16(out, &at, 0);
    }
    return at;
}

static const struct dns_record *find_alias(const struct dns_message *m, struct str name)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->records[i].type == DNS_CNAME && str_eq_nocase(m->records[i].name, name))
            return &m->records[i];
    return NULL;
}

static void lower_ttl(long *ttl, long seconds)
{
    if (*ttl < 0 || seconds < *ttl)
        *ttl = seconds;
}

enum dns_status dns_message_answer(const struct dns_message *m, struct str name, int type,
                                   struct arena *a, struct dns_answer *answer, struct str *next,
                                   long *ttl)
{
    struct dns_answer out = {.authenticated = m->authenticated};
    const struct dns_record *alias;

    *next = STR("");
    *ttl = -1;
    for (int i = 0; type != DNS_CNAME && i < ALIASES_MAX && (alias = find_alias(m, name)); i++) {
        name = out.cname = alias->data;
        lower_ttl(ttl, alias->ttl);
    }
    out.records = arena_array(a, struct dns_record, m->n + 1);
    for (size_t i = 0; i < m->n; i++) {
        if (m->records[i].type != type || !str_eq_nocase(m->records[i].name, name))
            continue;
        out.records[out.n++] = m->records[i];
        lower_ttl(ttl, m->records[i].ttl);
    }
    if (out.n == 1 && type == DNS_MX && out.records[0].data.n == 0)
        out.status = out.records[0].preference == 0 ? DNS_NULL_MX : DNS_INVALID;
    else if (out.n)
        out.status = DNS_FOUND;
    else if (m->n_malformed)
        out.status = DNS_INVALID;
    else if (m->rcode == RCODE_NXDOMAIN)
        out.status = DNS_NXDOMAIN;
    else if (m->rcode != RCODE_OK)
        out.status = DNS_RETRY;
    else
        out.status = DNS_NODATA;
    if (out.status == DNS_NODATA && out.cname.n && m->negative_ttl == 0)
        *next = out.cname;
    if (out.n == 0)
        lower_ttl(ttl, m->negative_ttl);
    if (*ttl < 0)
        *ttl = 0;
    *answer = out;
    return out.status;
}
