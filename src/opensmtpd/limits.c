/*
 * limit ... of the original, as what comes nearest. A connection there is a delivery here: those to
 * one destination (a domain, or a relay host) are counted for each action, and a delay between two
 * of them means that they go one after another.
 */
#include "opensmtpd/generate.h"

enum manner { SMALLEST, LARGEST, MAILS_OF_SESSION, NO_COUNTERPART };

static const struct {
    /* parameter: "_..." of each relay's transport; NULL: a column of master.cf */
    const char *of, *name, *parameter;
    enum manner manner;
    const char *reason; /* why there is no counterpart */
} known[] = {
    {"mta", "max-conn-per-host", "_destination_concurrency_limit", SMALLEST, NULL},
    {"mta", "max-conn-per-route", "_destination_concurrency_limit", SMALLEST, NULL},
    {"mta", "max-conn-per-connector", "_destination_concurrency_limit", SMALLEST, NULL},
    {"mta", "max-conn-per-relay", "_destination_concurrency_limit", SMALLEST, NULL},
    {"mta", "max-conn-per-domain", "_destination_concurrency_limit", SMALLEST, NULL},
    {"mta", "max-conn-per-source", NULL, SMALLEST, NULL},
    {"mta", "conn-delay-host", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-route", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-connector", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-relay", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-domain", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "session-transaction-delay", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-source", "_transport_rate_delay", LARGEST, NULL},
    {"mta", "session-mail-max", "smtp_connection_reuse_count_limit", MAILS_OF_SESSION, NULL},
    {"mta", "session-keepalive", "smtp_connection_cache_time_limit", LARGEST, NULL},
    {"mta", "reconn-delay-route", NULL, NO_COUNTERPART,
     "after a failure a destination waits as minimal_backoff_time says"},
    {"mta", "max-failures-per-session", NULL, NO_COUNTERPART,
     "a session goes on after a recipient or message that was refused"},
    {"mta", "task-hiwat", NULL, NO_COUNTERPART, "tasks of the original are not there"},
    {"mta", "task-lowat", NULL, NO_COUNTERPART, "tasks of the original are not there"},
    {"mta", "task-release", NULL, NO_COUNTERPART, "tasks of the original are not there"},
    {"mda", "max-session", NULL, SMALLEST, NULL},
    {"mda", "max-session-per-user", NULL, SMALLEST, NULL},
    {"mda", "task-hiwat", NULL, NO_COUNTERPART, "tasks of the original are not there"},
    {"mda", "task-lowat", NULL, NO_COUNTERPART, "tasks of the original are not there"},
    {"mda", "task-release", NULL, NO_COUNTERPART, "tasks of the original are not there"},
    {"scheduler", "max-inflight", "qmgr_message_active_limit", SMALLEST, NULL},
    {"scheduler", "max-evp-batch-size", NULL, NO_COUNTERPART,
     "messages between processes of the original are not there"},
    {"scheduler", "max-msg-batch-size", NULL, NO_COUNTERPART,
     "messages between processes of the original are not there"},
    {"scheduler", "max-schedule", NULL, NO_COUNTERPART,
     "smtpctl schedule takes all messages at once"},
};

enum { KNOWN = sizeof known / sizeof *known };

static size_t find(const struct conf_limit *l)
{
    size_t k = 0;

    while (k < KNOWN &&
           !(str_eq(l->of, str_of(known[k].of)) && str_eq(l->name, str_of(known[k].name))))
        k++;
    return k;
}

long limit_value(const struct generator *g, const char *of, const char *name)
{
    long value = 0;

    for (size_t i = 0; i < g->conf->limits.n; i++) {
        const struct conf_limit *l = &g->conf->limits.v[i];
        if (l->domain.n == 0 && str_eq(l->of, str_of(of)) && str_eq(l->name, str_of(name)))
            value = l->value;
    }
    return value;
}

/* Limits for all domains hold for each that says nothing else. */
static bool concerns(const struct conf_limit *l, struct str domain)
{
    return l->domain.n == 0 || str_eq_nocase(l->domain, domain);
}

/* The limit decides about its parameter when no other one is stronger; of equal ones the first. */
static bool decides(const struct generator *g, size_t at, struct str domain)
{
    const struct conf_limit *mine = &g->conf->limits.v[at];
    size_t k = find(mine);

    for (size_t i = 0; i < g->conf->limits.n; i++) {
        const struct conf_limit *l = &g->conf->limits.v[i];
        size_t other = find(l);
        bool same = i != at && concerns(l, domain) && other < KNOWN && known[other].parameter &&
                    strcmp(known[other].parameter, known[k].parameter) == 0;
        if (same && other == k && (l->domain.n ? 1 : 0) != (mine->domain.n ? 1 : 0)) {
            if (l->domain.n)
                return false; /* said for the domain */
            continue;
        }
        if (same && other == k && i > at)
            return false; /* said again */
        if (same && other != k &&
            (known[k].manner == SMALLEST ? l->value < mine->value : l->value > mine->value))
            return false;
        if (same && other != k && l->value == mine->value && i < at)
            return false;
    }
    return true;
}

static void say_without_effect(struct generator *g, const struct conf_limit *l)
{
    size_t k = find(l);

    if (k < KNOWN && known[k].manner == NO_COUNTERPART)
        warn(g, &l->place, STR_FMT " limit " STR_FMT " has no effect: %s", STR_ARG(l->of),
             STR_ARG(l->name), known[k].reason);
}

/* Of main.cf; what is no parameter of the queue manager is an option of a domain's transport. */
static void one_parameter(struct generator *g, const struct conf_limit *l, size_t k,
                          struct str service)
{
    bool of_sessions = known[k].manner == MAILS_OF_SESSION, one = of_sessions && l->value <= 1;
    struct str name = one ? STR("smtp_connection_cache_on_demand") /* 0 reuses mean any number */
                          : str_of(known[k].parameter);
    struct str value = one ? STR("no")
                           : arena_printf(g->arena, "%ld%s", l->value - of_sessions,
                                          known[k].manner == LARGEST ? "s" : "");

    if (str_has_prefix(name, STR("_")))
        name = arena_join(g->arena, service, name);
    else if (service.n) {
        option(g, name.p, STR_FMT, STR_ARG(value));
        return;
    }
    set(g, &l->place, name.p, STR_FMT, STR_ARG(value));
}

/* Those of all transports, or of one. */
static void parameters(struct generator *g, struct str service, struct str domain)
{
    for (size_t i = 0; i < g->conf->limits.n; i++) {
        const struct conf_limit *l = &g->conf->limits.v[i];
        size_t k = find(l);
        if (!concerns(l, domain) || k == KNOWN || known[k].parameter == NULL ||
            (known[k].parameter[0] == '_' || l->domain.n > 0) != (service.n > 0) ||
            !decides(g, i, domain))
            continue;
        one_parameter(g, l, k, service);
    }
}

void generate_limits(struct generator *g)
{
    for (size_t i = 0; i < g->conf->limits.n; i++)
        say_without_effect(g, &g->conf->limits.v[i]);
    parameters(g, STR(""), STR(""));
}

void limit_transport(struct generator *g, struct str service, struct str domain)
{
    const char *family = NULL;

    parameters(g, service, domain);
    for (size_t i = 0; i < g->conf->limits.n; i++) {
        const struct conf_limit *l = &g->conf->limits.v[i];
        if (concerns(l, domain) && str_has_prefix(l->name, STR("inet")))
            family = str_eq(l->name, STR("inet4")) ? "ipv4" : "ipv6";
    }
    if (family)
        option(g, "inet_protocols", "%s", family);
}
