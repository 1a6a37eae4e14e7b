/*
 * smtp-sink - an SMTP and LMTP server for tests: takes mail and throws it away, or writes it down.
 *
 * One event loop serves all sessions. Each command can be told to be refused, delayed, logged, or
 * answered by hanging up.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtp-sink/sink.h"

int main(int argc, char **argv)
{
    struct sink s = {.o = {.hostname = "smtp-sink",
                           .soft_reply = "450 4.3.0 Error: command failed",
                           .hard_reply = "500 5.3.0 Error: command failed",
                           .max_sessions = 256,
                           .abort_delay = -1,
                           .timeout = 100}};

    signal(SIGPIPE, SIG_IGN);
    log_open(&s.log, &(struct log_options){.only_stderr = true, .progname = "smtp-sink"});
    sink_options_read(&s, argc, argv);
    s.loop = loop_new();
    srandom((unsigned)getpid());
    sink_open(&s, argv[argc - 2], strtol(argv[argc - 1], NULL, 10));
    sink_listen(&s, true);
    loop_run(s.loop);
    if (s.o.counters)
        putchar('\n');
    return 0;
}
