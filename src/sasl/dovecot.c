/*
 * Dovecot's authentication protocol, the client's end.
 *
 * A process has one connection, as the protocol wants it (a connection is known by a process id);
 * requests of all threads share it and are told apart by their numbers. Whoever waits for a reply
 * and finds nobody reading reads for all, until its own reply is there; then one of those that
 * still wait is woken to read. A connection that is lost is made again at the next request; one
 * that had just been sent is sent once more.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sasl/backends.h"
#include "sasl/dovecot_connect.h"
#include "sasl/dovecot_line.h"
#include "util/clock.h"
#include "util/memory.h"
#include "util/stream.h"

enum {
    REPLY_MS = 30000,
    AGAIN_MS = 1000,                 /* after a failure to connect, before the next attempt */
    OUT_MAX_BYTES = 8 * 1024 * 1024, /* lines that wait for the one being sent */
};

struct request {
    unsigned long id, connection;
    struct arena *arena; /* the reply is copied into it while its owner waits */
    bool answered, lost;
    pthread_cond_t changed; /* of these, or nobody reads */
    struct str line;
    struct request *next;
};

struct dovecot {
    struct arena *arena;
    struct dovecot_endpoint endpoint;
    struct str service;
    long timeout_ms;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* of the connection */
    int fd;                 /* -1: not connected; written to with the lock */
    struct stream stream;   /* its input belongs to the thread that set reading */
    struct buf out;         /* lines to be sent by the thread that set writing */
    bool connecting, reading, writing, broken;
    unsigned long last_id, connections; /* so many were made */
    struct request *waiting;
    struct dovecot_mechanisms known; /* of the latest connection */
    long failed_ms;                  /* when the latest attempt to connect failed; 0: it did not */
    struct why failure;
};

struct exchange {
    struct dovecot *server;
    struct request request;
    bool is_open; /* the server waits for a response */
};

/* ---- the connection ---- */

/* True: it was signalled; false: the deadline passed. With the lock. */
static bool wait_change(struct dovecot *d, pthread_cond_t *changed, long deadline_ms)
{
    long left = deadline_ms - clock_ms();

    return left > 0 && clock_cond_wait(changed, &d->lock, left) != ETIMEDOUT;
}

/* All who wait for this connection hear that it is lost. With the lock; nobody reads or writes. */
static void close_connection(struct dovecot *d)
{
    for (struct request *r = d->waiting; r; r = r->next) {
        r->lost = true;
        pthread_cond_signal(&r->changed);
    }
    d->waiting = NULL;
    stream_done(&d->stream);
    d->fd = -1;
    d->broken = false;
    buf_reset(&d->out);
    pthread_cond_broadcast(&d->changed);
}

/* With the lock. */
static void break_connection(struct dovecot *d)
{
    if (d->fd < 0)
        return;
    d->broken = true;
    shutdown(d->fd, SHUT_RDWR); /* wakes who reads and writes; the last one closes */
    if (!d->reading && !d->writing)
        close_connection(d);
}

/* Be connected. With the lock, which is released meanwhile. */
static enum rc connect_once(struct dovecot *d, long deadline_ms, struct why *why)
{
    struct stream stream;
    struct dovecot_mechanisms m = {0};
    enum rc rc;

    while (d->connecting || d->broken)
        if (!wait_change(d, &d->changed, deadline_ms))
            return FAIL(why, RC_TEMP, "authentication server " STR_FMT ": time limit exceeded",
                        STR_ARG(d->endpoint.text));
    if (d->fd >= 0)
        return RC_OK;
    if (d->failed_ms && clock_ms() - d->failed_ms < AGAIN_MS)
        return FAIL(why, RC_TEMP, "%s", d->failure.text);
    d->connecting = true;
    pthread_mutex_unlock(&d->lock);
    rc = dovecot_connect(&d->endpoint, d->timeout_ms, &stream, &m, why);
    pthread_mutex_lock(&d->lock);
    d->connecting = false;
    if (rc == RC_OK) {
        arena_free(d->known.arena);
        d->known = m;
        d->stream = stream;
        d->fd = stream.fd;
        d->failed_ms = 0;
        d->connections++;
    } else {
        d->failed_ms = clock_ms();
        why_set(&d->failure, rc, "%s", why ? why->text : "no connection");
    }
    pthread_cond_broadcast(&d->changed);
    return rc;
}

static bool send_all(int fd, struct str bytes, long deadline_ms)
{
    while (bytes.n) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (n < 0 && errno == EAGAIN && clock_ms() < deadline_ms) {
            if (poll(&p, 1, (int)(deadline_ms - clock_ms())) < 0 && errno != EINTR)
                return false;
            continue;
        }
        if (n < 0 && errno != EINTR)
            return false;
        bytes = str_from(bytes, n > 0 ? (size_t)n : 0);
    }
    return true;
}

/*
 * One thread sends for all that come meanwhile: the server wakes up in the middle of it, and nobody
 * shall stand in line for a thread that has lost its processor. With the lock, which is released
 * meanwhile.
 */
static void send_line(struct dovecot *d, struct str line, long deadline_ms)
{
    buf_add(&d->out, line);
    if (d->out.over)
        break_connection(d);
    if (d->writing)
        return;
    d->writing = true;
    while (d->out.n && !d->broken && d->fd >= 0) {
        struct buf now = d->out;
        int fd = d->fd; /* nobody closes it meanwhile */
        bool ok;
        buf_init(&d->out, OUT_MAX_BYTES);
        pthread_mutex_unlock(&d->lock);
        ok = send_all(fd, buf_str(&now), deadline_ms);
        login_forget(now.p, now.n);
        buf_done(&now);
        pthread_mutex_lock(&d->lock);
        if (!ok)
            break_connection(d);
    }
    d->writing = false;
    if (d->broken && !d->reading)
        close_connection(d);
}

/* ---- requests ---- */

static void forget_request(struct dovecot *d, struct request *r)
{
    for (struct request **at = &d->waiting; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            return;
        }
}

/* The reply to one of those who wait; others went away. With the lock. */
static void hand_over(struct dovecot *d, struct str text)
{
    AUTO_ARENA a = arena_new(512);
    struct dovecot_line line;

    if (dovecot_line_parse(text, a, &line, NULL) != RC_OK || line.id == 0)
        return;
    for (struct request *r = d->waiting; r; r = r->next)
        if (r->id == line.id) {
            r->line = arena_copy(r->arena, text);
            r->answered = true;
            forget_request(d, r);
            pthread_cond_signal(&r->changed);
            return;
        }
}

/* Read what has come, a line at least, for whomever it is. With the lock, which is released
 * meanwhile. */
static void read_for_all(struct dovecot *d, long deadline_ms)
{
    struct str line;
    enum rc rc;

    d->reading = true;
    pthread_mutex_unlock(&d->lock);
    d->stream.deadline_ms = deadline_ms;
    rc = stream_line(&d->stream, DOVECOT_LINE_MAX, &line, NULL, NULL);
    pthread_mutex_lock(&d->lock);
    d->reading = false;
    if (rc == RC_OK)
        hand_over(d, line);
    while (rc == RC_OK && str_index(stream_peek(&d->stream), '\n') >= 0) {
        rc = stream_line(&d->stream, DOVECOT_LINE_MAX, &line, NULL, NULL);
        if (rc == RC_OK)
            hand_over(d, line);
    }
    if (rc != RC_OK && rc != RC_TIMEOUT)
        break_connection(d);
    else if (d->broken && !d->writing)
        close_connection(d);
}

/* Whoever stops to wait may be the one who read, or was woken to do so. With the lock. */
static void let_others_read(struct dovecot *d)
{
    if (!d->reading && d->waiting)
        pthread_cond_signal(&d->waiting->changed);
}

static enum rc wait_reply(struct dovecot *d, struct request *r, long deadline_ms, struct why *why)
{
    while (!r->answered && !r->lost && clock_ms() < deadline_ms) {
        if (d->reading || d->broken)
            wait_change(d, &r->changed, deadline_ms);
        else
            read_for_all(d, deadline_ms);
    }
    if (!r->answered)
        forget_request(d, r);
    let_others_read(d);
    if (r->answered)
        return RC_OK;
    if (r->lost)
        return FAIL(why, RC_EOF, "authentication server " STR_FMT ": connection lost",
                    STR_ARG(d->endpoint.text));
    return FAIL(why, RC_TIMEOUT, "authentication server " STR_FMT ": time limit exceeded",
                STR_ARG(d->endpoint.text));
}

/* Send a line and wait for the reply. The line has the number already. With the lock. */
static enum rc ask(struct dovecot *d, struct request *r, struct str line, long deadline_ms,
                   struct why *why)
{
    r->answered = r->lost = false;
    r->next = d->waiting;
    d->waiting = r;
    send_line(d, line, deadline_ms);
    return wait_reply(d, r, deadline_ms, why);
}

/* ---- replies ---- */

static enum login_status trouble(struct exchange *x, const char *words, struct login_reply *reply)
{
    reply->reason = STR(LOGIN_SERVER_LOST);
    reply->detail = arena_copy(x->request.arena, str_of(words));
    x->is_open = false;
    return LOGIN_TROUBLE;
}

static enum login_status judge(struct exchange *x, struct login_reply *reply)
{
    struct arena *a = x->request.arena;
    struct dovecot_line line;
    struct why why;

    x->is_open = false;
    if (dovecot_line_parse(x->request.line, a, &line, &why) != RC_OK)
        return trouble(x, why.text, reply);
    reply->username = line.user;
    reply->reason = line.reason;
    switch (line.word) {
    case DOVECOT_OK:
        if (line.user.n == 0)
            return trouble(x, "authentication server names no user", reply);
        return LOGIN_OK;
    case DOVECOT_CONT:
        x->is_open = true;
        reply->text = line.name;
        return LOGIN_MORE;
    case DOVECOT_FAIL: return line.is_temporary ? LOGIN_TROUBLE : LOGIN_FAILED;
    default: return trouble(x, "unexpected answer of the authentication server", reply);
    }
}

static void compose(const struct dovecot *d, const struct login_peer *peer, unsigned long id,
                    struct str mechanism, struct str initial, struct buf *b)
{
    buf_reset(b);
    buf_addf(b, "AUTH\t%lu\t" STR_FMT, id, STR_ARG(mechanism));
    dovecot_put(b, "service", d->service);
    buf_add(b, STR("\tnologin"));
    dovecot_put(b, "lip", peer->server_address);
    dovecot_put(b, "rip", peer->client_address);
    dovecot_put(b, "lport", peer->server_port);
    dovecot_put(b, "rport", peer->client_port);
    if (peer->is_encrypted)
        buf_add(b, STR("\tsecured"));
    dovecot_put(b, "local_name", peer->tls_sni);
    dovecot_put(b, "ssl_cipher", peer->tls_cipher);
    if (peer->is_encrypted && peer->tls_bits)
        buf_addf(b, "\tssl_cipher_bits=%ld", peer->tls_bits);
    dovecot_put(b, "ssl_protocol", peer->tls_protocol);
    if (peer->certificate.p) {
        buf_add(b, STR("\tvalid-client-cert"));
        dovecot_put(b, "cert_username", peer->certificate);
    }
    if (initial.p)
        buf_addf(b, "\tresp=" STR_FMT, STR_ARG(initial));
    buf_addc(b, '\n');
}

static bool is_known(const struct dovecot *d, struct str mechanism, unsigned security)
{
    for (size_t i = 0; i < d->known.list.n; i++)
        if (str_eq_nocase(d->known.list.v[i].name, mechanism))
            return (d->known.list.v[i].lacks & security) == 0;
    return false;
}

/* With the lock. A connection that was kept may be dead: then once more over a new one. */
static enum login_status first_step(struct exchange *x, const struct login_peer *peer,
                                    struct str mechanism, struct str initial,
                                    struct login_reply *reply)
{
    struct dovecot *d = x->server;
    long deadline_ms = clock_ms() + d->timeout_ms;
    enum rc rc = RC_EOF;
    struct why why = {0};
    AUTO_BUF b = {0};

    buf_init(&b, DOVECOT_LINE_MAX);
    for (int i = 0; i < 2 && rc == RC_EOF; i++) {
        rc = connect_once(d, deadline_ms, &why);
        if (rc == RC_OK && !is_known(d, mechanism, peer->security)) {
            reply->reason = STR("Invalid authentication mechanism");
            return LOGIN_FAILED;
        }
        if (rc == RC_OK) {
            x->request.id = ++d->last_id;
            x->request.connection = d->connections;
            if (d->last_id >= 0x7fffffff)
                d->last_id = 0;
            compose(d, peer, x->request.id, mechanism, initial, &b);
            rc = b.over ? RC_PERM : ask(d, &x->request, buf_str(&b), deadline_ms, &why);
        }
    }
    login_forget(b.p, b.n);
    if (b.over)
        return LOGIN_MALFORMED;
    return rc == RC_OK ? judge(x, reply) : trouble(x, why.text, reply);
}

static enum login_status dovecot_begin(void *state, const struct login_peer *peer, struct arena *a,
                                       struct str mechanism, struct str initial, void **exchange,
                                       struct login_reply *reply)
{
    struct dovecot *d = state;
    struct exchange *x;
    enum login_status status;

    if (!login_is_base64(initial))
        return LOGIN_MALFORMED;
    *exchange = x = arena_new_of(a, struct exchange);
    x->server = d;
    x->request.arena = a;
    clock_cond_init(&x->request.changed);
    pthread_mutex_lock(&d->lock);
    status = first_step(x, peer, mechanism, initial, reply);
    pthread_mutex_unlock(&d->lock);
    return status;
}

static enum login_status dovecot_step(void *exchange, struct str response,
                                      struct login_reply *reply)
{
    struct exchange *x = exchange;
    struct dovecot *d = x->server;
    long deadline_ms = clock_ms() + d->timeout_ms;
    struct why why = {0};
    enum rc rc;
    AUTO_BUF b = {0};

    if (!login_is_base64(response))
        return LOGIN_MALFORMED;
    buf_init(&b, response.n + 64);
    buf_addf(&b, "CONT\t%lu\t" STR_FMT "\n", x->request.id, STR_ARG(response));
    pthread_mutex_lock(&d->lock);
    if (d->fd < 0 || d->broken || x->request.connection != d->connections)
        rc = FAIL(&why, RC_EOF, "authentication server " STR_FMT ": connection lost",
                  STR_ARG(d->endpoint.text));
    else
        rc = ask(d, &x->request, buf_str(&b), deadline_ms, &why);
    pthread_mutex_unlock(&d->lock);
    login_forget(b.p, b.n);
    return rc == RC_OK ? judge(x, reply) : trouble(x, why.text, reply);
}

static void dovecot_end(void *exchange)
{
    struct exchange *x = exchange;
    struct dovecot *d = x->server;
    char line[64];
    int n = snprintf(line, sizeof line, "CANCEL\t%lu\n", x->request.id);

    pthread_cond_destroy(&x->request.changed);
    if (!x->is_open)
        return;
    pthread_mutex_lock(&d->lock);
    if (d->fd >= 0 && !d->broken && x->request.connection == d->connections)
        send_line(d, (struct str){line, (size_t)n}, clock_ms() + DOVECOT_CONNECT_MS);
    pthread_mutex_unlock(&d->lock);
}

static enum rc dovecot_mechanisms(void *state, const struct login_peer *peer, struct arena *a,
                                  struct str *list, struct why *why)
{
    struct dovecot *d = state;
    enum rc rc;
    AUTO_BUF b = {0};

    buf_init(&b, DOVECOT_LINE_MAX);
    pthread_mutex_lock(&d->lock);
    rc = connect_once(d, clock_ms() + d->timeout_ms, why);
    /* also while it is away: what it could do before */
    for (size_t i = 0; i < d->known.list.n; i++)
        if ((d->known.list.v[i].lacks & peer->security) == 0)
            buf_addf(&b, "%s" STR_FMT, b.n ? " " : "", STR_ARG(d->known.list.v[i].name));
    pthread_mutex_unlock(&d->lock);
    if (b.n == 0)
        return rc == RC_OK ? RC_NONE : rc;
    *list = arena_copy(a, buf_str(&b));
    return RC_OK;
}

static void dovecot_started(void *state)
{
    struct dovecot *d = state;

    pthread_mutex_lock(&d->lock);
    break_connection(d);
    pthread_mutex_unlock(&d->lock);
}

static void dovecot_close(void *state)
{
    struct dovecot *d = state;

    if (d->fd >= 0)
        close_connection(d);
    arena_free(d->known.arena);
    buf_done(&d->out);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    arena_free(d->arena);
}

static enum rc dovecot_open(const struct login_server_options *o, void **state, struct why *why)
{
    struct arena *a = arena_new(1024);
    struct dovecot *d = arena_new_of(a, struct dovecot);
    enum rc rc;

    d->arena = a;
    d->service = arena_copy(a, o->service);
    d->timeout_ms = o->timeout_ms ? o->timeout_ms : REPLY_MS;
    d->fd = -1;
    buf_init(&d->out, OUT_MAX_BYTES);
    pthread_mutex_init(&d->lock, NULL);
    clock_cond_init(&d->changed);
    rc = dovecot_endpoint_parse(arena_copy(a, o->path), &d->endpoint, why);
    if (rc == RC_OK)
        *state = d;
    else
        dovecot_close(d);
    return rc;
}

const struct login_server_type login_server_dovecot = {
    .name = "dovecot",
    .open = dovecot_open,
    .close = dovecot_close,
    .started = dovecot_started,
    .mechanisms = dovecot_mechanisms,
    .begin = dovecot_begin,
    .step = dovecot_step,
    .end = dovecot_end,
};
