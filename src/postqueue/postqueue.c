/*
 * postqueue - what users may do with the queue: list it, have delivery tried.
 *
 * Runs set-gid to reach the public services. Lists with the help of showq(8); root reads the
 * directories when the system is down.
 */
#include "postqueue/postqueue.h"

#include <unistd.h>

static const char usage[] = "usage: postqueue -f | postqueue -i queueid | postqueue -j | "
                            "postqueue -p | postqueue -s site";

int main(int argc, char **argv)
{
    struct command c;
    const char *dir = NULL, *argument = NULL;
    int letter, what = 0;

    command_init(&c, argv[0]);
    c.failure = STATUS_FAILED;
    while ((letter = getopt(argc, argv, "c:fi:jps:v")) > 0) {
        if (letter == '?')
            log_fatal(&c.log, STATUS_FAILED, "%s", usage);
        if (letter == 'c') {
            dir = optarg;
        } else if (letter != 'v') {
            if (what)
                log_fatal(&c.log, STATUS_FAILED, "%s", usage);
            what = letter;
            argument = optarg;
        }
    }
    if (argc > optind || what == 0)
        log_fatal(&c.log, STATUS_FAILED, "%s", usage);
    command_configure(&c, dir);
    switch (what) {
    case 'f': flush_queue(&c); break;
    case 'i': flush_id(&c, argument); break;
    case 's': flush_site(&c, argument); break;
    default: show_queue(&c, what == 'j'); break;
    }
    return fflush(stdout) == 0 ? 0 : STATUS_FAILED;
}
