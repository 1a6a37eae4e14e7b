/*
 * Threads for work that may block. Jobs are done in order (by one thread) or as threads are free;
 * when one is done, its end runs in the loop's thread.
 */
#pragma once

#include "util/loop.h"

struct worker;

struct worker *worker_new(struct loop *loop, int threads);

/* work(job) in a thread, then done(job) in the loop's thread. job belongs to the caller. */
void worker_do(struct worker *w, void (*work)(void *job), void (*done)(void *job), void *job);

/* Jobs that were given and have not come back. */
size_t worker_pending(const struct worker *w);
