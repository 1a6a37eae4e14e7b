/*
 * service_memory_limit: a process that needs more ends, and master starts another. It has one
 * session then, which hears so if its service has last words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/runtime.h"
#include "util/file.h"

enum { SESSION_NEEDS = 8 * 1024 * 1024 }; /* stack, buffers, some tables */

/* -o and NAME_memory_limit, COMMAND_memory_limit, service_memory_limit of main.cf. */
static enum rc wanted_limit(const struct runtime *r, long *bytes, struct why *why)
{
    const struct str names[] = {str_of(r->env.name), str_of(r->process_name)};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct str name = arena_printf(r->arena, STR_FMT "_memory_limit", STR_ARG(names[i]));
        if (config_is_set(r->config, name))
            return config_transport_long(r->config, names[i], "memory_limit", bytes, why);
    }
    *bytes = r->config->service_memory_limit;
    return RC_OK;
}

/* What the process has mapped by now. */
static long mapped_bytes(void)
{
    AUTO_ARENA a = arena_new(256);
    struct str text = STR_NONE, word;
    long pages = 0;

    if (file_read("/proc/self/statm", 4096, a, &text, NULL) == RC_OK &&
        str_token(&text, " ", &word))
        (void)str_to_long(word, 0, LONG_MAX / 65536, &pages);
    return pages * sysconf(_SC_PAGESIZE);
}

static void say_last_words(int status, void *runtime)
{
    const struct runtime *r = runtime;

    (void)status;
    for (long i = 0; r->slots && i < r->capacity; i++)
        if (r->slots[i].is_used && r->service->last_words)
            (void)!send(r->slots[i].fd, r->service->last_words, strlen(r->service->last_words),
                        MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A limit that suits a smaller program (3000000 is usual for qmail-smtpd) must not keep mail out.
 */
static long raise_limit(const struct runtime *r, long bytes, long least)
{
    if (bytes >= least)
        return bytes;
    log_warning(&r->env.log,
                "memory limit %ld is too low: service %s needs at least %ld bytes, which is its "
                "limit now; raise service_memory_limit or %s_memory_limit, or set it to 0",
                bytes, r->env.name, least, r->process_name);
    return least;
}

enum rc limit_memory(struct runtime *r, struct why *why)
{
    long bytes = 0;
    rlim_t limit;

    TRY(wanted_limit(r, &bytes, why));
    if (bytes == 0 || r->options.on_stdin)
        return RC_OK;
    limit = (rlim_t)raise_limit(r, bytes, mapped_bytes() + SESSION_NEEDS);
    if (r->options.check)
        return RC_OK;
    if (setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}) < 0 ||
        setrlimit(RLIMIT_DATA, &(struct rlimit){limit, limit}) < 0)
        return FAIL(why, RC_TEMP, "memory limit %ld: %m", (long)limit);
    on_exit(say_last_words, r);
    return RC_OK;
}
