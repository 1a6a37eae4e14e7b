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
    {"mta", "reconn-delay-route", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-connector", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-relay", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-domain", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "session-transaction-delay", "_destination_rate_delay", LARGEST, NULL},
    {"mta", "conn-delay-source", "_transport_rate_delay", LARGEST, NULL},
    {"mta", "session-mail-max", "smtp_connection_reuse_count_limit", MAILS_OF_SESSION, NULL},
    {"mta", "session-keepalive", "smtp_connection_cache_time_limit", LARGEST, NULL},
    {"mta", "max-failures-per-session", "smtp_session_failure_limit", SMALLEST, NULL},
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
     "how many due messages are looked up in one step is not for the administrator"},
};

enum { KNOWN = sizeof known / sizeof *known };

static bool is_about(const struct conf_limit *l, size_t k)
{
    return str_eq(l->name, str_of(known[k].name)) && str_eq(l->of, str_of(known[k].of));
}

static size_t find(const struct conf_limit *l)
{
    size_t k = 0;

    while (k < KNOWN && !is_about(l, k))
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

/* What is said about known[k]: for the domain rather than for all, of several the last. */
static const struct conf_limit *in_force(const struct generator *g, size_t k, struct str domain)
{
    const struct conf_limit *found = NULL;

    for (size_t i = 0; i < g->conf->limits.n; i++) {
        const struct conf_limit *l = &g->conf->limits.v[i];
        bool is_weaker = found && found->domain.n > 0 && l->domain.n == 0;
        if (is_about(l, k) && concerns(l, domain) && !is_weaker)
            found = l;
    }
    return found;
}

static bool same_parameter(size_t a, size_t b)
{
    return known[a].parameter && known[b].parameter &&
           strcmp(known[a].parameter, known[b].parameter) == 0;
}

static bool is_first_of_parameter(size_t k)
{
    for (size_t i = 0; i < k; i++)
        if (same_parameter(i, k))
            return false;
    return known[k].parameter != NULL;
}

/* Several limits may become one parameter: the strictest decides. NULL: none is set. */
static const struct conf_limit *strictest(const struct generator *g, size_t first,
                                          struct str domain)
{
    const struct conf_limit *found = NULL;

    for (size_t k = first; k < KNOWN; k++) {
        const struct conf_limit *l = same_parameter(first, k) ? in_force(g, k, domain) : NULL;
        bool is_stricter =
            l && found &&
            (known[k].manner == SMALLEST ? l->value < found->value : l->value > found->value);
        if (l && (found == NULL || is_stricter))
            found = l;
    }
    return found;
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

/*
 * Those of all transports (service is empty), or of one. What is a parameter of the queue manager
 * for each transport, or is said for the domain only, concerns one.
 */
static void parameters(struct generator *g, struct str service, struct str domain)
{
    for (size_t k = 0; k < KNOWN; k++) {
        const struct conf_limit *l = is_first_of_parameter(k) ? strictest(g, k, domain) : NULL;
        if (l && (known[k].parameter[0] == '_' || l->domain.n > 0) == (service.n > 0))
            one_parameter(g, l, k, service);
    }
}

/* The original's, without any word in smtpd.conf. */
static void default_of_failures(struct generator *g)
{
    size_t k =
        find(&(struct conf_limit){.of = STR("mta"), .name = STR("max-failures-per-session")});

    if (g->conf->grammar != GRAMMAR_2011 && in_force(g, k, STR("")) == NULL)
        set(g, NULL, known[k].parameter, "25");
}

void generate_limits(struct generator *g)
{
    for (size_t i = 0; i < g->conf->limits.n; i++)
        say_without_effect(g, &g->conf->limits.v[i]);
    parameters(g, STR(""), STR(""));
    default_of_failures(g);
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
