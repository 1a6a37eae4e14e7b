/* The LOOP shape: one thread, one event loop. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/runtime.h"
#include "util/memory.h"

/* A connection to a service that has wakeup(), until its first byte tells what it is. */
struct newcomer {
    struct runtime *runtime;
    int fd;
};

static void first_use(struct runtime *r)
{
    if (r->served++ == 0)
        status_tell(r, STATUS_USED, 0);
}

static void newcomer_speaks(void *context, int events)
{
    struct newcomer *n = context;
    struct runtime *r = n->runtime;
    int fd = n->fd;
    char byte;

    (void)events;
    loop_unwatch(r->env.loop, fd);
    free(n);
    if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        close(fd);
    } else if (starts_with_trigger(fd)) {
        run_trigger(r, &r->env, fd);
        close(fd);
    } else {
        r->service->accepted(&r->env, r->state, fd);
    }
}

static void connection_is_there(void *context, int events)
{
    struct runtime *r = context;

    (void)events;
    for (int i = 0; i < r->n_listeners; i++) {
        const struct listener *l = &r->listeners[i];
        int fd;
        if (l->is_fifo || l->is_dgram || (fd = listener_accept(r, l->fd, false)) < 0)
            continue;
        first_use(r);
        if (r->service->wakeup == NULL) {
            r->service->accepted(&r->env, r->state, fd);
            continue;
        }
        struct newcomer *n = NEW(struct newcomer);
        *n = (struct newcomer){r, fd};
        loop_watch(r->env.loop, fd, LOOP_READ, newcomer_speaks, n);
    }
}

static void fifo_speaks(void *context, int events)
{
    struct runtime *r = context;

    (void)events;
    for (int i = 0; i < r->n_listeners; i++)
        if (r->listeners[i].is_fifo) {
            first_use(r);
            run_trigger(r, &r->env, r->listeners[i].fd);
        }
}

static void drain(struct runtime *r)
{
    if (atomic_exchange(&r->draining, true))
        return;
    status_tell(r, STATUS_DRAINING, 1);
    loop_unwatch(r->env.loop, r->status_fd);
    for (int i = 0; i < r->n_listeners; i++) {
        if (r->listeners[i].is_dgram) /* the service's own business */
            continue;
        loop_unwatch(r->env.loop, r->listeners[i].fd);
        close(r->listeners[i].fd); /* whoever starts next may want to listen there */
    }
    if (r->service->drain == NULL)
        service_exit(&r->env);
    r->service->drain(&r->env, r->state);
}

static void master_speaks(void *context, int events)
{
    (void)events;
    if (!status_read(context))
        drain(context);
}

static void still_alive(void *context)
{
    struct runtime *r = context;

    watchdog_wind(r);
    loop_after(r->env.loop, watchdog_interval_ms(r), still_alive, r);
}

_Noreturn void loop_shape_run(struct runtime *r)
{
    struct loop *loop = r->env.loop;

    for (int i = 0; i < r->n_listeners; i++) {
        const struct listener *l = &r->listeners[i];
        if (l->is_dgram)
            r->service->accepted(&r->env, r->state, l->fd);
        else
            loop_watch(loop, l->fd, LOOP_READ, l->is_fifo ? fifo_speaks : connection_is_there, r);
    }
    loop_watch(loop, r->status_fd, LOOP_READ, master_speaks, r);
    watchdog_start(r);
    still_alive(r);
    status_tell(r, STATUS_STARTED, 1);
    loop_run(loop);
    service_exit(&r->env);
}

_Noreturn void service_exit(struct service_env *env)
{
    (void)env;
    exit(0);
}
