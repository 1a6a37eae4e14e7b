#include "util/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/memory.h"

struct watch {
    int fd; /* -1: unwatched, freed after the current round */
    void (*ready)(void *, int);
    void *context;
    struct watch *next_dead;
};

struct loop_timer {
    long due_ms;
    size_t at; /* in the heap */
    void (*fire)(void *);
    void *context;
};

struct posted {
    struct posted *next;
    void (*run)(void *);
    void *context;
};

struct loop {
    int epoll, wakeup;
    bool stop;
    struct watch **watches; /* by descriptor */
    size_t n_watches;
    struct watch *dead;
    struct loop_timer **heap; /* earliest first */
    size_t n_timers, cap_timers;
    pthread_mutex_t lock; /* guards below */
    struct posted *first_posted, **last_posted;
};

struct loop *loop_new(void)
{
    struct loop *l = NEW(struct loop);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};

    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wakeup, &e);
    pthread_mutex_init(&l->lock, NULL);
    l->last_posted = &l->first_posted;
    return l;
}

static void bury(struct loop *l)
{
    while (l->dead) {
        struct watch *w = l->dead;
        l->dead = w->next_dead;
        free(w);
    }
}

void loop_watch(struct loop *l, int fd, int events, void (*ready)(void *, int), void *context)
{
    struct epoll_event e = {.events = (events & LOOP_READ ? EPOLLIN : 0U) |
                                      (events & LOOP_WRITE ? EPOLLOUT : 0U)};
    struct watch *w;
    bool known;

    if ((size_t)fd >= l->n_watches) {
        size_t n = ((size_t)fd + 1) * 2;
        l->watches = memory_resize(l->watches, n * sizeof(struct watch *));
        for (size_t i = l->n_watches; i < n; i++)
            l->watches[i] = NULL;
        l->n_watches = n;
    }
    w = l->watches[fd];
    known = w != NULL;
    if (!known)
        w = l->watches[fd] = NEW(struct watch);
    *w = (struct watch){.fd = fd, .ready = ready, .context = context};
    e.data.ptr = w;
    epoll_ctl(l->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
}

void loop_unwatch(struct loop *l, int fd)
{
    struct watch *w = fd >= 0 && (size_t)fd < l->n_watches ? l->watches[fd] : NULL;

    if (w == NULL)
        return;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
    l->watches[fd] = NULL;
    w->fd = -1;
    w->next_dead = l->dead;
    l->dead = w;
}

static void heap_set(struct loop *l, size_t at, struct loop_timer *t)
{
    l->heap[at] = t;
    t->at = at;
}

static void heap_up(struct loop *l, size_t at, struct loop_timer *t)
{
    for (size_t up; at > 0 && l->heap[up = (at - 1) / 2]->due_ms > t->due_ms; at = up)
        heap_set(l, at, l->heap[up]);
    heap_set(l, at, t);
}

static void heap_down(struct loop *l, size_t at, struct loop_timer *t)
{
    for (size_t child; (child = at * 2 + 1) < l->n_timers; at = child) {
        if (child + 1 < l->n_timers && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
            child++;
        if (l->heap[child]->due_ms >= t->due_ms)
            break;
        heap_set(l, at, l->heap[child]);
    }
    heap_set(l, at, t);
}

struct loop_timer *loop_after(struct loop *l, long delay_ms, void (*fire)(void *), void *context)
{
    struct loop_timer *t = NEW(struct loop_timer);

    *t = (struct loop_timer){.due_ms = clock_ms() + delay_ms, .fire = fire, .context = context};
    if (l->n_timers == l->cap_timers) {
        l->cap_timers = l->cap_timers ? l->cap_timers * 2 : 16;
        l->heap = memory_resize(l->heap, l->cap_timers * sizeof(struct loop_timer *));
    }
    heap_up(l, l->n_timers++, t);
    return t;
}

void loop_cancel(struct loop *l, struct loop_timer *t)
{
    struct loop_timer *last;
    size_t at;

    if (t == NULL)
        return;
    at = t->at;
    last = l->heap[--l->n_timers];
    if (last != t) {
        heap_down(l, at, last);
        heap_up(l, last->at, last);
    }
    free(t);
}

void loop_post(struct loop *l, void (*run)(void *), void *context)
{
    struct posted *p = NEW(struct posted);
    uint64_t one = 1;
    bool first;

    *p = (struct posted){NULL, run, context};
    pthread_mutex_lock(&l->lock);
    first = l->first_posted == NULL;
    *l->last_posted = p;
    l->last_posted = &p->next;
    pthread_mutex_unlock(&l->lock);
    if (first)
        (void)!write(l->wakeup, &one, sizeof one);
}

static void run_posted(struct loop *l)
{
    struct posted *p;
    uint64_t count;

    (void)!read(l->wakeup, &count, sizeof count);
    pthread_mutex_lock(&l->lock);
    p = l->first_posted;
    l->first_posted = NULL;
    l->last_posted = &l->first_posted;
    pthread_mutex_unlock(&l->lock);
    while (p) {
        struct posted *next = p->next;
        p->run(p->context);
        free(p);
        p = next;
    }
}

static void run_timers(struct loop *l)
{
    long now = clock_ms();

    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    while (l->n_timers && l->heap[0]->due_ms <= now) {
        struct loop_timer *t = l->heap[0];
        void (*fire)(void *) = t->fire;
        void *context = t->context;
        loop_cancel(l, t);
        fire(context);
    }
}

static int wait_ms(const struct loop *l)
{
    long left;

    if (l->n_timers == 0)
        return -1;
    left = l->heap[0]->due_ms - clock_ms();
    return left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

void loop_run(struct loop *l)
{
    struct epoll_event events[64];

    l->stop = false;
    while (!l->stop) {
        int n = epoll_wait(l->epoll, events, 64, wait_ms(l));
        for (int i = 0; i < n && !l->stop; i++) {
            struct watch *w = events[i].data.ptr;
            unsigned e = events[i].events;
            if (w == NULL)
                run_posted(l);
            else if (w->fd >= 0)
                w->ready(w->context, (e & (EPOLLIN | EPOLLHUP | EPOLLERR) ? LOOP_READ : 0) |
                                         (e & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? LOOP_WRITE : 0));
        }
        bury(l);
        if (!l->stop)
            run_timers(l);
    }
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}
