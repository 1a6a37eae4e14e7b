#include "smtp/attempt.h"
#include "smtp/auth.h"
#include "smtp/pass.h"
#include "smtp/pool.h"
#include "smtp/protect.h"
#include "smtp/session.h"
#include "smtp/smtp.h"
#include "smtp/transaction.h"
#include "util/clock.h"

/* The session is ready: what the log line of each recipient says about it. */
static void describe(struct attempt *at, const struct session *s)
{
    at->d->time.connected = clock_now();
    at->d->relay = arena_copy(at->arena, str_of(s->relay));
    protect_describe(at, s);
    at->d->conn_use = s->messages > 0 ? s->messages + 1 : 0;
}

/* Is the next hop in smtp_connection_cache_destinations: as it stands, without port, or bare? */
static bool is_kept_always(struct attempt *at)
{
    struct match_list *list = at->smtp->pool_destinations;
    struct str hop = at->d->request.nexthop, host, port;

    if (match_get(list, hop, NULL) == RC_OK)
        return true;
    if (host_port_split(hop, &host, &port, NULL) != RC_OK)
        return false;
    return match_get(list, host, NULL) == RC_OK ||
           match_get(list, str_head(hop, (size_t)(host.p + host.n - hop.p) + (hop.p[0] == '[')),
                     NULL) == RC_OK;
}

static bool keeps(struct attempt *at, const struct session *s)
{
    const struct smtp_settings *set = &at->smtp->set;

    if (s->broken || s->closing || service_is_draining(at->d->env))
        return false;
    if (s->tls && !s->reuse_tls)
        return false;
    if (set->connection_cache_on_demand && (at->busy || at->d->request.flags & DELIVER_CACHE_STORE))
        return true;
    return set->connection_cache_destinations.n > 0 && is_kept_always(at);
}

static bool has_failed_too_often(struct attempt *at, const struct session *s)
{
    long limit = at->smtp->set.session_failure_limit;

    if (limit == 0 || s->refused < limit)
        return false;
    log_info(&at->d->log, "%ld recipients in a row were refused; ending the session with %s",
             s->refused, s->where);
    return true;
}

/* One message over a session. RC_NONE: a kept session turned out to be closed. */
static enum rc use(struct attempt *at, struct session *s)
{
    enum rc rc;

    describe(at, s);
    rc = transaction_run(at, s);
    if (keeps(at, s) && !has_failed_too_often(at, s))
        session_pool_put(at->smtp->pool, s);
    else
        session_close(s, true);
    return rc;
}

/* A kept session, for the next hop or a server. True: it was there and could be used. */
static bool reuse(struct attempt *at, struct str key, const struct addr *address)
{
    struct str tls = address ? at->tls.key : at->tls.hop_key;
    struct session *s = session_pool_take(at->smtp->pool, key, tls, at->login_key, address);
    struct addr server;

    if (s == NULL)
        return false;
    server = s->address;
    attempt_next_host(at);
    at->tls.policy.wanted = s->wanted;
    at->tls.policy.level = s->level;
    protect_reused(at, s);
    if (use(at, s) != RC_OK)
        return false;
    vec_add(at->arena, &at->tried, server);
    return true;
}

static bool was_tried(const struct attempt *at, const struct addr *address)
{
    for (size_t i = 0; i < at->tried.n; i++)
        if (addr_equal(&at->tried.v[i], address) &&
            addr_port(&at->tried.v[i]) == addr_port(address))
            return true;
    return false;
}

/* The hosts of one next hop, in order, as long as recipients are open and limits allow. */
static void try_hosts(struct attempt *at, const struct nexthop *hop, const struct host_list *hosts)
{
    long sessions = 0, limit = at->smtp->set.mx_session_limit;

    for (size_t i = 0; i < hosts->n && at->left > 0; i++) {
        const struct host *h = &hosts->v[i];
        bool best = hosts->by_mx && h->preference == hosts->v[0].preference, connected = true;
        struct session *s;
        if (was_tried(at, &h->address))
            continue;
        if (limit > 0 && sessions >= limit)
            return;
        if (!protect_choose(at, hop, h))
            continue;
        if (!reuse(at, hop->text, &h->address)) {
            attempt_next_host(at);
            s = session_open(at, hop, h, best, &connected);
            if (s)
                (void)!use(at, s);
        }
        if (at->tls.retry && at->left > 0) {
            attempt_next_host(at);
            protect_without(at);
            s = session_open(at, hop, h, best, &connected);
            if (s)
                (void)!use(at, s);
        }
        sessions += connected;
    }
}

/* What the administrator has written cannot be a reason to return mail. */
static void soften(struct attempt *at, const struct nexthop *hop, struct trouble *trouble)
{
    const char *parameter = NULL;

    if (trouble->status[0] != '5')
        return;
    if (at->smtp->lmtp)
        parameter = "transport";
    else if (str_list_has(at->smtp->config->relayhost, hop->text))
        parameter = "relayhost";
    else if (str_list_has(at->smtp->set.fallback_relay, hop->text))
        parameter = "smtp_fallback_relay";
    if (parameter == NULL)
        return;
    log_warning(&at->smtp->log, "%s configuration problem: " STR_FMT, parameter,
                STR_ARG(hop->text));
    trouble->status = "4.3.5";
}

/* False: no fallback relay may be tried, because we are one of the MX hosts ourselves. */
static bool try_nexthop(struct attempt *at, struct str text)
{
    struct host_list hosts = {0};
    struct trouble trouble = {0};
    struct nexthop hop;
    struct dsn dsn;
    enum rc rc;

    at->hop = text;
    if (nexthop_parse(text, at->smtp->lmtp, at->smtp->set.tcp_port, &hop, &trouble.why) != RC_OK) {
        log_warning(&at->smtp->log, "%s", trouble.why.text);
        dsn = dsn_local(at, "4.3.5", "%s", trouble.why.text);
        attempt_postpone(at, &dsn);
        return true;
    }
    at->label = hop.label;
    protect_begin(at, &hop);
    if (!auth_choose(at, &hop))
        return true;
    if (hop.path.n) {
        if (!reuse(at, text, NULL) && protect_choose(at, &hop, NULL)) {
            struct session *s = session_open_unix(at, &hop);
            if (s)
                (void)!use(at, s);
        }
        if (at->tls.retry && at->left > 0) {
            struct session *s;
            protect_without(at);
            s = session_open_unix(at, &hop);
            if (s)
                (void)!use(at, s);
        }
        return true;
    }
    reuse(at, text, NULL);
    if (at->left == 0)
        return true;
    rc = hosts_find(at->smtp, &hop, at->arena, &hosts, &trouble);
    if (rc == RC_OK) {
        try_hosts(at, &hop, &hosts);
        return !hosts.we_are_mx;
    }
    if (rc == RC_PERM && !hop.bracketed && at->smtp->config->best_mx_transport.n) {
        pass_to_best_mx_transport(at, hop.host);
        return false;
    }
    soften(at, &hop, &trouble);
    dsn = dsn_local(at, trouble.status, "%s", trouble.why.text);
    attempt_postpone(at, &dsn);
    return rc != RC_PERM;
}

/* With smtp_nexthop_maps the table says which host mail for the next hop goes to. False: none. */
static bool map_nexthop(struct attempt *at, struct str *list)
{
    struct maps *maps = at->smtp->nexthop_maps;
    struct str key = *list;
    struct why why = {0};
    struct dsn dsn;
    enum rc rc;

    if (maps_empty(maps))
        return true;
    rc = maps_get(maps, arena_lower(at->arena, key), at->arena, list, &why);
    if (rc == RC_OK && str_find(*list, STR("://")) < 0)
        *list = arena_join(at->arena, STR("smtp://"), *list);
    if (rc == RC_OK)
        return true;
    if (rc == RC_NONE) {
        dsn = dsn_local(at, "5.4.4", "no relay host for " STR_FMT, STR_ARG(key));
    } else {
        log_warning(&at->smtp->log, "smtp_nexthop_maps: %s", why.text);
        dsn = dsn_local(at, "4.3.0", "smtp_nexthop_maps lookup error");
    }
    attempt_message(at, &dsn, NULL);
    return false;
}

/* The next hops of the request; with smtp_rotate_nexthops each time another one first. True: the
 * fallback relays may be tried, too. */
static bool try_nexthops(struct attempt *at, struct str list)
{
    VEC(struct str) hops = {0};
    struct str hop;
    size_t first;
    bool fallback = true;

    while (str_token(&list, LIST_SEPARATORS, &hop))
        vec_add(at->arena, &hops, hop);
    first = at->smtp->set.rotate_nexthops && hops.n > 1 ? atomic_fetch_add(&at->smtp->turn, 1) : 0;
    for (size_t i = 0; i < hops.n && at->left > 0; i++)
        fallback = try_nexthop(at, hops.v[(first + i) % hops.n]) && fallback;
    return fallback;
}

void smtp_deliver(void *context, struct delivery *d)
{
    struct smtp *s = context;
    struct str list = s->set.fallback_relay, hop, hops = d->request.nexthop;
    struct attempt at;
    bool fallback;

    d->relay = STR("none");
    if (!attempt_begin(&at, s, d)) {
        attempt_end(&at);
        return;
    }
    if (s->flags & FLAG_DELIVERED_TO && deliver_is_loop(d, at.to[0])) {
        struct dsn loop =
            dsn_local(&at, "5.4.6", "mail forwarding loop for " STR_FMT, STR_ARG(at.to[0]));
        attempt_message(&at, &loop, NULL);
    }
    at.busy = session_pool_note(s->pool, d->request.nexthop);
    fallback = map_nexthop(&at, &hops) && try_nexthops(&at, hops);
    while (at.left > 0 && fallback && str_token(&list, LIST_SEPARATORS, &hop))
        try_nexthop(&at, hop);
    attempt_end(&at);
}
