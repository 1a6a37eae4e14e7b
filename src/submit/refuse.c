/* Messages that cannot be queued but whose sender must hear about it; traces of expanded aliases.
 */
#include <stdio.h>
#include <unistd.h>

#include "global/dsn.h"
#include "submit/intake.h"

enum { BOUNCE_MS = 60 * 1000, LOG_CLEAN = 1, KIND_BOUNCE = 0 };

static enum rc connect_service(struct submission *s, struct str name, struct ipc *c,
                               struct why *why)
{
    char socket[256];

    snprintf(socket, sizeof socket, "private/" STR_FMT, STR_ARG(name));
    if (ipc_connect(c, s->lib->queue.directory, socket, BOUNCE_MS, why) == RC_OK)
        return RC_OK;
    return ipc_connect(c, STR("."), socket, BOUNCE_MS, why);
}

static enum rc read_status(struct submission *s, struct ipc *c, struct why *why)
{
    struct status_reply reply;

    TRY(ipc_read_status_reply(c, s->arena, &reply, NULL, why));
    if (reply.status != 0)
        return FAIL(why, RC_TEMP, STR_FMT, STR_ARG(reply.text));
    return RC_OK;
}

static enum rc append_one(struct submission *s, struct ipc *c, const struct recipient *r,
                          const struct dsn *dsn, long flags, struct why *why)
{
    struct bounce_append m = {
        .flags = flags, .queue_id = str_of(queue_file_id(s->file)), .recipient = *r, .dsn = *dsn};

    TRY(ipc_send_bounce_append(c, &m, -1, why));
    return read_status(s, c, why);
}

static enum rc bounce_all(struct submission *s, struct ipc *c, struct why *why)
{
    const struct submit_outcome *o = submit_outcome(s->status);
    struct dsn dsn = {.action = STR("failed")};
    struct bounce_flush flush = {.kind = KIND_BOUNCE,
                                 .flags = LOG_CLEAN,
                                 .queue_name = STR("incoming"),
                                 .queue_id = str_of(queue_file_id(s->file)),
                                 .encoding = s->encoding,
                                 .sendopts = s->sendopts,
                                 .sender = s->sender,
                                 .envid = s->envid,
                                 .dsn_ret = s->dsn_ret};

    dsn_split(s->reason, o->dsn, &dsn.status, &dsn.reason);
    if (dsn.reason.n == 0)
        dsn.reason = str_of(o->text);
    for (size_t i = 0; i < s->recipients.n; i++)
        TRY(append_one(s, c, &s->recipients.v[i], &dsn, LOG_CLEAN, why));
    TRY(ipc_send_bounce_flush(c, &flush, -1, why));
    return read_status(s, c, why);
}

void submission_drop_log(struct submission *s, struct str log_class)
{
    struct why why;

    if (bounce_log_remove(&s->lib->queue, log_class, str_of(queue_file_id(s->file)), &why) ==
        RC_TEMP)
        log_warning(&s->log, "%s", why.text);
}

bool refuse_bounce(struct submission *s)
{
    struct ipc c;
    struct why why;
    enum rc rc;

    if (s->recipients.n == 0)
        return false;
    rc = connect_service(s, s->lib->config->bounce_service_name, &c, &why);
    if (rc == RC_OK) {
        rc = bounce_all(s, &c, &why);
        ipc_done(&c);
    }
    if (rc != RC_OK) {
        log_warning(&s->log, "cannot return the message to its sender: %s", why.text);
        submission_drop_log(s, STR("bounce")); /* the next attempt has an id of its own */
    }
    return rc == RC_OK;
}

void trace_expanded(struct submission *s, const struct recipient *r)
{
    const struct dsn dsn = {
        .status = STR("2.0.0"), .action = STR("expanded"), .reason = STR("alias expanded")};
    struct ipc c;
    struct why why;
    enum rc rc = connect_service(s, s->lib->config->trace_service_name, &c, &why);

    s->traced = true;
    if (rc == RC_OK) {
        rc = append_one(s, &c, r, &dsn, 0, &why);
        ipc_done(&c);
    }
    if (rc != RC_OK) {
        log_warning(&s->log, "trace service: %s", why.text);
        submission_fail(s, SUBMIT_WRITE, STR_NONE);
    }
}
