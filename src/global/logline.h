/* Log lines that Postfix writes and scripts parse; one function per shape. */
#pragma once

#include "ipc/ipc.h"
#include "util/log.h"

/* "1.2", "0.05", "10": seconds as in delay=; digits: delay_logging_resolution_limit. */
enum { LOGLINE_SECONDS_SIZE = 32 };
struct str logline_seconds_text(char text[LOGLINE_SECONDS_SIZE], double seconds, long digits);

struct logline_delivery {
    const struct recipient *recipient;
    struct str relay; /* "" gives none */
    long conn_use;
    struct timespec arrival, active, agent, connected, now; /* zero: unknown */
    struct str tls;                                         /* feature text or empty */
    const struct dsn *dsn;
    const char
        *status; /* "sent", "deferred", "bounced", "SOFTBOUNCE", "deliverable", "undeliverable" */
    long digits;
};
/* to=<R>[, orig_to=<O>], relay=..., delay=..., delays=a/b/c/d[, tls=...], dsn=..., status=...
 * (reason) */
void logline_delivered(const struct log *log, const struct logline_delivery *d);

void logline_queue_active(const struct log *log, struct str sender, long size, long recipients);
void logline_removed(const struct log *log);
void logline_message_id(const struct log *log, struct str message_id, bool resent);
void logline_uid(const struct log *log, long uid, struct str sender, struct str orig_id);
