#include "sasl/patience.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/memory.h"
#include "util/thread.h"

enum { STACK_BYTES = 512 * 1024 }; /* libraries do not save */

struct patience {
    pthread_mutex_t lock;
    unsigned stuck, stuck_max; /* lock */
};

struct call {
    struct patience *patience;
    void (*run)(void *context);
    void (*drop)(void *context);
    void *context;
    pthread_cond_t finished;
    bool is_finished, is_left; /* patience->lock */
};

struct patience *patience_new(unsigned stuck_max)
{
    struct patience *p = NEW(struct patience);

    pthread_mutex_init(&p->lock, NULL);
    p->stuck_max = stuck_max;
    return p;
}

bool patience_free(struct patience *p)
{
    bool idle;

    pthread_mutex_lock(&p->lock);
    idle = p->stuck == 0;
    pthread_mutex_unlock(&p->lock);
    if (!idle)
        return false;
    pthread_mutex_destroy(&p->lock);
    free(p);
    return true;
}

static void call_free(struct call *c)
{
    pthread_cond_destroy(&c->finished);
    free(c);
}

static void *perform(void *context)
{
    struct call *c = context;
    struct patience *p = c->patience;
    bool is_left;

    c->run(c->context);
    pthread_mutex_lock(&p->lock);
    c->is_finished = true;
    is_left = c->is_left;
    if (!is_left)
        pthread_cond_signal(&c->finished);
    pthread_mutex_unlock(&p->lock);
    if (!is_left)
        return NULL; /* the caller has woken up and freed c */
    c->drop(c->context);
    call_free(c);
    pthread_mutex_lock(&p->lock);
    p->stuck--;
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static enum rc start(struct call *c, struct why *why)
{
    errno = thread_start(perform, c, STACK_BYTES);
    return errno ? FAIL(why, RC_TEMP, "create thread: %m") : RC_OK;
}

/* False: it takes too long, and belongs to its thread now. */
static bool wait_for(struct call *c, long timeout_ms)
{
    struct patience *p = c->patience;
    long deadline_ms = clock_ms() + timeout_ms;
    bool is_finished;

    pthread_mutex_lock(&p->lock);
    while (!c->is_finished && clock_ms() < deadline_ms)
        clock_cond_wait(&c->finished, &p->lock, deadline_ms - clock_ms());
    is_finished = c->is_finished;
    if (!is_finished) {
        c->is_left = true;
        p->stuck++;
    }
    pthread_mutex_unlock(&p->lock);
    return is_finished;
}

enum rc patience_call(struct patience *p, void (*run)(void *), void (*drop)(void *), void *context,
                      long timeout_ms, struct why *why)
{
    struct call *c;
    unsigned stuck;

    pthread_mutex_lock(&p->lock);
    stuck = p->stuck;
    pthread_mutex_unlock(&p->lock);
    if (stuck >= p->stuck_max)
        return FAIL(why, RC_TEMP, "%u calls wait for an answer already", stuck);
    c = NEW(struct call);
    *c = (struct call){.patience = p, .run = run, .drop = drop, .context = context};
    clock_cond_init(&c->finished);
    if (start(c, why) != RC_OK) {
        call_free(c);
        return RC_TEMP;
    }
    if (!wait_for(c, timeout_ms))
        return FAIL(why, RC_TIMEOUT, "no answer within %ld s", (timeout_ms + 999) / 1000);
    call_free(c);
    return RC_OK;
}
