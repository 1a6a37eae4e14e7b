/*
 * obtuse-smtpd - the SMTP proxy of Obtuse smtpd, with its options.
 *
 * Makes a private instance of the mail system from them and runs it: with -D its master, else the
 * SMTP server for the client on standard input. The server goes into the home directory by chroot,
 * works as the user of -u, asks the check rules, and writes spool files for smtpfwdd.
 */
#include "obtuse-smtpd/obtuse-smtpd.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct command c;
    struct obtuse o = {.command = &c, .arena = arena_new(4096)};
    struct why why;

    command_init(&c, argv[0]);
    obtuse_options(&o, argc, argv);
    if (o.setup) {
        if (obtuse_setup(&o, &why) != RC_OK)
            log_fatal(&c.log, EX_CONFIG, "%s%s", why.text,
                      geteuid() ? "; without root, name a directory of your own with -c" : "");
        return 0;
    }
    if (o.print) {
        fputs(instance_main(&o).p, stdout);
        return fflush(stdout) == 0 ? 0 : EX_OSERR;
    }
    if (o.daemon)
        return obtuse_daemon(&o);
    obtuse_one_session(&o);
}
