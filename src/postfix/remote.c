/* What members of postfix_control_group may do: ask master. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "postfix/postfix.h"
#include "util/clock.h"
#include "util/net.h"

enum { TIMEOUT_MS = 10 * 1000, STOP_MS = 20 * 1000, STEP_US = 20 * 1000 };

static enum rc connect_master(const struct postfix *p, int *fd, struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    struct str path =
        arena_printf(a, STR_FMT "/control", STR_ARG(p->config->submit_socket_directory));

    return net_connect_unix(path.p, SOCK_STREAM, TIMEOUT_MS, fd, why);
}

static int ask(struct postfix *p, const char *word)
{
    char reply[64] = "";
    struct why why;
    int fd = -1;

    if (connect_master(p, &fd, &why) != RC_OK)
        log_fatal(&p->self, 1,
                  "%s: %s; is the mail system running, and are you a member of "
                  "postfix_control_group = " STR_FMT "?",
                  word, why.text, STR_ARG(p->config->postfix_control_group));
    if (send(fd, word, strlen(word), MSG_NOSIGNAL) < 0 || recv(fd, reply, sizeof reply - 1, 0) < 0)
        log_fatal(&p->self, 1, "%s: %m", word);
    close(fd);
    if (strcmp(reply, "ok") != 0)
        log_fatal(&p->self, 1, "%s: %s", word, reply[0] ? reply : "no answer");
    return 0;
}

/* Nobody answers any more. */
static int wait_for_the_end(struct postfix *p)
{
    long end = clock_ms() + STOP_MS;
    int fd = -1;

    while (connect_master(p, &fd, NULL) == RC_OK) {
        close(fd);
        if (clock_ms() > end)
            log_fatal(&p->self, 1, "stop: the mail system still runs");
        usleep(STEP_US);
    }
    return 0;
}

bool remote_is_wanted(const struct postfix *p, const char *word)
{
    static const char *const words[] = {"reload", "stop", "status", "flush", "start"};

    for (size_t i = 0; p->config->postfix_control_group.n && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

int remote_run(struct postfix *p, const char *word)
{
    if (strcmp(word, "start") == 0)
        log_fatal(&p->self, 1,
                  "start needs root or a supervisor that runs \"postfix start-fg\"; with runit: "
                  "sv up SERVICE, which its group may do");
    ask(p, word);
    return strcmp(word, "stop") == 0 ? wait_for_the_end(p) : 0;
}
