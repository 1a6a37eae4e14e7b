/*
 * sendmail - submit mail; also mailq and newaliases, by the name it is called with.
 *
 * A message goes to pickup(8) over its socket; when the system is down, or refuses for now, to
 * postdrop(1), which stores it in maildrop/. Either way exit status 0 means that it is on disk.
 * Other modes become another program of the suite.
 */
#include "sendmail/sendmail.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Noreturn void become(struct options *o, struct str directory, const char *const argv[])
{
    char path[4096];

    snprintf(path, sizeof path, STR_FMT "/%s", STR_ARG(directory), argv[0]);
    execv(path, (char *const *)argv);
    log_fatal(&o->command.log, EX_TEMPORARY, "cannot run %s: %m", path);
}

static int enqueue(struct options *o)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    AUTO_BUF records;
    long limit = o->command.config->message_size_limit;

    buf_init(&records, limit > 0 ? (size_t)limit * 2 + 1024 * 1024 : 1UL << 31);
    message_records(o, a, &records);
    return hand_over(o, buf_str(&records));
}

static void rebuild_aliases(struct options *o)
{
    AUTO_ARENA a = arena_new(1024);
    struct str rest = o->alias_file ? str_of(o->alias_file) : o->command.config->alias_database,
               word;
    VEC(const char *) argv = {0};

    vec_add(a, &argv, "postalias");
    vec_add(a, &argv, "--");
    while (str_token_braced(&rest, LIST_SEPARATORS, &word))
        vec_add(a, &argv, arena_text(a, word));
    if (argv.n == 2)
        return; /* no alias database: nothing to build */
    vec_add(a, &argv, NULL);
    become(o, o->command.config->command_directory, argv.v);
}

static _Noreturn void run_postqueue(struct options *o, const char *letter)
{
    const char *const argv[] = {"postqueue", letter, o->site, NULL};

    become(o, o->command.config->command_directory, argv);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    static const char *const start[] = {"postfix", "start", NULL}, *const smtp[] = {"smtpd", "-S",
                                                                                    NULL};

    signal(SIGPIPE, SIG_IGN);
    command_init(&o.command, argv[0]);
    o.command.failure = EX_TEMPORARY;
    options_read(&o, argc, argv);
    command_configure(&o.command, o.config_dir);
    switch (o.mode) {
    case MODE_DAEMON: become(&o, o.command.config->command_directory, start);
    case MODE_SMTP: become(&o, o.command.config->daemon_directory, smtp);
    case MODE_LIST: run_postqueue(&o, "-p");
    case MODE_FLUSH: run_postqueue(&o, "-f");
    case MODE_FLUSH_SITE: run_postqueue(&o, "-s");
    case MODE_FLUSH_ID: run_postqueue(&o, "-i");
    case MODE_NEWALIASES: rebuild_aliases(&o); break;
    case MODE_IGNORE: break;
    case MODE_VERIFY:
    case MODE_ENQUEUE: return enqueue(&o);
    }
    return 0;
}
