/*
 * Connections to delivery agents. They are kept; each carries one request at a time. A new one is
 * used when the agent says that somebody serves it: what waits in the backlog of a service at its
 * process limit holds no message.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/config.h"
#include "qmgr/qmgr.h"
#include "util/clock.h"
#include "util/memory.h"
#include "util/net.h"

enum { BACKLOG_FULL_MS = 100, RECENT_MS = 2000 };

enum agent_state { AGENT_WAITING, AGENT_IDLE, AGENT_BUSY };

struct agent {
    struct transport *transport;
    struct link link, idle;
    enum agent_state state;
    struct ipc ipc;
    struct entry *entry;
    struct buf rest; /* of a request that the socket did not take at once */
    size_t rest_sent;
    long since_ms;
};

static const struct dsn unavailable = {.status = STR_INIT("4.3.0"),
                                       .reason = STR_INIT("mail transport unavailable")};
static const struct dsn crashed = {.status = STR_INIT("4.3.0"),
                                   .reason = STR_INIT("unknown mail transport error")};

static void agent_ready_to_read(void *context, int events);

static void close_agent(struct agent *g)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    struct transport *t = g->transport;

    loop_unwatch(t->q->loop, g->ipc.fd);
    list_remove(&g->link);
    list_remove(&g->idle);
    if (g->state == AGENT_WAITING)
        t->n_waiting--;
    t->n_connections--;
    ipc_done(&g->ipc);
    buf_done(&g->rest);
    free(g);
}

static void backlog_has_room(void *context)
{
    struct transport *t = context;

    t->connect_timer = NULL;
    transport_run(t);
}

static void connect_failed(struct transport *t)
{
    if (errno == EAGAIN) {
        t->connect_timer = loop_after(t->q->loop, BACKLOG_FULL_MS, backlog_has_room, t);
        return;
    }
    log_warning(t->q->log, "connect to transport private/" STR_FMT ": %s", STR_ARG(t->name),
                errno == ENOENT ? "No such file or directory; is the service in master.cf?"
                                : strerrordesc_np(errno));
    transport_die(t, &unavailable);
}

void agent_connect(struct transport *t)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct agent *g;
    int fd;

    if (snprintf(to.sun_path, sizeof to.sun_path, "private/" STR_FMT, STR_ARG(t->name)) >=
        (int)sizeof to.sun_path)
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        errno = saved;
        connect_failed(t);
        return;
    }
    g = NEW(struct agent);
    g->transport = t;
    g->state = AGENT_WAITING;
    g->since_ms = clock_ms();
    ipc_init(&g->ipc, fd, t->q->config->qmgr_ipc_timeout * 1000);
    ipc_trace(&g->ipc, t->q->log);
    snprintf(g->ipc.peer, sizeof g->ipc.peer, "%.31s", t->name.p);
    buf_init(&g->rest, IPC_FRAME_MAX);
    list_append(&t->all, &g->link);
    t->n_waiting++;
    t->n_connections++;
    loop_watch(t->q->loop, fd, LOOP_READ, agent_ready_to_read, g);
}

static void make_request(const struct entry *e, struct deliver_request *out)
{
    const struct destination *d = e->destination;
    bool busy_site = d->n_waiting > 0 || d->n_busy > 1 ||
                     (d->last_done_ms && clock_ms() - d->last_done_ms < RECENT_MS);

    message_fill_request(e->message, out);
    if (busy_site)
        out->flags |= DELIVER_CACHE_LOAD | DELIVER_CACHE_STORE;
    out->nexthop = d->nexthop;
    out->recipients = e->recipients;
    out->n_recipients = e->n;
}

static bool send_request(struct agent *g, struct buf *frame)
{
    ssize_t sent = fd_send(g->ipc.fd, frame->p, frame->n, g->entry->message->fd);

    if (sent < 0)
        return false;
    if ((size_t)sent < frame->n) {
        buf_reset(&g->rest);
        buf_add(&g->rest, str_from(buf_str(frame), (size_t)sent));
        g->rest_sent = 0;
        loop_watch(g->transport->q->loop, g->ipc.fd, LOOP_READ | LOOP_WRITE, agent_ready_to_read,
                   g);
    }
    return true;
}

/* The file went away (postsuper -d), or cannot be opened: not the agent's fault. */
static void give_up(struct entry *e, const struct why *why)
{
    struct message *msg = e->message;
    struct dsn dsn = {.status = STR("4.3.0"), .reason = str_of(why->text)};

    destination_done(e->destination, NULL);
    list_remove(&e->of_message);
    if (!msg->file_is_gone) {
        log_warning(&msg->log, "%s", why->text);
        report_recipients(msg, e->portion, e->recipients, e->n, &dsn);
        message_unpend(msg, e->portion, 0);
    } else {
        msg->remain = true;
        message_unpend(msg, e->portion, e->n);
    }
}

bool agent_deliver(struct transport *t, struct entry *e)
{
    struct qmgr *q = t->q;
    struct agent *g = ITEM_OF(t->idle.prev, struct agent, idle); /* the one that was used last */
    struct deliver_request request;
    struct why why = {0};

    if (e->message->file_is_gone || !message_open(e->message, &why)) {
        give_up(e, &why);
        return true;
    }
    make_request(e, &request);
    buf_reset(&q->scratch);
    if (ipc_encode(&q->scratch, IPC_deliver_request, &request, &why) != RC_OK) {
        give_up(e, &why);
        return true;
    }
    g->entry = e;
    if (!send_request(g, &q->scratch)) {
        g->entry = NULL;
        close_agent(g);
        return false;
    }
    ipc_note_sent(&g->ipc, IPC_deliver_request, q->scratch.n);
    list_remove(&g->idle);
    g->state = AGENT_BUSY;
    g->since_ms = clock_ms();
    q->n_in_flight++;
    log_trace(&q->env->log, LOG_TRACE_SCHEDULER,
              "scheduler: " STR_FMT ": %zu recipients to " STR_FMT ":" STR_FMT ", %ld in flight",
              STR_ARG(request.queue_id), e->n, STR_ARG(t->name), STR_ARG(request.nexthop),
              (long)q->n_in_flight);
    board_count(&q->env->board, COUNTER_envelope_inflight, (long)e->n);
    e->message->n_using_file++;
    t->paused = t->transport_rate_delay > 0; /* one at a time, and then a pause */
    return true;
}

void entry_done(struct entry *e, const struct deliver_result *result)
{
    struct message *msg = e->message;
    struct destination *d = e->destination;
    struct qmgr *q = msg->q;

    q->n_in_flight--;
    board_count(&q->env->board, COUNTER_envelope_inflight, -(long)e->n);
    msg->n_using_file--;
    if (result->status & 1)
        msg->remain = true;
    if (result->status & 2)
        msg->has_bounces = true;
    if (result->status & 4)
        msg->has_trace = true;
    list_remove(&e->of_message);
    destination_done(d, result->site_failed ? &result->dsn : NULL);
    if (!(result->status & 1))
        destination_works(d, msg);
    else if (result->site_failed)
        destination_remember(d, msg);
    message_close_unused_file(msg);
    message_unpend(msg, e->portion, e->n);
    if (q->draining)
        qmgr_end_if_drained(q);
}

/* The agent read the request and went away: look at the file what it has done. */
static void entry_crashed(struct entry *e)
{
    struct deliver_result result = {0};
    struct message *msg = e->message;

    for (size_t i = 0; i < e->n; i++) {
        char type = 0;
        if (pread(msg->fd, &type, 1, e->recipients[i].offset) != 1 || type == REC_RCPT)
            result.status |= 1;
    }
    result.status |= 2 | 4; /* who knows: let the end look for logs */
    entry_done(e, &result);
}

static void take_result(struct agent *g, struct why *why, enum rc *rc)
{
    struct qmgr *q = g->transport->q;
    struct transport *t = g->transport;
    struct deliver_result result = {0};
    struct entry *e = g->entry;

    arena_reset(q->reply_arena);
    *rc = ipc_read_deliver_result(&g->ipc, q->reply_arena, &result, NULL, why);
    if (*rc != RC_OK)
        return;
    g->entry = NULL;
    g->state = AGENT_IDLE;
    g->since_ms = clock_ms();
    list_append(&t->idle, &g->idle);
    if (t->transport_rate_delay > 0)
        transport_pause(t);
    entry_done(e, &result);
}

static void take_greeting(struct agent *g, struct why *why, enum rc *rc)
{
    struct transport *t = g->transport;
    struct agent_ready ready;

    arena_reset(t->q->reply_arena);
    *rc = ipc_read_agent_ready(&g->ipc, t->q->reply_arena, &ready, NULL, why);
    if (*rc != RC_OK)
        return;
    t->n_waiting--;
    g->state = AGENT_IDLE;
    g->since_ms = clock_ms();
    list_append(&t->idle, &g->idle);
}

/* unread: the agent closed the connection before it read the request. */
static void agent_gone(struct agent *g, enum rc rc, bool unread, const struct why *why)
{
    struct transport *t = g->transport;
    struct entry *e = g->entry;
    enum agent_state state = g->state;

    g->entry = NULL;
    close_agent(g);
    if (e && unread) {
        t->q->n_in_flight--;
        board_count(&t->q->env->board, COUNTER_envelope_inflight, -(long)e->n);
        e->message->n_using_file--;
        t->paused = false;
        destination_put_back(e->destination, e);
    } else if (e) {
        log_warning(t->q->log, "private/" STR_FMT " socket: %s", STR_ARG(t->name),
                    rc == RC_EOF ? "the agent ended in the middle of a delivery" : why->text);
        log_warning(t->q->log,
                    "transport " STR_FMT " failure -- see a previous warning/fatal/panic logfile "
                    "record for the problem description",
                    STR_ARG(t->name));
        t->paused = false;
        entry_crashed(e);
        transport_die(t, &crashed);
    } else if (state == AGENT_WAITING &&
               rc == RC_EOF) { /* a process that ends: not at once again */
        if (t->connect_timer == NULL)
            t->connect_timer = loop_after(t->q->loop, BACKLOG_FULL_MS, backlog_has_room, t);
    } else if (state == AGENT_WAITING) {
        log_warning(t->q->log, "private/" STR_FMT " socket: %s", STR_ARG(t->name), why->text);
        transport_die(t, &unavailable);
    }
    transport_run(t);
}

static void send_rest(struct agent *g)
{
    struct str rest = str_from(buf_str(&g->rest), g->rest_sent);
    ssize_t sent = rest.n ? fd_send(g->ipc.fd, rest.p, rest.n, -1) : 0;

    if (sent > 0)
        g->rest_sent += (size_t)sent;
    if (g->rest_sent == g->rest.n)
        loop_watch(g->transport->q->loop, g->ipc.fd, LOOP_READ, agent_ready_to_read, g);
}

static void agent_ready_to_read(void *context, int events)
{
    struct agent *g = context;
    struct transport *t = g->transport;
    struct why why = {0};
    enum rc rc, end;
    enum ipc_type type;
    bool unread;

    if (events & LOOP_WRITE && g->rest_sent < g->rest.n)
        send_rest(g);
    errno = 0;
    rc = end = ipc_receive(&g->ipc, &why);
    unread = end == RC_EOF && errno == ECONNRESET;
    while ((rc == RC_OK || rc == RC_NONE) && ipc_has_frame(&g->ipc, &type)) {
        if (type == IPC_agent_ready && g->state == AGENT_WAITING)
            take_greeting(g, &why, &rc);
        else if (type == IPC_deliver_result && g->state == AGENT_BUSY)
            take_result(g, &why, &rc);
        else
            rc = FAIL(&why, RC_PERM, "unexpected message %s", ipc_name(type));
    }
    if (rc == RC_OK || rc == RC_NONE)
        transport_run(t);
    else
        agent_gone(g, rc, unread, &why);
}

void agent_sweep(struct transport *t)
{
    const struct config *config = t->q->config;
    long now = clock_ms();
    bool stuck = false;

    for (struct link *l = t->all.next, *next; l != &t->all; l = next) {
        struct agent *g = ITEM_OF(l, struct agent, link);
        long age = now - g->since_ms;
        next = l->next;
        if (g->state == AGENT_IDLE && age > CONNECTION_IDLE_SECONDS * 1000L) {
            close_agent(g);
        } else if (g->state == AGENT_WAITING && age > config->qmgr_ipc_timeout * 1000) {
            stuck = t->n_waiting == t->n_connections;
            close_agent(g);
        } else if (g->state == AGENT_BUSY && age > config->daemon_timeout * 1000) {
            struct why why;
            why_set(&why, RC_TIMEOUT, "no answer for %ld seconds", age / 1000);
            agent_gone(g, RC_TIMEOUT, false, &why);
            return; /* the list has changed; the next sweep sees the rest */
        }
    }
    if (stuck && t->n_entries) {
        log_warning(t->q->log,
                    "connect to transport private/" STR_FMT ": no process of this service answers",
                    STR_ARG(t->name));
        transport_die(t, &unavailable);
    }
}
