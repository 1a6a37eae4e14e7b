#include "dns/transport.h"

#include <errno.h>
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/file.h"
#include "util/stream.h"

struct question {
    unsigned char bytes[DNS_QUERY_MAX];
    size_t n;
    unsigned id;
    struct str name;
    int type;
};

static bool is_answer_to(const struct question *q, const struct dns_message *m)
{
    return m->response && m->id == q->id && m->question_type == q->type &&
           str_eq_nocase(m->question, q->name);
}

static enum rc ask_udp(const struct addr *server, const struct question *q, long timeout_ms,
                       struct arena *a, struct dns_message *reply, struct str *bytes,
                       struct why *why)
{
    AUTO_CLOSE int fd = socket(server->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    long deadline = clock_ms() + timeout_ms;
    char buffer[4096];

    if (fd < 0 || connect(fd, &server->sa, server->bytes) < 0 || send(fd, q->bytes, q->n, 0) < 0)
        return FAIL(why, RC_TEMP, "%m");
    for (;;) {
        long left = deadline - clock_ms();
        ssize_t got;
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (ready == 0)
            return FAIL(why, RC_TIMEOUT, "no answer within %ld ms", timeout_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && errno != EAGAIN)
            return FAIL(why, RC_TEMP, "%m");
        if (got <= 0)
            continue;
        /* what does not belong to the question is not for us: go on waiting */
        *bytes = arena_copy(a, (struct str){buffer, (size_t)got});
        if (dns_message_parse(*bytes, a, reply, why) == RC_OK && is_answer_to(q, reply))
            return RC_OK;
        if (got >= 12 && (unsigned char)buffer[0] == q->id >> 8 &&
            (unsigned char)buffer[1] == (q->id & 0xff) && why->rc == RC_PERM)
            return RC_PERM; /* ours by its number, and malformed */
    }
}

static enum rc ask_tcp(const struct addr *server, const struct question *q, long timeout_ms,
                       struct arena *a, struct dns_message *reply, struct str *bytes,
                       struct why *why)
{
    unsigned char head[2] = {(unsigned char)(q->n >> 8), (unsigned char)q->n};
    struct stream s;
    enum rc rc;
    char *text;
    size_t n;
    int fd;

    TRY(net_connect(server, NULL, timeout_ms, &fd, why));
    stream_init(&s, fd, timeout_ms);
    stream_put(&s, (struct str){(char *)head, 2});
    stream_put(&s, (struct str){(const char *)q->bytes, q->n});
    rc = stream_read(&s, head, 2, why);
    if (rc == RC_OK) {
        n = (size_t)head[0] << 8 | head[1];
        text = arena_alloc(a, n + 1);
        rc = stream_read(&s, text, n, why);
        *bytes = (struct str){text, n};
    }
    stream_done(&s);
    if (rc == RC_OK)
        rc = dns_message_parse(*bytes, a, reply, why);
    if (rc == RC_OK && !is_answer_to(q, reply))
        rc = FAIL(why, RC_TEMP, "answer to another question");
    return rc;
}

static enum rc ask_one(const struct addr *server, struct question *q, bool dnssec, long timeout_ms,
                       struct arena *a, struct dns_message *reply, struct str *bytes,
                       struct why *why)
{
    for (int edns = 1; edns >= 0; edns--) {
        enum rc rc;
        unsigned char id[2];
        if (getrandom(id, sizeof id, 0) != sizeof id)
            return FAIL(why, RC_TEMP, "getrandom: %m");
        q->id = (unsigned)id[0] << 8 | id[1];
        q->n = dns_query_make(q->bytes, q->id, q->name, q->type, edns, dnssec);
        if (q->n == 0)
            return FAIL(why, RC_PERM, "name too long for DNS");
        rc = ask_udp(server, q, timeout_ms, a, reply, bytes, why);
        if (rc == RC_OK && reply->truncated)
            rc = ask_tcp(server, q, timeout_ms, a, reply, bytes, why);
        if (rc != RC_OK)
            return rc;
        /* servers older than EDNS do not understand the question */
        if (reply->rcode != RCODE_FORMERR && reply->rcode != RCODE_NOTIMP)
            break;
    }
    if (reply->rcode == RCODE_OK || reply->rcode == RCODE_NXDOMAIN)
        return RC_OK;
    return FAIL(why, RC_TEMP, "server failure (code %u)", reply->rcode);
}

enum rc name_servers_ask(const struct name_servers *servers, struct str name, int type, bool dnssec,
                         struct arena *a, struct dns_message *reply, struct str *bytes,
                         struct why *why)
{
    struct question q = {.name = name, .type = type};
    enum rc rc = RC_TEMP;

    for (int attempt = 0; attempt < servers->attempts; attempt++) {
        for (size_t i = 0; i < servers->n; i++) {
            rc = ask_one(&servers->at[i], &q, dnssec, servers->timeout_ms, a, reply, bytes, why);
            if (rc == RC_OK)
                return RC_OK;
        }
        if (rc == RC_PERM)
            return RC_PERM; /* malformed from all of them: it will stay so */
    }
    return RC_TEMP;
}
