/*
 * Notices to the postmaster about trouble in a session, as notify_classes asks for them. They carry
 * the transcript; bounces and delays are the business of bounce(8).
 */
#pragma once

#include "config/config.h"
#include "service/service.h"
#include "wire/transcript.h"

enum notify_class {
    NOTIFY_DATA = 1 << 0,     /* a table could not be read */
    NOTIFY_POLICY = 1 << 1,   /* refused by the rules */
    NOTIFY_PROTOCOL = 1 << 2, /* wrong or unknown commands or replies */
    NOTIFY_RESOURCE = 1 << 3, /* no space, no memory, no queue */
    NOTIFY_SOFTWARE = 1 << 4, /* configuration that cannot work */
};

/* Bits of notify_classes that concern sessions. */
unsigned notify_classes(const struct config *config);

/*
 * subject: "SMTP server: errors from host[addr]", without mail_name. Goes to
 * error_notice_recipient from the double-bounce address; trouble is logged and forgotten.
 */
void notice_send(const struct service_env *env, struct service_pool *cleanup, const char *subject,
                 const struct transcript *t);
