/*
 * postkick - poke a service: postkick [-v] [-c config_dir] class service request.
 *
 * Each byte of request is a trigger of that service (public or private). Exit status 0 when they
 * were handed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/command.h"
#include "util/file.h"
#include "util/net.h"

static _Noreturn void usage(const struct command *c)
{
    log_fatal(&c->log, 1, "usage: postkick [-c config_dir] [-v] class service request");
}

static enum rc kick(const struct config *config, const char *path, struct str request,
                    struct why *why)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;

    if (stat(path, &st) < 0)
        return FAIL(why, RC_TEMP, "%s: %m", path);
    if (S_ISFIFO(st.st_mode)) {
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return FAIL(why, RC_TEMP, "open %s: %m", path);
    } else {
        TRY(net_connect_unix(path, SOCK_STREAM, config->trigger_timeout * 1000, &fd, why));
    }
    return fd_write_all(fd, request, why);
}

int main(int argc, char **argv)
{
    const char *directory = NULL;
    struct command c;
    struct why why;
    char path[PATH_MAX];
    int letter;

    command_init(&c, argv[0]);
    while ((letter = getopt(argc, argv, "c:v")) > 0) {
        if (letter == 'c')
            directory = optarg;
        else if (letter == 'v')
            c.log.verbose++;
        else
            usage(&c);
    }
    if (argc - optind != 3)
        usage(&c);
    argv += optind;
    if (strcmp(argv[0], "public") != 0 && strcmp(argv[0], "private") != 0)
        log_fatal(&c.log, 1, "class \"%s\": public or private", argv[0]);
    if (strchr(argv[1], '/'))
        log_fatal(&c.log, 1, "service \"%s\": a name without /", argv[1]);
    command_configure(&c, directory);
    snprintf(path, sizeof path, "%s/%s/%s", c.config->queue_directory.p, argv[0], argv[1]);
    if (kick(c.config, path, str_of(argv[2]), &why) != RC_OK)
        log_fatal(&c.log, 1, "cannot poke service %s/%s: %s", argv[0], argv[1], why.text);
    return 0;
}
