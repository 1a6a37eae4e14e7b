/*
 * Event loop of one thread (epoll): descriptors, timers, and wake-ups from other threads.
 */
#pragma once

#include <stdbool.h>

#include "util/why.h"

struct loop;
struct loop_timer;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_new(void);

/* Call ready(context, events) when fd is ready for what is wanted (LOOP_READ | LOOP_WRITE; errors
   and hang-up count as both). Replaces an earlier watch of that fd. Level-triggered. */
void loop_watch(struct loop *l, int fd, int events, void (*ready)(void *context, int events),
                void *context);
void loop_unwatch(struct loop *l, int fd); /* before closing fd; fine when not watched */

/* Call fire(context) once, after delay_ms. The timer is gone when it has fired or been cancelled.
 */
struct loop_timer *loop_after(struct loop *l, long delay_ms, void (*fire)(void *context),
                              void *context);
void loop_cancel(struct loop *l, struct loop_timer *t); /* NULL is fine */

/* From any thread: call run(context) in the loop's thread soon. */
void loop_post(struct loop *l, void (*run)(void *context), void *context);

void loop_run(struct loop *l);  /* until loop_stop() */
void loop_stop(struct loop *l); /* in the loop's thread */
