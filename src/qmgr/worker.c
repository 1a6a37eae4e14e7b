#include "qmgr/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "util/memory.h"
#include "util/thread.h"

struct task {
    struct task *next;
    struct worker *worker;
    void (*work)(void *);
    void (*done)(void *);
    void *job;
};

struct worker {
    struct loop *loop;
    size_t pending;       /* the loop's thread */
    pthread_mutex_t lock; /* guards below */
    pthread_cond_t more;
    struct task *first, **last;
};

static void end_of_task(void *context)
{
    struct task *t = context;

    t->worker->pending--;
    t->done(t->job);
    free(t);
}

static void *run(void *context)
{
    struct worker *w = context;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct task *t = w->first;
        if (t == NULL) {
            pthread_cond_wait(&w->more, &w->lock);
            continue;
        }
        w->first = t->next;
        if (w->first == NULL)
            w->last = &w->first;
        pthread_mutex_unlock(&w->lock);
        t->work(t->job);
        loop_post(w->loop, end_of_task, t);
        pthread_mutex_lock(&w->lock);
    }
    return NULL;
}

struct worker *worker_new(struct loop *loop, int threads)
{
    struct worker *w = NEW(struct worker);

    w->loop = loop;
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    for (int i = 0; i < threads; i++)
        (void)thread_start(run, w, 0);
    return w;
}

void worker_do(struct worker *w, void (*work)(void *), void (*done)(void *), void *job)
{
    struct task *t = NEW(struct task);

    *t = (struct task){NULL, w, work, done, job};
    w->pending++;
    pthread_mutex_lock(&w->lock);
    *w->last = t;
    w->last = &t->next;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
}

size_t worker_pending(const struct worker *w)
{
    return w->pending;
}
