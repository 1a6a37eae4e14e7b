/*
 * postlock - run a command while a mailbox file is locked.
 *
 * postlock [-v] [-c config_dir] [-l lock_style] file command...: the exit status is the command's;
 * 75 when the file cannot be locked or the command not be run.
 */
#include "postlock/postlock.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_TEMPFAIL = 75 };

static _Noreturn void usage(const struct command *c)
{
    log_fatal(&c->log, STATUS_TEMPFAIL,
              "usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...");
}

/* Whoever interrupts us means the command; we stay to remove the lock. */
static int run(const struct command *c, char **argv)
{
    posix_spawnattr_t attributes;
    sigset_t normal;
    pid_t pid;
    int status, error;

    sigemptyset(&normal);
    sigaddset(&normal, SIGINT);
    sigaddset(&normal, SIGQUIT);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigdefault(&attributes, &normal);
    error = posix_spawnp(&pid, argv[0], NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    if (error) {
        errno = error;
        log_error(&c->log, "%s: %m", argv[0]);
        return STATUS_TEMPFAIL;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return STATUS_TEMPFAIL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_TEMPFAIL;
}

int main(int argc, char **argv)
{
    const char *directory = NULL, *style = NULL;
    struct folder_lock lock;
    struct command c;
    struct why why;
    int letter, status;

    command_init(&c, argv[0]);
    c.failure = STATUS_TEMPFAIL;
    while ((letter = getopt(argc, argv, "+c:l:v")) > 0) {
        if (letter == 'c')
            directory = optarg;
        else if (letter == 'l')
            style = optarg;
        else if (letter == 'v')
            c.log.verbose++;
        else
            usage(&c);
    }
    if (argc - optind < 2)
        usage(&c);
    command_configure(&c, directory);
    if (folder_lock(c.config, style ? str_of(style) : c.config->mailbox_delivery_lock, argv[optind],
                    &lock, &why) != RC_OK)
        log_fatal(&c.log, STATUS_TEMPFAIL, "%s", why.text);
    status = run(&c, argv + optind + 1);
    folder_unlock(&lock);
    return status;
}
