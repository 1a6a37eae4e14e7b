/* The SESSION shape: one blocking function per connection, on threads that take turns as leader. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/runtime.h"
#include "util/clock.h"
#include "util/memory.h"
#include "util/net.h"
#include "util/thread.h"

enum {
    STACK_BYTES = 256 * 1024, /* virtual; a session touches little of it */
    PASS_TIMEOUT_MS = 10 * 1000,
    WAITING_SECONDS = 30, /* a thread that nobody needs ends then */
    SHED_IDLE_MS = 1000,
    PAUSED_US = 2000,
    LOOK_MS = 1000, /* between looks at the tables */
};

static void wake(int event_fd)
{
    uint64_t one = 1;

    (void)!write(event_fd, &one, sizeof one);
}

bool service_is_draining(const struct service_env *env)
{
    return atomic_load(&env->runtime->draining);
}

/* ---- kept connections ---- */

static bool drains_for_tables(struct runtime *r);

/* Block until there is something to read, the end included. RC_NONE: not within timeout_ms. */
static enum rc wait_for_bytes(int fd, long timeout_ms, struct why *why)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;
    ssize_t n;

    do
        n = timeout_ms > 0 ? poll(&p, 1, (int)timeout_ms) : recv(fd, &byte, 1, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != ECONNRESET)
        return FAIL(why, RC_TEMP, "receive: %m");
    return timeout_ms > 0 && n == 0 ? RC_NONE : RC_OK;
}

static void begin_to_wait(struct service_env *env, const struct ipc *c)
{
    atomic_store(&env->slot->idle_since_ms, clock_ms());
    service_waits(env);
    if (service_is_draining(env)) /* what the client has sent before can still be read */
        shutdown(c->fd, SHUT_RD);
}

static void end_of_wait(struct service_env *env)
{
    atomic_store(&env->slot->idle_since_ms, 0);
    service_progress(env);
}

enum rc service_wait(struct service_env *env, struct ipc *c, long timeout_ms, struct why *why)
{
    enum ipc_type type;
    enum rc rc;

    ipc_trace(c, &env->log);
    if (env->slot == NULL || ipc_has_frame(c, &type))
        return RC_OK;
    begin_to_wait(env, c);
    rc = wait_for_bytes(c->fd, timeout_ms, why);
    if (rc == RC_OK && drains_for_tables(env->runtime))
        return FAIL(why, RC_EOF, "a table has changed");
    end_of_wait(env);
    return rc;
}

/* "profile imsg": how long the request before this one took. */
static void profile_end(const struct service_env *env, struct ipc *c)
{
    log_profile_end(&env->log, c->began, "profile-imsg: %s %s", env->name, ipc_name(c->last));
    c->began = (struct timespec){0};
}

enum rc service_next(struct service_env *env, struct ipc *c, enum ipc_type *type, struct why *why)
{
    long timeout_ms = c->timeout_ms;
    enum rc rc;

    ipc_trace(c, &env->log);
    profile_end(env, c);
    if (env->slot == NULL || ipc_has_frame(c, type))
        return ipc_next(c, type, why);
    if (env->service->has_changed)
        TRY(service_wait(env, c, 0, why));
    else
        begin_to_wait(env, c);
    c->timeout_ms = 0;
    rc = ipc_next(c, type, why);
    c->timeout_ms = timeout_ms;
    end_of_wait(env);
    if (rc == RC_OK) {
        c->began = log_profile_begin(&env->log, LOG_PROFILE_IMSG);
        c->last = *type;
    }
    return rc;
}

/* End sessions that have waited in service_next() for at least this long. lock held. */
static void end_idle(struct runtime *r, long idle_ms)
{
    long now = clock_ms();

    for (long i = 0; i < r->capacity; i++) {
        long since = atomic_load(&r->slots[i].idle_since_ms);
        if (r->slots[i].is_used && since && now - since >= idle_ms)
            shutdown(r->slots[i].fd, SHUT_RD);
    }
}

void sessions_shed(struct runtime *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->running == r->capacity)
        end_idle(r, SHED_IDLE_MS);
    pthread_mutex_unlock(&r->lock);
}

/* ---- who does what; all with lock held ---- */

static void begin_to_drain(struct runtime *r)
{
    if (atomic_exchange(&r->draining, true))
        return;
    status_tell(r, STATUS_DRAINING, r->running);
    wake(r->accept_wake);
    wake(r->control_wake);
    pthread_cond_broadcast(&r->appointed);
    end_idle(r, 0);
}

void service_retire(struct service_env *env)
{
    struct runtime *r = env->runtime;

    pthread_mutex_lock(&r->lock);
    begin_to_drain(r);
    pthread_mutex_unlock(&r->lock);
}

/* One process does the work of as many as it has places, each of which would serve max_use. */
static long sessions_to_serve(const struct runtime *r)
{
    return r->options.requests ? r->options.requests : r->config->max_use * r->capacity;
}

static struct slot *session_begins(struct runtime *r, int fd)
{
    struct slot *s = r->slots;

    while (s->is_used)
        s++;
    s->is_used = true;
    s->fd = fd;
    r->running++;
    if (r->served++ == 0)
        status_tell(r, STATUS_USED, 0);
    if (r->served >= sessions_to_serve(r))
        begin_to_drain(r);
    if (r->running == r->capacity && !r->full) {
        r->full = true;
        if (!atomic_load(&r->draining))
            status_tell(r, STATUS_FULL, r->running);
    }
    return s;
}

static void session_ends(struct runtime *r, struct slot *s)
{
    s->is_used = false;
    pulse_waits(&s->pulse);
    r->running--;
    r->last_end_ms = clock_ms();
    if (atomic_load(&r->draining)) {
        status_tell(r, STATUS_DRAINING, r->running);
        if (r->running == 0)
            wake(r->control_wake);
    } else if (r->full && r->running <= r->capacity - 1 - r->capacity / 8) {
        r->full = false;
        status_tell(r, STATUS_ROOM, r->capacity - r->running);
    }
}

static void *worker(void *context);

static void start_worker(struct runtime *r)
{
    errno = thread_start(worker, r, STACK_BYTES);
    if (errno == 0)
        return;
    if (r->running == 0)
        log_fatal(&r->env.log, 1, "create thread: %m");
    log_warning(&r->env.log, "create thread: %m"); /* a thread that ends its session leads next */
}

/*
 * The leader has a connection: somebody else must wait for the next one. True: one of those that
 * wait, to be woken when the lock is free, for the first thing it does is to take it.
 */
static bool appoint_next(struct runtime *r)
{
    r->has_leader = false;
    if (atomic_load(&r->draining) || r->running == r->capacity)
        return false;
    if (r->waiting > 0)
        return true;
    start_worker(r);
    return false;
}

/* Sleep until this thread is the leader. False: it is not needed any more. */
static bool become_leader(struct runtime *r)
{
    while (!atomic_load(&r->draining)) {
        int error;
        if (!r->has_leader) {
            r->has_leader = true;
            return true;
        }
        r->waiting++;
        error = clock_cond_wait(&r->appointed, &r->lock, WAITING_SECONDS * 1000);
        r->waiting--;
        if (error == ETIMEDOUT && r->has_leader)
            return false;
    }
    return false;
}

/* ---- the leader ---- */

/* The connection that waits is left to a process that knows the tables as they are now. */
static bool drains_for_tables(struct runtime *r)
{
    long now = clock_ms();

    if (r->service->has_changed == NULL || now - atomic_load(&r->looked_ms) < LOOK_MS)
        return false;
    atomic_store(&r->looked_ms, now);
    if (!r->service->has_changed(&r->env, r->state))
        return false;
    pthread_mutex_lock(&r->lock);
    begin_to_drain(r);
    pthread_mutex_unlock(&r->lock);
    return true;
}

/*
 * EPOLLEXCLUSIVE wakes one process for a connection. When that one drains or dies before it
 * accepts, nobody else would look: master asks the others to.
 */
void sessions_look(struct runtime *r)
{
    if (r->service->shape == SERVICE_SESSION)
        wake(r->accept_wake);
}

static int accept_any(struct runtime *r)
{
    int fd = -1;

    for (int i = 0; i < r->n_listeners && fd < 0; i++)
        if (!r->listeners[i].is_fifo)
            fd = listener_accept(r, r->listeners[i].fd, true);
    return fd;
}

static int listener_speaks(struct runtime *r, const struct listener *l)
{
    struct service_env env = r->env;

    if (!l->is_fifo)
        return listener_accept(r, l->fd, true);
    use_current_config(r, &env);
    run_trigger(r, &env, l->fd);
    return -1;
}

/* A connection; -1 when the process drains. */
static int wait_for_connection(struct runtime *r)
{
    int fd = -1;

    while (fd < 0 && !atomic_load(&r->draining)) {
        struct epoll_event e;
        uint64_t count;
        if (epoll_wait(r->accept_epoll, &e, 1, -1) <= 0)
            continue;
        if (e.data.ptr == NULL)
            (void)!read(r->accept_wake, &count, sizeof count);
        if (atomic_load(&r->draining) || drains_for_tables(r))
            break;
        if (r->is_smtp && board_paused(&r->env.board) & PAUSED_SMTP) {
            usleep(PAUSED_US); /* master is about to say that this process drains */
            continue;
        }
        fd = e.data.ptr ? listener_speaks(r, e.data.ptr) : accept_any(r);
    }
    return fd;
}

/* A pass service gets the connection to serve from the one that connects. */
static int receive_passed(int fd)
{
    char bytes[256];
    int passed = -1;

    if (wait_for_input(fd, PASS_TIMEOUT_MS))
        (void)!fd_receive(fd, bytes, sizeof bytes, &passed);
    return passed;
}

/* Put the connection that was passed in place of the one over which it came. */
static int exchange(struct runtime *r, struct slot *slot, int fd)
{
    int passed = receive_passed(fd);

    pthread_mutex_lock(&r->lock);
    slot->fd = passed;
    pthread_mutex_unlock(&r->lock);
    close(fd);
    return passed;
}

static void serve(struct runtime *r, struct slot *slot, int fd)
{
    struct service_env env = r->env;

    env.slot = slot;
    env.pulse = &slot->pulse;
    service_progress(&env);
    use_current_config(r, &env);
    if (r->service->wakeup) {
        if (!wait_for_input(fd, r->config->ipc_timeout * 1000))
            return;
        if (starts_with_trigger(fd)) {
            run_trigger(r, &env, fd);
            return;
        }
    }
    r->service->session(&env, r->state, fd);
}

/* Lead, then serve what came. False: the process drains. lock held, released meanwhile. */
static bool lead_and_serve(struct runtime *r)
{
    bool is_pass = strcmp(r->env.type, "pass") == 0, wake_one;
    struct slot *slot;
    int fd;

    pthread_mutex_unlock(&r->lock);
    fd = wait_for_connection(r);
    pthread_mutex_lock(&r->lock);
    if (fd < 0) {
        r->has_leader = false;
        wake(r->control_wake);
        return false;
    }
    slot = session_begins(r, fd);
    wake_one = appoint_next(r);
    pthread_mutex_unlock(&r->lock);
    if (wake_one)
        pthread_cond_signal(&r->appointed);
    if (is_pass)
        fd = exchange(r, slot, fd);
    if (fd >= 0)
        serve(r, slot, fd);
    pthread_mutex_lock(&r->lock);
    slot->fd = -1; /* from here on nobody shuts it down */
    pthread_mutex_unlock(&r->lock);
    if (fd >= 0)
        close(fd);
    pthread_mutex_lock(&r->lock);
    session_ends(r, slot);
    return true;
}

static void *worker(void *context)
{
    struct runtime *r = context;

    pthread_mutex_lock(&r->lock);
    while (become_leader(r) && lead_and_serve(r))
        ;
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the control thread ---- */

static long sessions_at_once(const struct runtime *r)
{
    const struct service *s = r->service;
    long told = 1;

    (void)!str_to_long(str_of(getenv(SERVICE_SESSIONS_ENVIRONMENT)), 1, 100000, &told);
    if (s->default_sessions == 1 || s->privilege == RUN_AS_ROOT)
        return 1;
    return s->default_sessions > 1 && r->options.single ? s->default_sessions : told;
}

static void set_up(struct runtime *r)
{
    struct epoll_event wake_event = {.events = EPOLLIN, .data.ptr = NULL};

    r->capacity = sessions_at_once(r);
    r->slots = NEW_ARRAY(struct slot, (size_t)r->capacity);
    clock_cond_init(&r->appointed);
    r->accept_epoll = epoll_create1(EPOLL_CLOEXEC);
    r->accept_wake = eventfd(0, EFD_CLOEXEC);
    r->control_wake = eventfd(0, EFD_CLOEXEC);
    if (r->accept_epoll < 0 || r->accept_wake < 0 || r->control_wake < 0)
        log_fatal(&r->env.log, 1, "epoll, eventfd: %m");
    epoll_ctl(r->accept_epoll, EPOLL_CTL_ADD, r->accept_wake, &wake_event);
    for (int i = 0; i < r->n_listeners; i++) {
        /* EPOLLEXCLUSIVE: a connection wakes one process, not all that share the socket */
        struct epoll_event e = {EPOLLIN | EPOLLEXCLUSIVE, {.ptr = &r->listeners[i]}};
        if (epoll_ctl(r->accept_epoll, EPOLL_CTL_ADD, r->listeners[i].fd, &e) < 0)
            log_fatal(&r->env.log, 1, "watch listening socket: %m");
    }
}

/* Whoever starts next may want to listen there. lock held. */
static void release_listeners(struct runtime *r)
{
    if (r->accept_epoll < 0)
        return;
    close(r->accept_epoll);
    r->accept_epoll = -1;
    for (int i = 0; i < r->n_listeners; i++)
        close(r->listeners[i].fd);
}

static bool is_finished(struct runtime *r)
{
    bool finished;

    pthread_mutex_lock(&r->lock);
    finished = atomic_load(&r->draining) && !r->has_leader;
    if (finished)
        release_listeners(r);
    finished = finished && r->running == 0;
    pthread_mutex_unlock(&r->lock);
    return finished;
}

/* How long until the process has been idle for long enough; drains it when that is so. */
static long idle_time_left(struct runtime *r)
{
    long limit = (r->options.idle_seconds ? r->options.idle_seconds : r->config->max_idle) * 1000;
    long left = limit;

    pthread_mutex_lock(&r->lock);
    if (r->running == 0) {
        left = r->last_end_ms + limit - clock_ms();
        if (left <= 0)
            begin_to_drain(r);
    }
    pthread_mutex_unlock(&r->lock);
    return left <= 0 ? 0 : left;
}

_Noreturn void session_shape_run(struct runtime *r)
{
    set_up(r);
    watchdog_start(r);
    status_tell(r, STATUS_STARTED, r->capacity);
    pthread_mutex_lock(&r->lock);
    start_worker(r);
    pthread_mutex_unlock(&r->lock);
    while (!is_finished(r)) {
        bool draining = atomic_load(&r->draining);
        struct pollfd p[2] = {{.fd = r->control_wake, .events = POLLIN},
                              {.fd = draining ? -1 : r->status_fd, .events = POLLIN}};
        uint64_t count;

        long patience = watchdog_interval_ms(r), left = draining ? patience : idle_time_left(r);

        watchdog_look(r);
        if (poll(p, 2, (int)(left < patience ? left : patience)) <= 0)
            continue;
        if (p[0].revents)
            (void)!read(r->control_wake, &count, sizeof count);
        if (p[1].revents && !status_read(r)) {
            pthread_mutex_lock(&r->lock);
            begin_to_drain(r);
            pthread_mutex_unlock(&r->lock);
        }
    }
    exit(0);
}
