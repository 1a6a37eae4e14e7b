/* -S: one session on standard input and output (sendmail -bs). --inetd: the same for a client of
 * the network, with all that a session of master has but master. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/runtime.h"
#include "util/file.h"

struct pump {
    int from, to;
};

/* Copy until the end, and pass that on. */
static void *pump(void *context)
{
    const struct pump *p = context;
    char bytes[16 * 1024];
    ssize_t n;

    while ((n = read(p->from, bytes, sizeof bytes)) > 0)
        if (fd_write_all(p->to, (struct str){bytes, (size_t)n}, NULL) != RC_OK)
            break;
    shutdown(p->to, SHUT_WR);
    return NULL;
}

static bool is_socket(int fd)
{
    int type;
    socklen_t n = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

_Noreturn void stdin_run(struct runtime *r)
{
    struct pump in, out;
    pthread_t reader, writer;
    int pair[2];

    if (r->service->session == NULL)
        log_fatal(&r->env.log, 1, "%s does not serve standard input", r->service->name);
    if (is_socket(STDIN_FILENO)) {
        r->service->session(&r->env, r->state, STDIN_FILENO);
        exit(0);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        log_fatal(&r->env.log, 1, "socketpair: %m");
    in = (struct pump){STDIN_FILENO, pair[1]};
    out = (struct pump){pair[1], STDOUT_FILENO};
    if (pthread_create(&reader, NULL, pump, &in) != 0 ||
        pthread_create(&writer, NULL, pump, &out) != 0)
        log_fatal(&r->env.log, 1, "create thread: %m");
    pthread_detach(reader); /* it may wait for input that nobody wants any more */
    r->service->session(&r->env, r->state, pair[0]);
    shutdown(pair[0], SHUT_WR);
    pthread_join(writer, NULL);
    exit(0);
}
