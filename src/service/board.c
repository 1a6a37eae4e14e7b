#include "service/board.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "util/clock.h"

#ifndef F_SEAL_FUTURE_WRITE
#    define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_ADD_SEALS
#    define F_ADD_SEALS 1033
#endif

static const char *const counters[] = {
#define LEVEL(id, name) name,
#define TOTAL(id, name) name,
#include "service/counters.def"
#undef LEVEL
#undef TOTAL
};

/* OpenSMTPD's words of 2011 and of today, and the programs that do that work here. */
static const struct {
    const char *name;
    unsigned bit;
    const char *programs;
} traces[] = {
    {"verbose", TRACE_VERBOSE, NULL},
    {"imsg", TRACE_IMSG, NULL},
    {"io", TRACE_IO, NULL},
    {"smtp", TRACE_SMTP, "smtpd"},
    {"filters", TRACE_FILTERS, NULL},
    {"mta", TRACE_MTA, "smtp lmtp"},
    {"transfer", TRACE_MTA, "smtp lmtp"},
    {"bounce", TRACE_BOUNCE, NULL},
    {"scheduler", TRACE_SCHEDULER, NULL},
    {"expand", TRACE_EXPAND, NULL},
    {"lookup", TRACE_LOOKUP, NULL},
    {"stat", TRACE_STAT, NULL},
    {"rules", TRACE_RULES, NULL},
    {"mproc", TRACE_MPROC, NULL},
    {"all", TRACE_ALL, NULL},
};

static const char *const paused_names[] = {"mda", "mta", "smtp"};

const char *board_counter_name(enum board_counter c)
{
    return counters[c];
}

unsigned board_trace_bit(struct str name)
{
    for (size_t i = 0; i < sizeof traces / sizeof *traces; i++)
        if (str_eq(name, str_of(traces[i].name)))
            return traces[i].bit;
    return 0;
}

unsigned board_profile_bit(struct str name)
{
    return str_eq(name, STR("imsg"))    ? LOG_PROFILE_IMSG
           : str_eq(name, STR("queue")) ? LOG_PROFILE_QUEUE
                                        : 0;
}

enum rc board_trace_parse(struct str list, unsigned *bits, struct why *why)
{
    unsigned found = 0;
    struct str word;

    while (str_token(&list, LIST_SEPARATORS, &word)) {
        unsigned bit = board_trace_bit(word);
        if (bit == 0)
            return FAIL(why, RC_CONFIG, "unknown trace flag \"" STR_FMT "\"", STR_ARG(word));
        found |= bit;
    }
    *bits = found;
    return RC_OK;
}

unsigned board_paused_bit(struct str name)
{
    for (unsigned i = 0; i < sizeof paused_names / sizeof *paused_names; i++)
        if (str_eq(name, str_of(paused_names[i])))
            return 1U << i;
    return 0;
}

unsigned board_paused_parse(struct str list)
{
    unsigned bits = 0;
    struct str word;

    while (str_token(&list, LIST_SEPARATORS, &word))
        bits |= board_paused_bit(word);
    return bits;
}

bool board_is_smtp(const char *program, const char *type)
{
    static const char *const programs[] = {"smtpd", "postscreen", "qmqpd"};

    if (strcmp(type, "inet") != 0 && strcmp(type, "pass") != 0)
        return false;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (strcmp(program, programs[i]) == 0)
            return true;
    return false;
}

unsigned board_trace_of_program(const char *program)
{
    unsigned bits = TRACE_VERBOSE;

    for (size_t i = 0; i < sizeof traces / sizeof *traces; i++) {
        struct str rest = str_of(traces[i].programs), word;
        while (traces[i].programs && str_token(&rest, " ", &word))
            if (str_eq(word, str_of(program)))
                bits |= traces[i].bit;
    }
    return bits;
}

/* "FD:FD": switches, counters. */
void board_join(struct board *b)
{
    const char *text = getenv(BOARD_ENVIRONMENT);
    int switches = -1, shared = -1;
    void *p;

    *b = (struct board){0};
    if (text == NULL || sscanf(text, "%d:%d", &switches, &shared) != 2)
        return;
    unsetenv(BOARD_ENVIRONMENT);
    p = mmap(NULL, sizeof *b->switches, PROT_READ, MAP_SHARED, switches, 0);
    if (p != MAP_FAILED)
        b->switches = p;
    p = mmap(NULL, sizeof *b->counters, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (p != MAP_FAILED)
        b->counters = p;
    close(switches);
    close(shared);
}

/* Its size cannot change under those who have mapped it. */
static int make_memory(const char *name, size_t size, void **map)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    *map = MAP_FAILED;
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return fd;
    *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return fd;
}

enum rc board_create(struct board_owner *o, struct why *why)
{
    void *switches, *shared;

    o->switches_fd = make_memory("postern-switches", sizeof(struct board_switches), &switches);
    o->counters_fd = make_memory("postern-counters", sizeof(struct board_counters), &shared);
    if (switches == MAP_FAILED || shared == MAP_FAILED)
        return FAIL(why, RC_TEMP, "memory shared by the services: %m");
    /* a kernel before 5.1 does not know that seal; then children are only trusted to read */
    (void)!fcntl(o->switches_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
    munmap(shared, sizeof(struct board_counters));
    o->switches = switches;
    atomic_store(&o->switches->started, clock_seconds());
    return RC_OK;
}
