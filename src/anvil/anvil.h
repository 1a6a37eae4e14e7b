/* Inside anvil: counters, their largest values, and the connections that ask. */
#pragma once

#include <time.h>

#include "service/service.h"
#include "util/map.h"

enum { IDENT_MAX = 512 };

enum rate { RATE_CONNECTION, RATE_MESSAGE, RATE_RECIPIENT, RATE_NEWTLS, RATE_AUTH, RATES };

struct client {
    char ident[IDENT_MAX + 1]; /* "smtp:192.0.2.1" */
    long connections;          /* at once */
    time_t since;              /* start of the interval that the rates count */
    long rates[RATES];
};

/* The largest value since the last log lines. */
struct record {
    long value;
    char ident[IDENT_MAX + 1];
    time_t at;
};

struct counters {
    long unit_seconds;
    struct map clients; /* ident to struct client */
    struct record rates[RATES], connections, cache;
};

struct anvil {
    struct service_env *env;
    struct counters counters;
};

/* counters.c: what happens; times are given, so that they can be tested */
struct client *counters_client(struct counters *c, struct str ident, time_t now);
void counters_connect(struct counters *c, struct client *k, time_t now);
void counters_disconnect(struct client *k);
long counters_add(struct counters *c, struct client *k, enum rate rate, time_t now);
void counters_forget_old(struct counters *c,
                         time_t now); /* clients that have nothing to remember */
void counters_log(struct counters *c, const struct log *log); /* and begin anew */

/* requests.c */
enum rc anvil_start(struct service_env *env, void **state, struct why *why);
void anvil_accepted(struct service_env *env, void *state, int fd);
void anvil_drain(struct service_env *env, void *state);
