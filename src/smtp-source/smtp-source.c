/*
 * smtp-source - send many messages by SMTP or LMTP, for tests.
 *
 * One event loop drives all sessions; each command waits for its reply.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtp-source/source.h"

int main(int argc, char **argv)
{
    struct source s = {
        .o = {.messages = 1, .recipients = 1, .sessions = 1, .tries = 1, .length = -1}};

    signal(SIGPIPE, SIG_IGN);
    log_open(&s.log, &(struct log_options){.only_stderr = true, .progname = "smtp-source"});
    source_options_read(&s, argc, argv);
    srandom((unsigned)getpid());
    source_resolve(&s, argv[argc - 1]);
    message_prepare(&s);
    s.loop = loop_new();
    s.left = s.o.messages;
    for (long i = 0; i < s.o.sessions && i < s.o.messages; i++)
        session_start(&s);
    loop_run(s.loop);
    if (s.o.counter)
        putchar('\n');
    return 0;
}
