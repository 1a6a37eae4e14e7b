/* Connections, datagrams and trigger bytes that arrive at the sockets of a service. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/runtime.h"

enum { TRIGGER_BYTES_MAX = 256 };

int listener_accept(struct runtime *r, int listener, bool blocking)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK));

    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        log_warning(&r->env.log, "accept connection: %m");
        sleep(1); /* whoever waits stays in the backlog */
    }
    return fd;
}

bool wait_for_input(int fd, long timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, (int)timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

bool starts_with_trigger(int fd)
{
    char first;

    return recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && is_alpha(first);
}

void run_trigger(struct runtime *r, struct service_env *env, int fd)
{
    char bytes[TRIGGER_BYTES_MAX];
    ssize_t n = read(fd, bytes, sizeof bytes);

    if (n <= 0 || r->service->wakeup == NULL)
        return;
    pthread_mutex_lock(&r->wakeup_lock);
    log_debug(&env->log, "wake-up, %zd bytes", n);
    env->pulse = &r->wakeup_pulse;
    service_progress(env);
    r->service->wakeup(env, r->state, (struct str){bytes, (size_t)n});
    service_waits(env);
    pthread_mutex_unlock(&r->wakeup_lock);
}
