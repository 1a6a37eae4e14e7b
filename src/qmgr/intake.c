/*
 * What comes in on the public socket: notices of new mail with the open file, trigger bytes,
 * questions of postsuper. Everything that is there is taken before the loop goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "qmgr/qmgr.h"
#include "qmgr/worker.h"
#include "util/memory.h"

enum { MESSAGE_ARENA = 1024, IN_ONE_GO = 64, IDS_PER_FRAME = 60 * 1024 };

struct intake {
    struct qmgr *q;
    struct link link;
    struct ipc ipc;
};

static void close_intake(struct intake *i)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    loop_unwatch(i->q->loop, i->ipc.fd);
    list_remove(&i->link);
    ipc_done(&i->ipc);
    free(i);
}

static enum rc take_notice(struct intake *i, struct why *why)
{
    struct arena *a = arena_new(MESSAGE_ARENA);
    struct message_ready notice = {0};
    int fd = -1;
    enum rc rc = ipc_read_message_ready(&i->ipc, a, &notice, &fd, why);

    if (rc == RC_OK && !message_from_notice(i->q, a, &notice, fd))
        feed_missed(i->q->feed);
    else if (rc != RC_OK)
        arena_free(a);
    return rc;
}

/* 0: not in memory any more, the file may be taken away. only_if_idle: not while it is delivered.
 */
static long forget_message(struct qmgr *q, struct str id, bool only_if_idle)
{
    struct message *m = map_get(&q->messages, id);
    bool busy = m && (m->n_using_file > 0 || m->is_ending);

    if (m && !(busy && only_if_idle))
        message_forget(m);
    return busy;
}

/* The list is long and its reader may be slow: a worker sends it, over a descriptor of its own. */
struct list_job {
    struct ipc ipc;
    struct buf ids;
    bool is_report; /* lines instead of ids */
};

static enum rc send_part(struct list_job *j, struct str text, bool more)
{
    struct queue_ids ids = {.ids = text, .more = more};
    struct report_text report = {.text = text, .more = more};
    struct why why;

    return j->is_report ? ipc_send_report_text(&j->ipc, &report, -1, &why)
                        : ipc_send_queue_ids(&j->ipc, &ids, -1, &why);
}

static void list_work(void *context)
{
    struct list_job *j = context;
    struct str rest = buf_str(&j->ids);

    do {
        struct str part = str_head(rest, IDS_PER_FRAME);
        if (rest.n > IDS_PER_FRAME)
            part.n = (size_t)str_rindex(part, j->is_report ? '\n' : ' ') + 1;
        rest = str_from(rest, part.n);
        if (send_part(j, part, rest.n > 0) != RC_OK)
            break;
    } while (rest.n);
}

static void list_done(void *context)
{
    struct list_job *j = context;

    ipc_done(&j->ipc);
    buf_done(&j->ids);
    free(j);
}

static enum rc list_messages(struct intake *i, bool is_report, struct why *why)
{
    struct list_job *j;
    int fd = dup(i->ipc.fd);

    if (fd < 0)
        return FAIL(why, RC_TEMP, "dup: %m");
    j = NEW(struct list_job);
    j->is_report = is_report;
    ipc_init(&j->ipc, fd, i->ipc.timeout_ms);
    buf_init(&j->ids, 64 * 1024 * 1024);
    if (is_report)
        control_report(i->q, &j->ids);
    for (struct map_item *m = NULL; !is_report && (m = map_next(&i->q->messages, m));) {
        buf_add(&j->ids, m->key);
        buf_addc(&j->ids, ' ');
    }
    worker_do(i->q->reports, list_work, list_done, j);
    return RC_OK;
}

static enum rc take_question(struct intake *i, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct qmgr_control question = {0};
    struct status_reply reply = {0};

    TRY(ipc_read_qmgr_control(&i->ipc, a, &question, NULL, why));
    switch (question.operation) {
    case 'd':
    case 'r':
        reply.status = forget_message(i->q, question.queue_id, question.operation == 'r');
        if (reply.status == 0 || question.operation == 'd')
            index_forget(i->q, question.queue_id);
        board_count(&i->q->env->board, COUNTER_envelope_removed, question.operation == 'd');
        break;
    case 'i': index_refresh(i->q, question.queue_id); break;
    case 'n': feed_one(i->q->feed, question.queue_id); break;
    case 'l':
    case 'R': return list_messages(i, question.operation == 'R', why);
    case 'c': control_run_all(i->q); break;
    case 'v': control_resume(i->q, question.number); break;
    case 'B':
    case 'U':
        control_block(i->q, question.text, question.queue_id, question.operation == 'B');
        break;
    default: return FAIL(why, RC_PERM, "unknown question %ld", question.operation);
    }
    return ipc_send_status_reply(&i->ipc, &reply, -1, why);
}

static enum rc take_frame(struct intake *i, enum ipc_type type, struct why *why)
{
    switch (type) {
    case IPC_message_ready: return take_notice(i, why);
    case IPC_qmgr_control: return take_question(i, why);
    default: return FAIL(why, RC_PERM, "unexpected message %s", ipc_name(type));
    }
}

static void intake_ready(void *context, int events)
{
    struct intake *i = context;
    struct why why = {0};
    enum rc rc = RC_OK;

    (void)events;
    for (int n = 0; n < IN_ONE_GO && rc == RC_OK; n++) {
        enum ipc_type type;
        struct str letters;
        errno = 0;
        rc = ipc_receive(&i->ipc, &why);
        if (rc == RC_PERM || rc == RC_TEMP)
            break;
        letters = ipc_trigger_bytes(&i->ipc);
        if (letters.n)
            qmgr_trigger(i->q, letters);
        while (ipc_has_frame(&i->ipc, &type)) {
            enum rc frame = take_frame(i, type, &why);
            if (frame != RC_OK) {
                rc = frame;
                break;
            }
        }
    }
    if (rc == RC_OK || rc == RC_NONE)
        return;
    if (rc != RC_EOF)
        log_warning(i->q->log, "%s socket: %s", i->q->env->name, why.text);
    close_intake(i);
}

void intake_accept(struct qmgr *q, int fd)
{
    struct intake *i = NEW(struct intake);

    i->q = q;
    ipc_init(&i->ipc, fd, q->config->qmgr_ipc_timeout * 1000);
    ipc_trace(&i->ipc, q->log);
    list_append(&q->intakes, &i->link);
    loop_watch(q->loop, fd, LOOP_READ, intake_ready, i);
}

void intake_close_all(struct qmgr *q)
{
    while (!list_is_empty(&q->intakes))
        close_intake(ITEM_OF(q->intakes.next, struct intake, link));
}

/* A ignore times, F forget dead sites, D scan deferred, I and W scan incoming; A and F count first.
 */
void qmgr_trigger(struct qmgr *q, struct str requests)
{
    unsigned what = 0;
    bool revive = false;

    for (size_t i = 0; i < requests.n; i++)
        switch (requests.p[i]) {
        case 'A': what |= SCAN_IGNORE_TIMES; break;
        case 'F': revive = true; break;
        case 'D': what |= SCAN_DEFERRED; break;
        case 'I':
        case 'W': what |= SCAN_INCOMING; break;
        case '\0': break; /* postkick and old programs end requests so */
        default: log_warning(q->log, "ignoring unknown request code %d", requests.p[i]);
        }
    if (what & SCAN_IGNORE_TIMES)
        q->flushes++;
    if (revive)
        for (struct map_item *t = NULL; (t = map_next(&q->transports, t));)
            transport_revive(t->value);
    if (what & ~(unsigned)SCAN_IGNORE_TIMES)
        feed_scan(q->feed, what);
}
