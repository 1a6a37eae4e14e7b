/* smtpfwdd -d SPOOL -u USER -g GROUP [-q] [-s PROGRAM] [-M children] [-P seconds] */
#include <getopt.h>
#include <sysexits.h>
#include <unistd.h>

#include "smtpfwdd/drain.h"

static const char usage[] =
    "usage: smtpfwdd -d spool_directory [-u user] [-g group] [-q] [-s sendmail_program] "
    "[-M max_children] [-P poll_seconds] [--retry seconds] [--foreground] [--once]";

enum { OPT_FOREGROUND = 256, OPT_ONCE, OPT_RETRY };

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, OPT_FOREGROUND},
    {"once", no_argument, NULL, OPT_ONCE},
    {"retry", required_argument, NULL, OPT_RETRY},
    {NULL, 0, NULL, 0},
};

static long number(struct drain *d, char letter, long min, long max)
{
    long n;

    if (!str_to_long(str_of(optarg), min, max, &n))
        log_fatal(&d->command->log, EX_USAGE, "option -%c: \"%s\" is no number from %ld to %ld",
                  letter, optarg, min, max);
    return n;
}

static void read_options(struct drain *d, int argc, char **argv)
{
    int letter;

    while ((letter = getopt_long(argc, argv, "d:g:M:P:qs:u:", long_options, NULL)) > 0)
        switch (letter) {
        case 'd': d->directory = optarg; break;
        case 'g': d->group = optarg; break;
        case 'M': d->children_max = number(d, 'M', 1, 1000); break;
        case 'P': d->poll_seconds = number(d, 'P', 1, 1000); break;
        case 'q': d->quiet = true; break;
        case 's': d->mailer = optarg; break;
        case 'u': d->user = optarg; break;
        case OPT_FOREGROUND: d->foreground = true; break;
        case OPT_ONCE: d->foreground = d->once = true; break;
        case OPT_RETRY: d->retry_seconds = number(d, 'r', 0, 1000000); break;
        default: log_fatal(&d->command->log, EX_USAGE, "%s", usage);
        }
    if (optind < argc || d->directory == NULL)
        log_fatal(&d->command->log, EX_USAGE, "%s", usage);
}

void drain_options(struct drain *d, int argc, char **argv)
{
    *d = (struct drain){.command = d->command,
                        .children_max = 10,
                        .poll_seconds = 10,
                        .retry_seconds = 600,
                        .lock_fd = -1};
    read_options(d, argc, argv);
    if (d->directory[0] != '/')
        log_fatal(&d->command->log, EX_USAGE, "option -d: %s is no absolute path name",
                  d->directory);
    if (d->mailer && d->mailer[0] != '/')
        log_fatal(&d->command->log, EX_USAGE, "option -s: %s is no absolute path name", d->mailer);
    command_configure(d->command, NULL);
    if (d->mailer == NULL)
        d->mailer = d->command->config->sendmail_path.p;
    if (access(d->mailer, X_OK) < 0)
        log_fatal(&d->command->log, EX_CONFIG, "%s: %m; name the mailer with -s", d->mailer);
    command_account(d->command, d->user, d->group, &d->account);
    command_account_check(d->command, &d->account);
}
