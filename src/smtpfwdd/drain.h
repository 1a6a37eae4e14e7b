/* The command: options, and the work on one spool file. */
#pragma once

#include "service/command.h"
#include "smtpfwdd/smtpfwdd.h"
#include "submit/spool_file.h"

enum { ARGUMENTS_MAX = 100, MAILER_SECONDS_MAX = 3600 };

struct drain {
    struct command *command;
    const char *directory, *mailer;
    const char *user, *group;
    uid_t uid;
    gid_t gid;
    bool quiet, foreground, once;
    long children_max, poll_seconds, retry_seconds;
    int lock_fd;
};

/* options.c: exits when they are wrong. */
void drain_options(struct drain *d, int argc, char **argv);

/* forward.c: in a process of its own. The status says nothing but EX_CONFIG: the mailer is
 * misconfigured. */
_Noreturn void forward_file(const struct drain *d, const char *name);
