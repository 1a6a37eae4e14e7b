/* The registry as data: what params.def says about each parameter, and look-up by name. */
#pragma once

#include <stdbool.h>

#include "util/str.h"

#define COMPUTED "" /* the default comes from computed.c */

enum param_kind {
    PARAM_STR,
    PARAM_RAW,
    PARAM_ENUM,
    PARAM_SET,
    PARAM_LEGACY,
    PARAM_BOOL,
    PARAM_INT,
    PARAM_LONG,
    PARAM_TIME,
    PARAM_TIME_H,
    PARAM_TIME_D,
};

struct param {
    struct str name;
    enum param_kind kind;
    const char *words; /* ENUM, SET: "one|two", else NULL */
    struct str dflt;
    long min, max;
    unsigned offset; /* of the member in struct config */
    const char *since, *area;
};

/* params[] is in ASCII order of the names; an index is one of these. */
enum param_index {
#define PARAM(type, name, dflt, min, max, since, area)            PARAM_INDEX_##name,
#define PARAM_AS(member, type, name, dflt, min, max, since, area) PARAM_INDEX_##member,
#include "config/params.def"
#undef PARAM
#undef PARAM_AS
    PARAM_COUNT
};
extern const struct param params[PARAM_COUNT];

int param_find(struct str name); /* index, or -1 */

/* 's', 'h' or 'd' for times. */
char param_time_unit(enum param_kind kind);

/* "TRANSPORT_suffix" parameters: the same for all transports, see transports.def. */
struct transport_param {
    struct str suffix; /* without the '_' in front */
    enum param_kind kind;
    struct str dflt;
    long min, max;
    bool any_service; /* not only transports */
    bool
        is_scheduled; /* for the transports of the queue manager; else for commands (pipe, spawn) */
    const char *since, *area;
};
extern const struct transport_param transport_params[];
extern const size_t transport_params_n;

/* The row whose suffix ends the name, *service what stands before; NULL: none. */
const struct transport_param *transport_param_find(struct str name, struct str *service);

/* Default of SERVICE_suffix: the row's, or that of an EXCEPT row. */
struct str transport_param_default(const struct transport_param *p, struct str service);

/* What to use instead of an obsolete parameter; NULL: name is not obsolete. */
const char *param_replacement(struct str name);
