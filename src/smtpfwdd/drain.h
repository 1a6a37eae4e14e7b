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
    struct command_account account;
    bool quiet, foreground, once;
    long children_max, poll_seconds, retry_seconds;
    int lock_fd;
};

/* options.c: exits when they are wrong. */
void drain_options(struct drain *d, int argc, char **argv);

/* forward.c, refused.c: the work on one file. */
struct forward {
    const struct drain *d;
    const char *name;
    struct log log; /* with the name of the file */
    struct arena *arena;
    struct spool_message message;
    struct mailer_result *reasons; /* one for each recipient: why it was refused */
    int fd;
    size_t sent, failed;
    bool retry, misconfigured;
};

/* Run the mailer with what is in fd from there on. The status is that of waitpid(). */
int forward_run(const struct forward *f, char **argv, int fd, off_t from);

/* FATE_FAILED: nobody can be told. FATE_RETRY: not now. */
enum fate refused_tell_sender(const struct forward *f);

/* forward.c: in a process of its own. The status says nothing but EX_CONFIG: the mailer is
 * misconfigured. */
_Noreturn void forward_file(const struct drain *d, const char *name);
