/*
 * postlogd - write log lines of programs that cannot write maillog_file themselves.
 *
 * One datagram is one finished line: "Nov 21 10:00:00 host postfix/smtp[123]: text". Our daemons
 * append to the file directly; here come the lines of commands, of daemons in a chroot jail after
 * the file was renamed, and all lines when maillog_file is /dev/stdout.
 */
#include "postlogd/postlogd.h"

#include "config/config.h"

static const struct service postlogd = {
    .name = "postlogd",
    .shape = SERVICE_LOOP,
    .privilege = RUN_AS_MAIL_OWNER,
    .daemon_timeout = offsetof(struct config, postlogd_watchdog_timeout),
    .start = postlogd_start,
    .accepted = postlogd_accepted,
    .drain = postlogd_drain,
};

int main(int argc, char **argv)
{
    return service_main(&postlogd, argc, argv);
}
