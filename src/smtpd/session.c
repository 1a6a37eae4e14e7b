/* One session, from the connection to the disconnect line. */
#include <errno.h>
#include <poll.h>

#include "smtpd/filters.h"
#include "smtpd/paranoid.h"
#include "util/clock.h"

enum { SESSION_ARENA = 2048, MESSAGE_ARENA = 8192 };

/* Input that was sent too early, for reject_unauth_pipelining. */
static bool has_input(void *session)
{
    return wire_has_more(&((struct session *)session)->wire);
}

/* A rule makes the client wait; it may leave meanwhile. */
static void session_wait(void *session, long seconds)
{
    struct session *s = session;
    struct pollfd p = {.fd = s->wire.stream.fd, .events = POLLRDHUP};
    long end = clock_ms() + seconds * 1000, left;

    if (stream_flush(&s->wire.stream, &s->why) != RC_OK)
        return;
    while ((left = end - clock_ms()) > 0)
        if (poll(&p, 1, (int)left) >= 0 || errno != EINTR)
            break;
}

static struct session *session_new(struct service_env *env, struct smtpd *smtpd, int fd)
{
    struct arena *arena = arena_new(SESSION_ARENA + sizeof(struct session));
    struct session *s = arena_new_of(arena, struct session);

    s->env = env;
    s->smtpd = s->process = smtpd;
    /* under stress another one than that of the process */
    s->config = s->process_config = s->base_config = env->config;
    s->arena = arena;
    s->log = s->message_log = env->log;
    s->on_stdin = env->on_stdin;
    s->anvil.fd = -1;
    s->access = (struct access_context){
        .access = smtpd->access,
        .config = s->config,
        .arena = arena_new(MESSAGE_ARENA),
        .log = &s->message_log,
        .stage = "CONNECT",
        .protocol = STR("SMTP"),
        .stress = env->stress,
        .has_input = has_input,
        .wait = session_wait,
        .session = s,
    };
    wire_server_init(&s->wire, fd, (size_t)s->config->line_length_limit,
                     s->config->smtpd_timeout * 1000);
    transcript_init(&s->transcript, &s->log, smtpd->notify && !env->on_stdin);
    s->wire.transcript = &s->transcript;
    return s;
}

static void session_free(struct session *s)
{
    transaction_done(s);
    tls_end(s->tls);
    s->wire.stream.fd = -1; /* the runtime closes it */
    wire_server_done(&s->wire);
    transcript_done(&s->transcript);
    instructions_release(s);
    arena_free(s->access.arena);
    arena_free(s->arena);
}

void session_end(struct session *s, const char *reason)
{
    if (!s->over)
        s->reason = reason;
    s->over = true;
}

void session_broke(struct session *s, enum rc rc)
{
    session_end(s, rc == RC_TIMEOUT ? "timeout" : "lost connection");
    if (rc == RC_TIMEOUT)
        session_replyf(s, "421 4.4.2 " STR_FMT " Error: timeout exceeded",
                       STR_ARG(s->config->myhostname));
}

static void log_abnormal_end(struct session *s)
{
    const char *stage = s->access.stage;
    const char *id = s->message_log.queue_id[0] ? "" : "NOQUEUE: ";

    /* a client may leave without QUIT once its message is taken */
    if (s->reason == NULL || (strcmp(stage, "END-OF-MESSAGE") == 0 && s->reason[0] == 'l'))
        return;
    if (s->t.recipients && (strcmp(stage, "DATA") == 0 || strcmp(stage, "BDAT") == 0) &&
        s->t.content.wire)
        log_info(&s->message_log, "%s%s after %s (%ld bytes) from " STR_FMT, id, s->reason, stage,
                 s->t.content.bytes, STR_ARG(s->access.client.label));
    else
        log_info(&s->message_log, "%s%s after %s from " STR_FMT, id, s->reason, stage,
                 STR_ARG(s->access.client.label));
}

static const char *const counter_names[COMMANDS] = {
    "helo", "ehlo", "xclient", "xforward", "starttls", "auth", "mail", "rcpt",   "data",
    "bdat", "rset", "noop",    "vrfy",     "etrn",     "quit", "help", "unknown"};

static void add_counter(struct buf *b, const char *name, struct counter c)
{
    buf_addf(b, " %s=%ld", name, c.done);
    if (c.done != c.total || c.total == 0)
        buf_addf(b, "/%ld", c.total);
}

static void log_disconnect(struct session *s)
{
    struct counter all = {0};
    AUTO_BUF b = {0};

    buf_init(&b, 1024);
    for (int i = 0; i < COMMANDS; i++) {
        if (s->counters[i].total)
            add_counter(&b, counter_names[i], s->counters[i]);
        all.done += s->counters[i].done;
        all.total += s->counters[i].total;
    }
    add_counter(&b, "commands", all);
    if (s->noted_bare_lf && s->wire.bare_lf == BARE_LF_NOTE)
        buf_add(&b, STR(" notes=bare_lf"));
    if (!s->config->smtpd_brief_log)
        log_info(&s->log, "disconnect from " STR_FMT "%s", STR_ARG(s->access.client.label),
                 buf_text(&b));
}

/* The rules refuse the client before it has said a word: it hears so instead of the greeting. */
void session_greet(struct session *s)
{
    enum verdict v;

    if (greeting_refuses(s))
        return;
    v = access_at_connect(&s->access);

    s->access.stage = "CONNECT";
    if (v == HANGUP) {
        session_end(s, NULL);
    } else if (v == REJECT) {
        s->denied = arena_copy(s->arena, s->access.reply);
        (void)session_obeys(s, v);
    } else {
        greet_slowly(s);
        filters_greeted(s);
    }
    arena_reset(s->access.arena);
}

void count_tls(const struct session *s, long n)
{
    const struct board *b = &s->smtpd->env->board;
    bool wrapped = s->config->smtpd_tls_wrappermode;

    board_count(b, wrapped ? COUNTER_smtp_smtps : COUNTER_smtp_tls, n);
    board_count(b, wrapped ? COUNTER_smtp_smtps_all : COUNTER_smtp_tls_all, n > 0);
}

static void count_session(const struct session *s, long n)
{
    const struct board *b = &s->smtpd->env->board;
    int family = addr_family(&s->access.client.address);

    board_count(b, COUNTER_smtp_session, n);
    board_count(b,
                family == AF_INET    ? COUNTER_smtp_session_inet4
                : family == AF_INET6 ? COUNTER_smtp_session_inet6
                                     : COUNTER_smtp_session_local,
                n > 0);
    board_count(b, n > 0 ? COUNTER_smtp_connect : COUNTER_smtp_disconnect, 1);
    if (n < 0 && s->tls)
        count_tls(s, -1);
    if (n < 0 && s->reason)
        board_count(b, strcmp(s->reason, "timeout") == 0 ? COUNTER_smtp_timeout : COUNTER_smtp_lost,
                    1);
}

static void session_run(struct session *s)
{
    if (!s->config->smtpd_brief_log)
        log_info(&s->log, "connect from " STR_FMT, STR_ARG(s->access.client.label));
    if (instructions_admit(s) && limit_connection(s) && session_wrap(s) &&
        paranoid_takes_client(s) && filters_connect(s))
        session_greet(s);
    while (!s->over)
        command_next(s);
    if (s->tls && s->counters[CMD_QUIT].total) /* the reply to QUIT */
        tls_last_words(s->tls);
    if (stream_flush(&s->wire.stream, &s->why) != RC_OK && s->reason == NULL &&
        s->counters[CMD_QUIT].total == 0)
        s->reason = "lost connection";
    log_abnormal_end(s);
    filters_disconnect(s);
    session_notify(s);
    limit_disconnect(s);
    log_disconnect(s);
}

void smtpd_session(struct service_env *env, void *state, int fd)
{
    struct session *s = session_new(env, state, fd);

    if (peer_find(s, fd) == RC_OK) {
        count_session(s, 1);
        session_run(s);
        count_session(s, -1);
    }
    session_free(s);
}
