/*
 * What a daemon and master tell each other over the status channel (descriptor 5): a socket pair
 * that keeps messages apart (SOCK_SEQPACKET), one for each process.
 *
 * A daemon speaks when something changes, not for each request. Master closes its sending side, or
 * ends, when the process shall drain; the daemon may still speak then.
 */
#pragma once

#include <stdint.h>

#include "util/why.h"

enum { STATUS_FD = 5, FLOW_READ_FD = 3, FLOW_WRITE_FD = 4, FIRST_LISTEN_FD = 6 };

/* How many sessions this process may carry at once; decimal. */
#define SERVICE_SESSIONS_ENVIRONMENT "POSTERN_SESSIONS"

enum status_word {
    STATUS_STARTED,  /* ready; value: sessions it can carry at once */
    STATUS_USED,     /* has its first session */
    STATUS_FULL,     /* carries all the sessions it may */
    STATUS_ROOM,     /* and now has room again */
    STATUS_DRAINING, /* accepts no more; value: sessions that remain */
    /* from the service control only */
    STATUS_SET_TRACE,  /* value: enum trace */
    STATUS_SET_PAUSED, /* value: enum paused */
    STATUS_STOP,       /* end the mail system */
};

struct status_report { /* daemon to master */
    int32_t word;      /* enum status_word */
    int32_t value;
};

enum status_request { /* master to daemon, one byte each */
                      STATUS_STRESS_ON = 'S',
                      STATUS_STRESS_OFF = 's',
                      STATUS_SHED =
                          'I', /* somebody waits for a session: end idle kept connections */
                      STATUS_LOOK =
                          'L', /* a connection may wait that another process was woken for */
                      STATUS_DRAIN = 'D', /* the same as the end of the channel */
};
