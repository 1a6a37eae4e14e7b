/* One connection: one message after another. */
#include "cleanup/cleanup.h"
#include "config/config.h"

enum { RECORD_BYTES_MAX = 128 * 1024 };

struct session {
    struct service_env *env;
    struct submit_library *submit;
    struct ipc ipc;
    struct arena *arena; /* of one message */
    struct submission *message;
    struct buf rest; /* of a record that is not complete yet */
    struct why why;
};

static enum rc begin(struct session *s)
{
    struct submit_begin *request = arena_new_of(s->arena, struct submit_begin);
    struct submit_begun reply = {0};
    enum rc rc;

    TRY(ipc_read_submit_begin(&s->ipc, s->arena, request, NULL, &s->why));
    rc = submit_begin(s->submit, request, s->arena, &s->env->log, &s->message, &s->why);
    if (rc == RC_OK) {
        reply.queue_id = str_of(submit_queue_id(s->message));
        return ipc_send_submit_begun(&s->ipc, &reply, -1, &s->why);
    }
    log_warning(&s->env->log, "%s", s->why.text);
    reply.status = SUBMIT_WRITE;
    reply.text = str_of(s->why.text);
    TRY(ipc_send_submit_begun(&s->ipc, &reply, -1, &s->why));
    return RC_NONE;
}

static enum rc take_recipients(struct session *s)
{
    struct submit_recipients m = {0};

    TRY(ipc_read_submit_recipients(&s->ipc, s->arena, &m, NULL, &s->why));
    for (size_t i = 0; i < m.n_recipients; i++)
        submit_recipient(s->message, &m.recipients[i]);
    return RC_OK;
}

static enum rc take_record(void *context, int type, struct str payload)
{
    struct session *s = context;

    if (type != REC_NORM && type != REC_CONT)
        return FAIL(&s->why, RC_PERM, "record type %d in the content", type);
    submit_line(s->message, payload, type == REC_CONT);
    return RC_OK;
}

static enum rc end(struct session *s)
{
    struct submit_end m = {0};
    struct submit_done reply = {0};

    TRY(ipc_read_submit_end(&s->ipc, s->arena, &m, NULL, &s->why));
    if (m.cancel)
        return RC_NONE;
    reply.status = submit_finish(s->message, &reply.reason);
    TRY(ipc_send_submit_done(&s->ipc, &reply, -1, &s->why));
    return RC_NONE;
}

/* RC_NONE: the message is complete, or given up by agreement; the connection goes on. */
static enum rc take_message(struct session *s)
{
    enum ipc_type type;

    TRY(begin(s));
    for (;;) {
        TRY(ipc_next(&s->ipc, &type, &s->why));
        switch (type) {
        case IPC_submit_recipients: TRY(take_recipients(s)); break;
        case IPC_submit_text:
            TRY(submit_read_text(&s->ipc, &s->rest, take_record, s, &s->why));
            break;
        case IPC_submit_end: return end(s);
        default: return FAIL(&s->why, RC_PERM, "unexpected message %s", ipc_name(type));
        }
    }
}

void cleanup_session(struct service_env *env, void *state, int fd)
{
    struct cleanup *c = state;
    struct session s = {.env = env, .submit = c->submit};
    enum ipc_type type;
    enum rc rc;

    ipc_init(&s.ipc, fd, env->config->ipc_timeout * 1000);
    buf_init(&s.rest, RECORD_BYTES_MAX);
    s.arena = arena_new(8 * 1024);
    while (service_next(env, &s.ipc, &type, &s.why) == RC_OK) {
        rc = take_message(&s);
        if (rc != RC_NONE) {
            if (rc != RC_EOF)
                log_warning(&env->log, "connection from a mail service: %s", s.why.text);
            break;
        }
        s.message = NULL;
        buf_reset(&s.rest);
        arena_reset(s.arena); /* an unfinished queue file goes with it */
    }
    arena_free(s.arena);
    buf_done(&s.rest);
    s.ipc.fd = -1; /* the runtime closes it */
    ipc_done(&s.ipc);
}
