/*
 * smtp - deliver mail to other hosts by SMTP; as "lmtp" by LMTP (RFC 5321, RFC 2033).
 *
 * Requests come from qmgr, one at a time on each connection, each connection on a thread of its
 * own. For each request: find the hosts of the destination, reuse a connection or make one, send
 * the message, report each recipient. Connections are kept for the next request for a moment.
 */
#include "smtp/smtp.h"

#include "service/service.h"

static const struct service smtp = {
    .name = "smtp",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_CONNECT,
    .start = smtp_start,
    .session = smtp_serve,
    .has_changed = smtp_has_changed,
};

static const struct service lmtp = {
    .name = "lmtp",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_CONNECT,
    .start = smtp_start,
    .session = smtp_serve,
    .has_changed = smtp_has_changed,
};

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];

    return service_main(strcmp(name, "lmtp") == 0 ? &lmtp : &smtp, argc, argv);
}
