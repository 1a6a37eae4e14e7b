/*
 * Telling qmgr about a new file, on one kept connection.
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

    pthread_mutex_init(&h->lock, NULL);
    clock_cond_init(&h->closing);
    ipc_init(&h->qmgr, -1, 0);
    h->patience_ms = lib->config->in_flow_delay * 1000;
    if (h->patience_ms < PATIENCE_MIN_MS)
        h->patience_ms = PATIENCE_MIN_MS;
}

/* By its full name, or from the working directory when that is out of reach (chroot). */
static enum rc connect_qmgr(struct submit_library *lib, struct why *why)
{
    struct handover *h = &lib->handover;
    struct str name = lib->config->queue_service_name;
    char socket[256];

    snprintf(socket, sizeof socket, "public/" STR_FMT, STR_ARG(name));
    if (ipc_connect(&h->qmgr, lib->queue.directory, socket, CONNECT_MS, why) != RC_OK)
        TRY(ipc_connect(&h->qmgr, STR("."), socket, CONNECT_MS, why));
    ipc_trace(&h->qmgr, &lib->log);
    h->qmgr.timeout_ms = h->patience_ms;
    return fd_set_blocking(h->qmgr.fd, false, why);
}

static enum rc send_once(struct submit_library *lib, const struct message_ready *m, int fd,
                         struct why *why)
{
    struct handover *h = &lib->handover;
    enum rc rc = RC_OK;

    if (h->qmgr.fd < 0)
        rc = connect_qmgr(lib, why);
    if (rc == RC_OK)
        rc = ipc_send_message_ready(&h->qmgr, m, fd, why);
    if (rc == RC_PERM) { /* too long for one message: qmgr reads the file */
        struct message_ready less = *m;
        less.recipients = NULL;
        less.n_recipients = 0;
        less.complete = false;
        rc = ipc_send_message_ready(&h->qmgr, &less, fd, why);
    }
    if (rc != RC_OK)
        ipc_done(&h->qmgr); /* half a message may be on its way */
    return rc;
}

/* What was not announced lies in incoming/ for anybody to see. The lock is held. */
static void remind(struct submit_library *lib)
{
    struct handover *h = &lib->handover;
    struct why why;

    if (h->qmgr.fd < 0 && connect_qmgr(lib, &why) != RC_OK)
        ipc_done(&h->qmgr);
    else if (fd_send(h->qmgr.fd, "I", 1, -1) == 1)
        h->missed = false;
    else
        ipc_done(&h->qmgr);
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

void handover_send(struct submit_library *lib, const struct message_ready *m, int fd)
{
    struct handover *h = &lib->handover;
    bool was_connected;
    struct why why;
    enum rc rc = RC_TEMP;

    pthread_mutex_lock(&h->lock);
    was_connected = h->qmgr.fd >= 0;
    if (was_connected || clock_ms() >= h->not_before) {
        rc = send_once(lib, m, fd, &why);
        if (rc != RC_OK && rc != RC_TIMEOUT && was_connected) /* another qmgr by now? */
            rc = send_once(lib, m, fd, &why);
        if (rc != RC_OK)
            h->not_before = clock_ms() + PAUSE_MS;
    }
    if (rc != RC_OK)
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
    ipc_done(&h->qmgr);
    pthread_cond_destroy(&h->closing);
    pthread_mutex_destroy(&h->lock);
}
