/*
 * Telling qmgr about a new file, on kept connections.
 *
 * Those whose files were synced together come together, and qmgr wakes up in the middle of a send:
 * with one connection they would stand in line behind a thread that has lost its processor. A
 * further one is made when all before it are in use.
 *
 * The descriptor and the parsed envelope travel along. When qmgr is not there, or does not read,
 * nothing is lost: the file lies in incoming/, and a thread that lives only until then tells qmgr
 * to look there as soon as it listens. A qmgr that falls behind makes senders wait, but no longer
 * than in_flow_delay, and after that nobody waits for a second: this is the only brake, and it is
 * as short as it can be.
 */
#include <stdio.h>
#include <unistd.h>

#include "submit/intake.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/net.h"

enum { CONNECT_MS = 1000, PAUSE_MS = 1000, PATIENCE_MIN_MS = 500 };

void handover_open(struct submit_library *lib)
{
    struct handover *h = &lib->handover;

    for (int i = 0; i < HANDOVER_LANES; i++) {
        pthread_mutex_init(&h->lanes[i].lock, NULL);
        ipc_init(&h->lanes[i].qmgr, -1, 0);
    }
    pthread_mutex_init(&h->lock, NULL);
    clock_cond_init(&h->closing);
    h->patience_ms = lib->config->in_flow_delay * 1000;
    if (h->patience_ms < PATIENCE_MIN_MS)
        h->patience_ms = PATIENCE_MIN_MS;
}

/* By its full name, or from the working directory when that is out of reach (chroot). */
static enum rc connect_qmgr(struct submit_library *lib, struct ipc *qmgr, struct why *why)
{
    struct str name = lib->config->queue_service_name;
    char socket[256];

    snprintf(socket, sizeof socket, "public/" STR_FMT, STR_ARG(name));
    if (ipc_connect(qmgr, lib->queue.directory, socket, CONNECT_MS, why) != RC_OK)
        TRY(ipc_connect(qmgr, STR("."), socket, CONNECT_MS, why));
    ipc_trace(qmgr, &lib->log);
    qmgr->timeout_ms = lib->handover.patience_ms;
    return fd_set_blocking(qmgr->fd, false, why);
}

static enum rc send_once(struct submit_library *lib, struct ipc *qmgr, struct str frame, int fd,
                         struct why *why)
{
    enum rc rc = RC_OK;

    if (qmgr->fd < 0)
        rc = connect_qmgr(lib, qmgr, why);
    if (rc == RC_OK)
        rc = ipc_send_frame(qmgr, IPC_message_ready, frame, fd, why);
    if (rc != RC_OK)
        ipc_done(qmgr); /* half a message may be on its way */
    return rc;
}

/* What was not announced lies in incoming/ for anybody to see. The lock is held. */
static void remind(struct submit_library *lib)
{
    struct handover *h = &lib->handover;
    struct handover_lane *lane = &h->lanes[0];
    struct ipc *qmgr = &lane->qmgr;
    struct why why;

    pthread_mutex_lock(&lane->lock);
    if ((qmgr->fd >= 0 || connect_qmgr(lib, qmgr, &why) == RC_OK) &&
        fd_send(qmgr->fd, "I", 1, -1) == 1)
        h->missed = false;
    else
        ipc_done(qmgr);
    pthread_mutex_unlock(&lane->lock);
}

static void *remind_later(void *context)
{
    struct submit_library *lib = context;
    struct handover *h = &lib->handover;

    pthread_mutex_lock(&h->lock);
    while (h->missed && !h->is_closing) {
        clock_cond_wait(&h->closing, &h->lock, PAUSE_MS);
        remind(lib);
    }
    if (h->is_closing)
        pthread_mutex_unlock(&h->lock);
    else {
        h->is_reminding = false;
        pthread_detach(h->reminder);
        pthread_mutex_unlock(&h->lock);
    }
    return NULL;
}

static void missed(struct submit_library *lib)
{
    struct handover *h = &lib->handover;

    h->missed = true;
    if (!h->is_reminding)
        h->is_reminding = pthread_create(&h->reminder, NULL, remind_later, lib) == 0;
}

static enum rc send_frame(struct submit_library *lib, struct ipc *qmgr, struct str frame, int fd)
{
    struct handover *h = &lib->handover;
    bool was_connected = qmgr->fd >= 0;
    struct why why;
    enum rc rc;

    if (!was_connected && clock_ms() < atomic_load(&h->not_before))
        return RC_TEMP;
    rc = send_once(lib, qmgr, frame, fd, &why);
    if (rc != RC_OK && rc != RC_TIMEOUT && was_connected) /* another qmgr by now? */
        rc = send_once(lib, qmgr, frame, fd, &why);
    if (rc != RC_OK)
        atomic_store(&h->not_before, clock_ms() + PAUSE_MS);
    return rc;
}

static struct handover_lane *take_lane(struct handover *h)
{
    for (int i = 0; i < HANDOVER_LANES; i++)
        if (pthread_mutex_trylock(&h->lanes[i].lock) == 0)
            return &h->lanes[i];
    pthread_mutex_lock(&h->lanes[0].lock);
    return &h->lanes[0];
}

static enum rc encode(const struct message_ready *m, struct buf *b)
{
    enum rc rc = ipc_encode(b, IPC_message_ready, m, NULL);
    struct message_ready less = *m;

    if (rc != RC_PERM)
        return rc;
    /* too long for one message: qmgr reads the file */
    less.recipients = NULL;
    less.n_recipients = 0;
    less.complete = false;
    buf_reset(b);
    return ipc_encode(b, IPC_message_ready, &less, NULL);
}

void handover_send(struct submit_library *lib, const struct message_ready *m, int fd)
{
    struct handover *h = &lib->handover;
    struct handover_lane *lane;
    enum rc rc;
    AUTO_BUF frame;

    buf_init(&frame, IPC_FRAME_MAX);
    rc = encode(m, &frame);
    if (rc == RC_OK) {
        lane = take_lane(h);
        rc = send_frame(lib, &lane->qmgr, buf_str(&frame), fd);
        pthread_mutex_unlock(&lane->lock);
    }
    if (rc == RC_OK)
        return;
    pthread_mutex_lock(&h->lock);
    missed(lib);
    pthread_mutex_unlock(&h->lock);
}

void handover_close(struct submit_library *lib)
{
    struct handover *h = &lib->handover;
    bool reminding;

    pthread_mutex_lock(&h->lock);
    h->is_closing = true;
    reminding = h->is_reminding;
    pthread_cond_signal(&h->closing);
    pthread_mutex_unlock(&h->lock);
    if (reminding)
        pthread_join(h->reminder, NULL);
    for (int i = 0; i < HANDOVER_LANES; i++) {
        ipc_done(&h->lanes[i].qmgr);
        pthread_mutex_destroy(&h->lanes[i].lock);
    }
    pthread_cond_destroy(&h->closing);
    pthread_mutex_destroy(&h->lock);
}
