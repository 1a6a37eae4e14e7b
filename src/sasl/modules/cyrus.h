/* What both modules of Cyrus SASL do with the library: mutexes, places of files, log lines. */
#pragma once

#include <pthread.h>
#include <sasl/sasl.h>
#include <stdlib.h>

#include "sasl/login.h"
#include "util/log.h"
#include "util/memory.h"

typedef int cyrus_callback(void);

static void *cyrus_mutex_new(void)
{
    pthread_mutex_t *m = NEW(pthread_mutex_t);

    pthread_mutex_init(m, NULL);
    return m;
}

static int cyrus_mutex_lock(void *mutex)
{
    return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static int cyrus_mutex_unlock(void *mutex)
{
    return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static void cyrus_mutex_free(void *mutex)
{
    pthread_mutex_destroy(mutex);
    free(mutex);
}

/* Before the library is initialised. */
static inline void cyrus_use_mutexes(void)
{
    sasl_set_mutex(cyrus_mutex_new, cyrus_mutex_lock, cyrus_mutex_unlock, cyrus_mutex_free);
}

/* cyrus_sasl_config_path; the library keeps the text */
static inline void cyrus_use_path(struct arena *a, struct str path)
{
    (void)sasl_set_path(SASL_PATH_TYPE_CONFIG, arena_text(a, path));
}

/* SASL_CB_LOG; context: struct log. What may hold passwords (SASL_LOG_TRACE, _PASS) is dropped. */
static inline int cyrus_log(void *context, int level, const char *text)
{
    const struct log *log = context;

    switch (level) {
    case SASL_LOG_ERR:
    case SASL_LOG_WARN: log_warning(log, "SASL authentication problem: %s", text); break;
    case SASL_LOG_FAIL: log_warning(log, "SASL authentication failure: %s", text); break;
    case SASL_LOG_NOTE: log_debug(log, "SASL authentication info: %s", text); break;
    default: break;
    }
    return SASL_OK;
}
