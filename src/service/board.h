/*
 * What all processes of a running mail system share: counters that each of them adds to, and
 * switches that only master sets (for smtpctl) and all read.
 *
 * Two pieces of memory made by master and handed down by $POSTERN_BOARD_FD. The one with the
 * switches cannot be mapped writable by anybody but master. A process that master has not started
 * has neither, and then counting does nothing and all switches are off.
 */
#pragma once

#include <stdatomic.h>

#include "util/log.h"
#include "util/str.h"
#include "util/why.h"

enum board_counter {
#define LEVEL(id, name) COUNTER_##id,
#define TOTAL(id, name) COUNTER_##id,
#include "service/counters.def"
#undef LEVEL
#undef TOTAL
    COUNTERS
};

enum paused { PAUSED_MDA = 1, PAUSED_MTA = 2, PAUSED_SMTP = 4 };

enum trace { /* bits of what is traced; see log_watch() */
             TRACE_VERBOSE = 1 << 0,
             TRACE_IMSG = LOG_TRACE_IMSG,
             TRACE_IO = LOG_TRACE_IO,
             TRACE_SMTP = 1 << 3,
             TRACE_FILTERS = LOG_TRACE_FILTERS,
             TRACE_MTA = 1 << 5,
             TRACE_BOUNCE = LOG_TRACE_BOUNCE,
             TRACE_SCHEDULER = LOG_TRACE_SCHEDULER,
             TRACE_EXPAND = LOG_TRACE_EXPAND,
             TRACE_LOOKUP = LOG_TRACE_LOOKUP,
             TRACE_STAT = LOG_TRACE_STAT,
             TRACE_RULES = LOG_TRACE_RULES,
             TRACE_MPROC = LOG_TRACE_MPROC,
             TRACE_ALL = 0xffff & ~TRACE_VERBOSE, /* not the LOG_PROFILE bits */
};

struct board_switches {
    atomic_uint trace;   /* enum trace, LOG_PROFILE bits */
    atomic_uint paused;  /* enum paused */
    atomic_long started; /* seconds */
};

struct board_counters {
    atomic_long value[COUNTERS];
};

struct board {
    const struct board_switches *switches;
    struct board_counters *counters;
};

#define BOARD_ENVIRONMENT "POSTERN_BOARD_FD"

/* Of a process: what $POSTERN_BOARD_FD names. The descriptors are closed. */
void board_join(struct board *b);

static inline void board_count(const struct board *b, enum board_counter c, long n)
{
    if (b->counters)
        atomic_fetch_add_explicit(&b->counters->value[c], n, memory_order_relaxed);
}

static inline void board_set(const struct board *b, enum board_counter c, long n)
{
    if (b->counters)
        atomic_store_explicit(&b->counters->value[c], n, memory_order_relaxed);
}

static inline long board_value(const struct board *b, enum board_counter c)
{
    return b->counters ? atomic_load_explicit(&b->counters->value[c], memory_order_relaxed) : 0;
}

static inline unsigned board_paused(const struct board *b)
{
    return b->switches ? atomic_load_explicit(&b->switches->paused, memory_order_relaxed) : 0;
}

const char *board_counter_name(enum board_counter c);

/* "mta" -> TRACE_MTA, "queue" -> LOG_PROFILE_QUEUE; 0: no such name. */
unsigned board_trace_bit(struct str name);
unsigned board_profile_bit(struct str name);
/* A list of names, as in trace_subsystems. RC_CONFIG: an unknown one. */
enum rc board_trace_parse(struct str list, unsigned *bits, struct why *why) MUST_USE;
/* "mda" -> PAUSED_MDA; 0: no such name. */
unsigned board_paused_bit(struct str name);
unsigned board_paused_parse(struct str list);
/* Does it serve mail clients, so that "pause smtp" concerns it? type: as in master.cf. */
bool board_is_smtp(const char *program, const char *type);
/* Which of those bits make this program log as with -v. */
unsigned board_trace_of_program(const char *program);

/* ---- master ---- */
struct board_owner {
    int switches_fd, counters_fd; /* for children */
    struct board_switches *switches;
};

/* RC_TEMP: the system gives no such memory. */
enum rc board_create(struct board_owner *o, struct why *why) MUST_USE;
