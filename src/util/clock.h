/* Time: monotonic milliseconds for deadlines, wall clock for stamps. */
#pragma once

#include <pthread.h>
#include <time.h>

long clock_ms(void);                                               /* monotonic; never 0 */
struct timespec clock_now(void);                                   /* wall clock, full resolution */
time_t clock_seconds(void);                                        /* wall clock, cheap */
double clock_diff(struct timespec later, struct timespec earlier); /* seconds, never negative */

/* A condition variable that waits by the monotonic clock. 0 or ETIMEDOUT. */
void clock_cond_init(pthread_cond_t *cond);
int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, long milliseconds);
