#include "smtp/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "deliver/notice.h"
#include "smtp/auth.h"
#include "smtp/greet.h"
#include "smtp/protect.h"
#include "smtp/reports.h"
#include "util/clock.h"
#include "util/memory.h"

void session_limit(struct session *s, long seconds, size_t bytes)
{
    const struct smtp_settings *set = &s->smtp->set;

    s->wire.stream.timeout_ms = seconds * 1000;
    s->wire.stream.deadline_ms = 0;
    if (set->per_request_deadline)
        s->wire.stream.deadline_ms =
            clock_ms() + seconds * 1000 + (long)(bytes / (size_t)set->min_data_rate) * 1000;
}

static void warn_of(struct session *s, struct str line)
{
    const struct log *log = &s->smtp->log;

    s->warned = true;
    line = str_head(line, 100);
    log_warning(log, "non-%s response from %s: " STR_FMT,
                s->smtp->lmtp ? "LMTP"
                : s->esmtp    ? "ESMTP"
                              : "SMTP",
                s->relay, STR_ARG(line));
    if (s->features.bits & FEATURE_PIPELINING)
        log_warning(
            log,
            "to prevent loss of mail, turn off command pipelining for %s with the %s parameter",
            s->host,
            s->smtp->lmtp ? "lmtp_discard_lhlo_keyword_address_maps"
                          : "smtp_discard_ehlo_keyword_address_maps");
}

enum rc session_read(struct session *s, struct wire_client_reply *reply)
{
    struct why why;
    enum rc rc = wire_client_read(&s->wire, reply, &why);

    if (rc == RC_OK && reply->code == 421)
        s->closing = true;
    if (rc == RC_OK && (reply->odd.n || (reply->code >= 500 && reply->code <= 504)))
        s->noticed |= NOTIFY_PROTOCOL;
    if (rc == RC_OK && reply->odd.n && !s->warned)
        warn_of(s, reply->odd);
    return rc;
}

static struct str filter_reply(void *context, struct str line)
{
    struct session *s = context;
    AUTO_ARENA a = arena_new(1024);
    struct str value;
    struct why why;
    enum rc rc = maps_get(s->smtp->reply_filter, line, a, &value, &why);

    if (rc == RC_TEMP)
        log_warning(&s->smtp->log, "%s: reply filter lookup error: %s", s->where, why.text);
    if (rc != RC_OK)
        return line;
    buf_reset(&s->words);
    buf_add(&s->words, value);
    return buf_str(&s->words);
}

static struct session *session_new(struct attempt *at, int fd, const struct nexthop *hop)
{
    struct session *s = NEW(struct session);
    struct smtp *smtp = at->smtp;

    s->smtp = smtp;
    s->arena = arena_new(1024);
    s->key = arena_copy(s->arena, hop->text);
    s->login_key = arena_copy(s->arena, at->login_key);
    s->tls_hop = arena_copy(s->arena, at->tls.hop_key);
    s->tls_key = arena_copy(s->arena, at->tls.key);
    s->wanted = at->tls.policy.wanted;
    s->level = at->tls.policy.level;
    s->reuse_tls = at->tls.policy.connection_reuse;
    wire_client_init(&s->wire, fd, smtp->set.helo_timeout * 1000);
    s->log = smtp->log;
    transcript_init(&s->transcript, &s->log, smtp->notify != 0);
    s->wire.transcript = &s->transcript;
    buf_init(&s->words, WIRE_REPLY_LINE_MAX);
    if (!maps_empty(smtp->reply_filter))
        s->wire.filter = (struct wire_reply_filter){filter_reply, s};
    s->opened_ms = clock_ms();
    return s;
}

static void session_free(struct session *s)
{
    reports_end(s);
    wire_client_done(&s->wire);
    transcript_done(&s->transcript);
    buf_done(&s->words);
    arena_free(s->arena);
    free(s);
}

static void notify(struct session *s)
{
    AUTO_BUF subject = {0};

    if ((s->noticed & s->smtp->notify) == 0)
        return;
    buf_init(&subject, 512);
    buf_addf(&subject, "%s client: errors from %s", s->smtp->lmtp ? "LMTP" : "SMTP", s->where);
    notice_send(s->smtp->env, s->smtp->cleanup, buf_text(&subject), &s->transcript);
}

void session_close(struct session *s, bool wait)
{
    struct wire_client_reply reply;

    if (!s->broken && !s->closing) {
        wire_client_say(&s->wire, STR("QUIT\r\n"));
        session_limit(s, s->smtp->set.quit_timeout, 0);
        if (!wait || s->smtp->set.skip_quit_response)
            (void)!stream_flush(&s->wire.stream, NULL);
        else
            (void)!session_read(s, &reply);
    }
    notify(s);
    session_free(s);
}

/* One address of the host's family after another, a different one first each time. RC_NONE: there
 * is no such address. */
static enum rc connect_in_turn(struct smtp *s, const struct host *host, long timeout_ms, int *fd,
                               struct why *why)
{
    size_t first = atomic_fetch_add(&s->turn, 1);
    enum rc rc = RC_NONE;

    for (size_t i = 0; i < s->sources.n; i++) {
        const struct addr *from = &s->sources.v[(first + i) % s->sources.n];
        char text[ADDR_TEXT_SIZE];
        if (addr_family(from) != addr_family(&host->address))
            continue;
        rc = net_connect(&host->address, from, timeout_ms, fd, why);
        if (rc != RC_CONFIG)
            return rc;
        addr_format(from, text);
        log_warning(&s->log, "bind %s: %s; see postconf smtp_source_addresses", text, why->text);
    }
    return rc;
}

static enum rc connect_from(struct attempt *at, const struct host *host, int *fd, struct why *why)
{
    struct smtp *s = at->smtp;
    int family = addr_family(&host->address);
    const struct addr *from = family == AF_INET ? &s->bind4 : &s->bind6;
    long timeout_ms = s->set.connect_timeout ? s->set.connect_timeout * 1000 : -1;
    char text[ADDR_TEXT_SIZE];
    enum rc rc = connect_in_turn(s, host, timeout_ms, fd, why);

    if (rc != RC_NONE)
        return rc;
    if (from->bytes == 0)
        return net_connect(&host->address, NULL, timeout_ms, fd, why);
    rc = net_connect(&host->address, from, timeout_ms, fd, why);
    if (rc != RC_CONFIG)
        return rc;
    addr_format(from, text);
    log_warning(&s->log, "bind %s: %s; see postconf %s", text, why->text,
                s->lmtp ? "lmtp_bind_address" : "smtp_bind_address");
    if (s->set.bind_address_enforce)
        return RC_CONFIG;
    return net_connect(&host->address, NULL, timeout_ms, fd, why);
}

static void set_names(struct session *s, struct str name, const char *address, unsigned port)
{
    struct why why;

    snprintf(s->host, sizeof s->host, STR_FMT, STR_ARG(name));
    snprintf(s->where, sizeof s->where, "%s[%s]", s->host, address);
    if (port)
        snprintf(s->relay, sizeof s->relay, "%s:%u", s->where, port);
    else
        snprintf(s->relay, sizeof s->relay, "%s", s->where);
    s->transcript.peer = str_of(s->where);
    if (port && match_client(s->smtp->debug_peers, name, &s->address, &why) == RC_OK)
        s->log.verbose += (int)s->smtp->config->debug_peer_level;
}

/* Greet, and keep the session when that went well. */
static struct session *greeted(struct attempt *at, struct session *s, bool best)
{
    bool wrapped = at->tls.wrapped;

    at->d->relay = arena_copy(at->arena, str_of(s->relay));
    if ((!wrapped || protect_session(at, s)) && session_greet(at, s, best) &&
        protect_session(at, s)) {
        reports_tls(s);
        if (auth_session(at, s))
            return s;
        protect_describe(at, s);
    }
    at->d->time.connected = clock_now();
    session_close(s, true);
    return NULL;
}

struct session *session_open(struct attempt *at, const struct nexthop *hop, const struct host *host,
                             bool best, bool *connected)
{
    unsigned port = addr_port(&host->address);
    char text[ADDR_TEXT_SIZE];
    struct session *s;
    struct why why = {0};
    struct dsn dsn;
    enum rc rc;
    int fd;

    *connected = false;
    at->d->relay = STR("none");
    protect_describe(at, NULL);
    addr_format(&host->address, text);
    rc = connect_from(at, host, &fd, &why);
    if (rc != RC_OK) {
        if (rc == RC_CONFIG) {
            dsn = dsn_local(at, "4.4.0", "server configuration error");
        } else {
            dsn = dsn_local(at, "4.4.1", "connect to " STR_FMT "[%s]:%u: %s", STR_ARG(host->name),
                            text, port, why.text);
            log_info(&at->smtp->log, STR_FMT, STR_ARG(dsn.reason));
        }
        attempt_postpone(at, &dsn);
        return NULL;
    }
    *connected = true;
    s = session_new(at, fd, hop);
    s->address = host->address;
    set_names(s, host->name, text, port);
    reports_begin(s, host->name);
    return greeted(at, s, best);
}

struct session *session_open_unix(struct attempt *at, const struct nexthop *hop)
{
    struct smtp *smtp = at->smtp;
    struct str path = hop->path;
    struct session *s;
    struct why why = {0};
    struct dsn dsn;
    int fd;

    at->d->relay = STR("none");
    protect_describe(at, NULL);
    if (net_connect_unix(arena_text(at->arena, path), SOCK_STREAM, smtp->set.connect_timeout * 1000,
                         &fd, &why) != RC_OK) {
        const char *cause = strrchr(why.text, ':');
        dsn = dsn_local(at, "4.4.1", "connect to " STR_FMT "[" STR_FMT "]: %s",
                        STR_ARG(smtp->config->myhostname), STR_ARG(path),
                        cause ? cause + 2 : why.text);
        log_info(&smtp->log, STR_FMT, STR_ARG(dsn.reason));
        attempt_postpone(at, &dsn);
        return NULL;
    }
    s = session_new(at, fd, hop);
    s->address = (struct addr){.bytes = sizeof(sa_family_t), .sa.sa_family = AF_UNIX};
    set_names(s, smtp->config->myhostname, arena_text(at->arena, path), 0);
    reports_begin(s, smtp->config->myhostname);
    return greeted(at, s, false);
}
