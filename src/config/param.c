#include "config/param.h"

#include <stddef.h>

#include "config/config.h"
#include "config/defaults.h"

#define KIND_STR         PARAM_STR, NULL
#define KIND_RAW         PARAM_RAW, NULL
#define KIND_ENUM(words) PARAM_ENUM, words
#define KIND_SET(words)  PARAM_SET, words
#define KIND_LEGACY      PARAM_LEGACY, NULL
#define KIND_BOOL        PARAM_BOOL, NULL
#define KIND_INT         PARAM_INT, NULL
#define KIND_LONG        PARAM_LONG, NULL
#define KIND_TIME        PARAM_TIME, NULL
#define KIND_TIME_H      PARAM_TIME_H, NULL
#define KIND_TIME_D      PARAM_TIME_D, NULL

const struct param params[PARAM_COUNT] = {
#define PARAM_AS(member, type, name, dflt, min, max, since, area)                                  \
    {STR_INIT(name), KIND_##type, STR_INIT(dflt), min, max, offsetof(struct config, member),       \
     since,          #area},
#define PARAM(type, name, dflt, min, max, since, area)                                             \
    {STR_INIT(#name), KIND_##type, STR_INIT(dflt), min, max, offsetof(struct config, name),        \
     since,           #area},
#include "config/params.def"
#undef PARAM
#undef PARAM_AS
};

int param_find(struct str name)
{
    int low = 0, high = PARAM_COUNT;

    while (low < high) {
        int middle = (low + high) / 2;
        int order = str_cmp(name, params[middle].name);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

char param_time_unit(enum param_kind kind)
{
    return kind == PARAM_TIME_D ? 'd' : kind == PARAM_TIME_H ? 'h' : 's';
}

#define SCHEDULED false, true
#define COMMAND   false, false
#define SERVICE   true, false

const struct transport_param transport_params[] = {
#define TRANSPORT_PARAM(for_whom, type, suffix, dflt, min, max, since, area)                       \
    {STR_INIT(#suffix), PARAM_##type, STR_INIT(dflt), min, max, for_whom, since, #area},
#define TRANSPORT_EXCEPT(service, suffix, dflt)
#include "config/transports.def"
#undef TRANSPORT_PARAM
#undef TRANSPORT_EXCEPT
};
const size_t transport_params_n = sizeof transport_params / sizeof *transport_params;

static const struct {
    struct str service, suffix, dflt;
} exceptions[] = {
#define TRANSPORT_PARAM(for_whom, type, suffix, dflt, min, max, since, area)
#define TRANSPORT_EXCEPT(service, suffix, dflt)                                                    \
    {STR_INIT(#service), STR_INIT(#suffix), STR_INIT(dflt)},
#include "config/transports.def"
#undef TRANSPORT_PARAM
#undef TRANSPORT_EXCEPT
};

/* "x_destination_recipient_limit" ends in two suffixes: the longest one counts. */
const struct transport_param *transport_param_find(struct str name, struct str *service)
{
    const struct transport_param *best = NULL;

    for (size_t i = 0; i < transport_params_n; i++) {
        const struct transport_param *p = &transport_params[i];
        if (name.n < p->suffix.n + 2 || name.p[name.n - p->suffix.n - 1] != '_' ||
            !str_has_suffix(name, p->suffix) || (best && best->suffix.n > p->suffix.n))
            continue;
        best = p;
        *service = str_head(name, name.n - p->suffix.n - 1);
    }
    return best;
}

struct str transport_param_default(const struct transport_param *p, struct str service)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (str_eq(exceptions[i].service, service) && str_eq(exceptions[i].suffix, p->suffix))
            return exceptions[i].dflt;
    return p->dflt;
}

static const struct {
    struct str name;
    const char *replacement;
} obsolete[] = {
#define OBSOLETE(name, replacement) {STR_INIT(#name), replacement},
#include "config/obsolete.def"
#undef OBSOLETE
};

const char *param_replacement(struct str name)
{
    for (size_t i = 0; i < sizeof obsolete / sizeof *obsolete; i++)
        if (str_eq(name, obsolete[i].name))
            return obsolete[i].replacement;
    return NULL;
}
