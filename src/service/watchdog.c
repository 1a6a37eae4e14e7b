/*
 * The end of a process that does not get ahead for daemon_timeout.
 *
 * Work leaves a trace in a pulse: a number that is odd while something is done, even while the
 * process waits for others, and larger after each step. The thread that has nothing else to do
 * compares it with what it saw before, and winds up a timer of the kernel, which fires when that
 * thread itself is stuck.
 */
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "service/runtime.h"
#include "util/clock.h"

enum { LAST_WORDS_SECONDS = 5 };

static void step(struct pulse *p, unsigned long by)
{
    atomic_store_explicit(&p->steps, atomic_load_explicit(&p->steps, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static bool is_odd(unsigned long steps)
{
    return steps & 1;
}

static void pulse_works(struct pulse *p)
{
    step(p, is_odd(atomic_load_explicit(&p->steps, memory_order_relaxed)) ? 2 : 1);
}

void pulse_waits(struct pulse *p)
{
    step(p, is_odd(atomic_load_explicit(&p->steps, memory_order_relaxed)) ? 1 : 2);
}

void service_progress(const struct service_env *env)
{
    if (env->pulse)
        pulse_works(env->pulse);
}

void service_waits(const struct service_env *env)
{
    if (env->pulse)
        pulse_waits(env->pulse);
}

/* Has it been at the same step for that long? Only one thread asks. */
static bool is_stuck(struct pulse *p, long now, long limit_ms)
{
    unsigned long steps = atomic_load_explicit(&p->steps, memory_order_relaxed);

    if (steps != p->seen || !is_odd(steps)) {
        p->seen = steps;
        p->seen_ms = now;
    }
    return now - p->seen_ms >= limit_ms;
}

static long seconds_of(const struct runtime *r)
{
    size_t own = r->service->daemon_timeout;

    return own ? *(const long *)(const void *)((const char *)r->config + own)
               : r->config->daemon_timeout;
}

/* The log may be what hangs: then the signal ends the process without a word. Who connects now is
 * left to the next process. */
_Noreturn static void give_up(struct runtime *r)
{
    atomic_store(&r->draining, true);
    signal(SIGALRM, SIG_DFL);
    alarm(LAST_WORDS_SECONDS);
    log_fatal(&r->env.log, 1, "watchdog timeout");
}

static void timer_fires(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    if (info->si_code == SI_TIMER)
        give_up(info->si_value.sival_ptr);
}

void watchdog_start(struct runtime *r)
{
    struct sigaction action = {.sa_sigaction = timer_fires, .sa_flags = SA_SIGINFO};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};

    event.sigev_value.sival_ptr = r;
    sigaction(SIGALRM, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &r->watchdog) < 0)
        log_fatal(&r->env.log, 1, "create timer: %m");
    watchdog_wind(r);
}

/* The control thread of a SESSION process may be late by one interval. */
void watchdog_wind(struct runtime *r)
{
    struct itimerspec when = {.it_value.tv_sec = seconds_of(r)};

    if (r->service->shape == SERVICE_SESSION)
        when.it_value.tv_sec += seconds_of(r) / 2 + 2;
    timer_settime(r->watchdog, 0, &when, NULL);
}

long watchdog_interval_ms(const struct runtime *r)
{
    return seconds_of(r) * 1000 / 3;
}

void watchdog_look(struct runtime *r)
{
    long now = clock_ms(), limit_ms = seconds_of(r) * 1000;
    bool stuck;

    if (now < r->look_again_ms)
        return;
    r->look_again_ms = now + watchdog_interval_ms(r);
    stuck = is_stuck(&r->wakeup_pulse, now, limit_ms);
    for (long i = 0; i < r->capacity; i++)
        stuck = is_stuck(&r->slots[i].pulse, now, limit_ms) || stuck;
    if (stuck)
        give_up(r);
    watchdog_wind(r);
}
