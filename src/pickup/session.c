/*
 * One connection of sendmail(1), which is whoever its socket says: local_submit, the message as
 * records, submit_end; the answer is submit_done.
 */
#include <errno.h>
#include <sys/socket.h>

#include "pickup/pickup.h"

enum { RECORD_BYTES_MAX = 128 * 1024 };

struct session {
    struct pickup *pickup;
    struct ipc ipc;
    struct message message;
    struct buf rest; /* of a record that is not complete yet */
    struct why why;
};

/* ---- no more than a few at once for each user ---- */

static bool enter(struct pickup *p, uid_t uid)
{
    size_t same = 0;
    bool fine;

    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n_users; i++)
        same += p->users[i] == uid;
    fine = same < SESSIONS_PER_USER && p->n_users < PICKUP_SESSIONS;
    if (fine)
        p->users[p->n_users++] = uid;
    pthread_mutex_unlock(&p->lock);
    return fine;
}

static void leave(struct pickup *p, uid_t uid)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n_users; i++)
        if (p->users[i] == uid) {
            p->users[i] = p->users[--p->n_users];
            break;
        }
    pthread_mutex_unlock(&p->lock);
}

/* ---- the message ---- */

static enum rc may(struct session *s)
{
    struct drop_access *x = s->pickup->access;
    uid_t uid = s->message.drop.uid;

    TRY(drop_may_submit(x, uid, &s->why));
    return drop_may_send_as(x, uid, s->message.drop.begin.sender, &s->why);
}

static enum rc take_record(void *context, int type, struct str payload)
{
    struct session *s = context;
    struct message *m = &s->message;
    bool is_text;

    TRY(message_record(m, type, payload, &is_text, &s->why));
    if (is_text) {
        message_line(m, payload, type == REC_CONT);
        return RC_OK;
    }
    if (type == REC_MESSAGE) {
        if (!m->drop.has_sender || m->recipients.n == 0)
            return FAIL(&s->why, RC_PERM, "uid=%u: sender and recipients must stand in front",
                        m->drop.uid);
        TRY(may(s));
        return message_open(m, &s->why);
    }
    if (m->submission && type == REC_RCPT)
        return FAIL(&s->why, RC_PERM, "uid=%u: recipient after the content", m->drop.uid);
    return RC_OK;
}

static enum rc take_message(struct session *s)
{
    struct local_submit hello;
    struct submit_end end = {0};
    enum ipc_type type;

    TRY(ipc_read_local_submit(&s->ipc, s->message.arena, &hello, NULL, &s->why));
    for (;;) {
        TRY(ipc_next(&s->ipc, &type, &s->why));
        if (type != IPC_submit_text)
            break;
        TRY(submit_read_text(&s->ipc, &s->rest, take_record, s, &s->why));
    }
    TRY(ipc_read_submit_end(&s->ipc, s->message.arena, &end, NULL, &s->why));
    if (end.cancel)
        return RC_EOF;
    return drop_check(&s->message.drop, &s->why);
}

static void answer(struct session *s, unsigned status, struct str reason)
{
    struct submit_done done = {.status = status, .reason = str_head(reason, 1000)};
    struct why why;

    if (s->message.submission)
        done.queue_id = str_of(submit_queue_id(s->message.submission));
    (void)!ipc_send_submit_done(&s->ipc, &done, -1, &why);
}

static void serve(struct session *s)
{
    struct str reason = STR("");
    enum rc rc = take_message(s);

    if (rc == RC_OK) {
        unsigned status = message_finish(&s->message, &reason);
        answer(s, status, reason);
        return;
    }
    if (rc == RC_EOF)
        return; /* sendmail was interrupted: there is no message */
    log_warning(&s->message.log, "%s", s->why.text);
    answer(s, rc == RC_PERM ? SUBMIT_NOPERM : SUBMIT_DEFER, str_of(s->why.text));
}

void pickup_session(struct service_env *env, void *state, int fd)
{
    AUTO_ARENA arena = arena_new(8 * 1024);
    struct session s = {.pickup = state};
    struct ucred peer;
    socklen_t n = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0) {
        log_warning(&env->log, "who is it that submits mail: %m");
        return;
    }
    message_init(&s.message, env, state, DROP_FROM_PROGRAM, peer.uid, arena);
    ipc_init(&s.ipc, fd, MESSAGE_SECONDS * 1000);
    buf_init(&s.rest, RECORD_BYTES_MAX);
    if (enter(s.pickup, peer.uid)) {
        serve(&s);
        message_end(&s.message, false);
        leave(s.pickup, peer.uid);
    } else {
        answer(&s, SUBMIT_DEFER, STR("4.3.2 too many messages at once, try again later"));
    }
    buf_done(&s.rest);
    s.ipc.fd = -1; /* the runtime's */
    ipc_done(&s.ipc);
}
