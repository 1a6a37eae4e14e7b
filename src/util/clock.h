/* Time: monotonic milliseconds for deadlines, wall clock for stamps. */
#pragma once

#include <time.h>

long clock_ms(void);                                               /* monotonic; never 0 */
struct timespec clock_now(void);                                   /* wall clock, full resolution */
time_t clock_seconds(void);                                        /* wall clock, cheap */
double clock_diff(struct timespec later, struct timespec earlier); /* seconds, never negative */
