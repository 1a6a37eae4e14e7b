/*
 * tlsmgr - home of what TLS sessions share across processes.
 *
 * It makes the keys that session tickets are sealed with and replaces them in time, so that a
 * ticket from one smtpd process is good for all; keeps the session caches; and gives out random
 * bytes from an outside source. Everything but the caches is in memory.
 */
#include "tlsmgr/tlsmgr.h"

static const struct service tlsmgr = {
    .name = "tlsmgr",
    .shape = SERVICE_LOOP,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_DATA,
    .start = tlsmgr_start,
    .confined = tlsmgr_confined,
    .accepted = tlsmgr_accepted,
};

int main(int argc, char **argv)
{
    return service_main(&tlsmgr, argc, argv);
}
