/* Private to deliver/: what the sessions of an agent share. */
#pragma once

#include "deliver/deliver.h"

struct maps;

struct deliver_shared {
    struct service_pool *bounce, *defer, *trace, *verify; /* kept connections */
    struct maps *status_filter;                           /* TRANSPORT_delivery_status_filter */
    struct queue_keys *keys;                              /* queue_encryption_key */
    long digits;                                          /* delay_logging_resolution_limit */
    bool soft_bounce;
};
