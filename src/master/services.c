/* The services of master.cf: what is new, what stays, what goes; and when to start a process. */
#include <stdlib.h>
#include <unistd.h>

#include "master/master.h"
#include "service/status.h"
#include "util/clock.h"
#include "util/memory.h"

/* master_service_disable: "name/type", "type", "!..."; the first that matches decides. */
static bool is_disabled(const struct config *c, const struct master_entry *e, struct str key)
{
    struct str rest = c->master_service_disable, item;
    struct str type = str_of(master_type_name(e->type));

    while (str_token(&rest, LIST_SEPARATORS, &item)) {
        bool negated = item.p[0] == '!';
        struct str pattern = str_from(item, negated);
        bool with_dot = pattern.n == key.n && pattern.p[e->name.n] == '.' &&
                        str_eq(str_head(pattern, e->name.n), e->name) &&
                        str_eq(str_from(pattern, e->name.n + 1), type);
        if (with_dot || str_eq(pattern, key) || str_eq(pattern, type))
            return !negated;
    }
    return false;
}

static struct master_service *find(struct master *m, struct str key)
{
    struct master_service *s = m->services;

    while (s && !str_eq(s->key, key))
        s = s->next;
    return s;
}

static struct master_service *add(struct master *m, struct str key)
{
    struct master_service *s = NEW(struct master_service), **last = &m->services;
    char *copy = memory_new(key.n + 1);

    memcpy(copy, key.p, key.n);
    s->key = (struct str){copy, key.n};
    s->master = m;
    while (*last)
        last = &(*last)->next;
    *last = s;
    return s;
}

/* NAME_suffix, COMMAND_suffix, service_suffix; -o before main.cf. */
static long number_for(const struct config *c, const struct master_entry *e, const char *suffix,
                       long otherwise)
{
    const struct str names[] = {e->name, e->command, STR("service")};
    AUTO_ARENA a = arena_new(256);
    long number;

    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct str name = arena_printf(a, STR_FMT "_%s", STR_ARG(names[n]), suffix);
        for (size_t i = e->overrides_n; i-- > 0;)
            if (str_eq(e->overrides[i].name, name) &&
                str_to_long(str_trim(e->overrides[i].value), 0, LONG_MAX, &number))
                return number;
        if (n < 2 && config_is_set(c, name) &&
            config_transport_long(c, names[n], suffix, &number, NULL) == RC_OK)
            return number;
    }
    return otherwise;
}

/* A limit of memory is one of a session, so each has a process of its own. */
static long sessions_per_process(const struct config *c, const struct master_entry *e)
{
    if (!e->is_unprivileged || number_for(c, e, "memory_limit", c->service_memory_limit) > 0)
        return 1;
    return number_for(c, e, "process_sessions", c->service_process_sessions);
}

/* Endpoints that are wanted take over the descriptors of those that are open; the rest is closed.
 */
static enum rc replace_endpoints(struct master_service *s, struct endpoint *wanted, size_t n,
                                 struct why *why)
{
    enum rc rc = RC_OK;
    size_t kept = 0;

    for (size_t i = 0; i < s->n_endpoints; i++) {
        struct endpoint *old = &s->endpoints[i];
        for (size_t j = 0; j < n && old->fd >= 0; j++)
            if (endpoint_equal(old, &wanted[j])) {
                wanted[j].fd = old->fd;
                old->fd = -1;
            }
        loop_unwatch(s->master->loop, old->fd);
        endpoint_close(old);
        free((char *)old->path.p);
    }
    for (size_t i = 0; i < n; i++) {
        struct why one;
        long backlog = number_for(s->master->current->config, s->entry, "backlog",
                                  s->master->current->config->service_backlog);
        enum rc opened;
        wanted[i].backlog = backlog > INT_MAX ? INT_MAX : (int)backlog;
        opened =
            wanted[i].fd >= 0 ? RC_OK : endpoint_open(s->master, &wanted[i], s->entry->type, &one);
        if (opened != RC_OK) {
            endpoint_close(&wanted[i]);
            rc = FAIL(why, opened, "%s", one.text);
            continue;
        }
        wanted[i].path = wanted[i].path.n ? str_of(memory_text(wanted[i].path.p)) : STR_NONE;
        s->endpoints[kept++] = wanted[i];
    }
    s->n_endpoints = kept;
    return rc;
}

static void remove_service(struct master_service *s)
{
    struct master *m = s->master;
    struct why why;

    log_debug(&m->log, "service %s is gone", s->key.p);
    s->entry = NULL;
    loop_cancel(m->loop, s->throttle_timer);
    loop_cancel(m->loop, s->wakeup_timer);
    loop_cancel(m->loop, s->stress_timer);
    s->throttle_timer = s->wakeup_timer = s->stress_timer = NULL;
    (void)!replace_endpoints(s, NULL, 0, &why);
    children_dismiss(s, SIGTERM);
}

static enum rc configure(struct master_service *s, const struct master_entry *e, struct why *why)
{
    struct master *m = s->master;
    struct endpoint wanted[LISTENERS_PER_SERVICE];
    size_t n = 0;
    enum rc rc;

    s->entry = e;
    s->account.maxproc = e->maxproc;
    s->account.per_process = sessions_per_process(m->current->config, e);
    s->has_stress = e->maxproc > 1 && (e->type == MASTER_INET || e->type == MASTER_PASS);
    rc = endpoints_of(m, e, wanted, &n, m->current->arena, why);
    if (rc == RC_OK)
        rc = replace_endpoints(s, wanted, n, why);
    if (rc != RC_OK)
        why_prefix(why, "%s, line %d: service %s", m->current->services.path, e->line, s->key.p);
    return rc;
}

/* Entries of the current generation that no service refers to any more would dangle. */
static void forget_entries(struct master *m)
{
    for (struct master_service *s = m->services; s; s = s->next)
        s->entry = NULL;
}

enum rc services_apply(struct master *m, bool starting, struct why *why)
{
    const struct generation *g = m->current;

    forget_entries(m);
    for (size_t i = 0; i < g->services.n; i++) {
        const struct master_entry *e = &g->services.entries[i];
        struct str key =
            arena_printf(g->arena, STR_FMT "/%s", STR_ARG(e->name), master_type_name(e->type));
        struct master_service *s = find(m, key);
        struct why one;

        if (is_disabled(g->config, e, key))
            continue;
        if (s == NULL)
            s = add(m, key);
        children_dismiss(s, 0);
        if (configure(s, e, &one) == RC_OK)
            continue;
        if (starting)
            return FAIL(why, one.rc, "%s", one.text);
        log_error(&m->log, "%s", one.text);
    }
    for (struct master_service *s = m->services; s; s = s->next) {
        if (s->entry == NULL) {
            remove_service(s);
            continue;
        }
        s->throttled = s->at_limit = false;
        loop_cancel(m->loop, s->throttle_timer);
        s->throttle_timer = NULL;
        wakeup_begin(s);
        service_review(s);
    }
    return RC_OK;
}

/* ---- when to start a process ---- */

static void stress_is_over(void *context)
{
    struct master_service *s = context;

    s->stress_timer = NULL;
    s->stressed = false;
    children_ask(s, STATUS_STRESS_OFF);
}

static bool has_draining_child(const struct master_service *s)
{
    for (const struct child *c = s->children; c; c = c->next)
        if (c->account.state == CHILD_DRAINING)
            return true;
    return false;
}

static void warn_about_limit(struct master_service *s)
{
    const struct master_entry *e = s->entry;
    const struct log *log = &s->master->log;
    long now = clock_ms();

    if (has_draining_child(s) ||
        (s->warned_limit_ms && now - s->warned_limit_ms < STRESS_SECONDS * 1000L))
        return;
    s->warned_limit_ms = now;
    if (e->type == MASTER_INET)
        log_warning(log,
                    "service \"" STR_FMT "\" (%u) has reached its process limit \"%ld\": new "
                    "clients may experience noticeable delays",
                    STR_ARG(e->name), addr_port(&s->endpoints[0].addr), e->maxproc);
    else
        log_warning(log,
                    "service \"" STR_FMT "\" (%s) has reached its process limit \"%ld\": new "
                    "clients may experience noticeable delays",
                    STR_ARG(e->name), s->endpoints[0].path.p, e->maxproc);
    log_warning(log, "raise the process limit of that service in master.cf, or make its sessions "
                     "shorter");
    if (s->has_stress)
        log_warning(log, "settings that depend on $stress apply until the load has gone; see the "
                         "manual page master(8)");
}

/* Somebody waits, all processes are full, and no further one may start. */
static void overloaded(struct master_service *s)
{
    s->at_limit = true;
    warn_about_limit(s);
    children_ask(s, STATUS_SHED);
    if (!s->has_stress)
        return;
    loop_cancel(s->master->loop, s->stress_timer);
    s->stress_timer = loop_after(s->master->loop, STRESS_SECONDS * 1000L, stress_is_over, s);
    if (!s->stressed)
        children_ask(s, STATUS_STRESS_ON);
    s->stressed = true;
}

static void somebody_waits(void *context, int events)
{
    struct master_service *s = context;

    (void)events;
    if (account_next(&s->account) > 0)
        child_start(s);
    else
        overloaded(s);
    service_review(s);
}

void service_review(struct master_service *s)
{
    bool listen = s->entry && !s->master->stopping && !s->throttled && !s->at_limit &&
                  s->account.with_room == 0 && !service_is_paused(s);

    for (size_t i = 0; i < s->n_endpoints; i++) {
        if (listen)
            loop_watch(s->master->loop, s->endpoints[i].fd, LOOP_READ, somebody_waits, s);
        else
            loop_unwatch(s->master->loop, s->endpoints[i].fd);
    }
}
