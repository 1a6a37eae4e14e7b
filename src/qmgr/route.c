/* Recipients to transports and destinations. */
#include "config/config.h"
#include "global/address.h"
#include "qmgr/qmgr.h"
#include "util/clock.h"

static const struct str resolver_failed = STR_INIT("4.3.0 address resolver failure");
static const struct str bad_address = STR_INIT("5.1.3 bad address syntax");

bool route_is_resolved(const struct message_ready *m)
{
    if (m->redirect.n)
        return false;
    if (m->filter.n)
        return true;
    for (size_t i = 0; i < m->n_recipients; i++)
        if (m->recipients[i].transport.n == 0)
            return false;
    return true;
}

static void resolve_one(struct qmgr *q, const struct message_ready *m, struct recipient *r,
                        struct arena *a)
{
    struct resolved out = {0};
    struct why why = {0};
    bool verify = m->trace_flags & DELIVER_MTA_VERIFY;

    if (resolve_action(q->rewriter, r->action, r->address, a, &out, &why) == RC_OK) {
        r->transport = out.transport;
        r->nexthop = out.nexthop;
        return;
    }
    if (resolve_address(q->rewriter, m->sender, r->address, verify, a, &out, &why) != RC_OK ||
        out.flags & RESOLVE_FAILED) {
        r->transport = STR("retry");
        r->nexthop = resolver_failed;
    } else if (out.flags & RESOLVE_BAD_ADDRESS) {
        r->transport = STR("error");
        r->nexthop = bad_address;
    } else {
        r->transport = out.transport;
        r->nexthop = out.nexthop;
        r->resolved = out.recipient;
    }
}

/* Mail that a redirect action has caught goes to that address once, whoever the recipients are. */
static void redirect(struct qmgr *q, const struct message_ready *m, struct recipient *r,
                     struct arena *a)
{
    struct str to = m->redirect;
    struct why why;

    if (rewrite_address(q->rewriter, REWRITE_LOCAL, to, a, &to, &why) != RC_OK)
        to = m->redirect;
    r->address = to;
    r->resolved = STR_NONE;
    resolve_one(q, m, r, a);
}

/* A table was replaced: start over with the new one, and keep the old one when that fails. */
static void renew_rewriter(struct qmgr *q)
{
    struct rewriter *fresh = NULL;
    struct why why = {0};
    time_t now = clock_seconds();

    if (q->rewriter_checked == now)
        return;
    q->rewriter_checked = now;
    if (!rewriter_has_changed(q->rewriter))
        return;
    if (rewriter_new(q->rewrite_config, q->log, &fresh, &why) != RC_OK) {
        log_warning(q->log, "%s; using the tables as they were", why.text);
        return;
    }
    rewriter_free(q->rewriter);
    q->rewriter = fresh;
}

void route_resolve(struct qmgr *q, const struct message *msg, struct recipient *r, size_t n,
                   struct arena *a)
{
    renew_rewriter(q);
    if (msg->m.redirect.n) {
        if (n)
            redirect(q, &msg->m, r, a);
        return;
    }
    if (msg->m.filter.n)
        return;
    for (size_t i = 0; i < n; i++)
        if (r[i].transport.n == 0)
            resolve_one(q, &msg->m, &r[i], a);
}

/* A content filter gets all mail, but no address probes. */
static void apply_filter(struct message *msg, struct recipient *r)
{
    struct qmgr *q = msg->q;
    struct str nexthop = msg->m.filter, transport = str_cut(&nexthop, ':');

    if (nexthop.n == 0)
        nexthop = q->config->default_filter_nexthop;
    if (nexthop.n == 0)
        nexthop = address_split(r->address).domain;
    if (nexthop.n == 0)
        nexthop = q->config->myhostname;
    r->transport = transport;
    r->nexthop = nexthop;
    r->resolved = STR_NONE;
}

static bool is_probe(const struct message *msg)
{
    return msg->m.trace_flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY);
}

static bool is_double_bounce(const struct qmgr *q, const struct recipient *r)
{
    struct str transport = q->config->local_transport;

    return str_eq_nocase(address_split(r->address).local, q->config->double_bounce_sender) &&
           str_eq(r->transport, str_cut(&transport, ':'));
}

/* With one recipient per delivery the recipient is the destination. */
static struct destination *find_destination(struct message *msg, struct transport *t,
                                            const struct recipient *r)
{
    struct str key = t->recipient_limit == 1 ? r->address : r->nexthop;
    char small[256];

    if (key.n <= sizeof small) {
        if (key.n)
            memcpy(small, key.p, key.n);
        str_lower_bytes(small, key.n);
        key.p = small;
    } else {
        key = arena_lower(msg->arena, key);
    }
    return destination_get(t, key, r->nexthop);
}

static struct entry *find_entry(struct message *msg, struct portion *p, struct destination *d,
                                size_t left)
{
    struct arena *a = p ? p->arena : msg->arena;
    long limit = d->transport->recipient_limit;
    struct entry *e;

    if (limit <= 0 || limit > 1000) /* what a delivery request can hold */
        limit = 1000;
    if (!list_is_empty(&d->waiting)) {
        e = ITEM_OF(d->waiting.prev, struct entry, link);
        if (e->message == msg && e->portion == p && e->n < (size_t)limit)
            return e;
    }
    e = arena_new_of(a, struct entry);
    e->message = msg;
    e->portion = p;
    list_append(&msg->entries, &e->of_message);
    e->cap = left < (size_t)limit ? left : (size_t)limit;
    if (e->cap > 8 && left > 64)
        e->cap = 8; /* many recipients go to many places */
    e->recipients = arena_array(a, struct recipient, e->cap);
    msg->n_pending++;
    destination_add(d, e);
    return e;
}

static void add_to_entry(struct entry *e, const struct recipient *r)
{
    struct arena *a = e->portion ? e->portion->arena : e->message->arena;

    if (e->n == e->cap)
        e->recipients = arena_grow(a, e->recipients, &e->cap, sizeof *e->recipients);
    e->recipients[e->n++] = *r;
}

/* What the transport shall see; the routing itself does not travel. */
static struct recipient as_delivered(const struct recipient *r)
{
    struct recipient out = *r;

    if (r->resolved.n)
        out.address = r->resolved;
    out.transport = out.nexthop = out.resolved = STR_NONE;
    return out;
}

/* TRANSPORT_queue_lifetime: what was tried before and is that old is given up. */
static bool is_expired(const struct message *msg, const struct transport *t)
{
    return t->lifetime > 0 && str_eq(msg->queue_name, STR("deferred")) &&
           clock_seconds() - msg->m.create_sec >= t->lifetime;
}

static void assign_one(struct message *msg, struct portion *p, struct recipient *r, size_t left,
                       struct link *touched)
{
    struct qmgr *q = msg->q;
    struct recipient delivered;
    struct destination *d;
    struct transport *t;

    if (msg->m.filter.n && !msg->m.redirect.n && !is_probe(msg))
        apply_filter(msg, r);
    if (is_double_bounce(q, r)) {
        struct dsn dsn = {.status = STR("2.0.0"),
                          .reason = STR("undeliverable postmaster notification discarded")};
        report_recipients(msg, p, r, 1, &dsn);
        return;
    }
    if (r->transport.n == 0 || r->transport.n > 100 || str_index_any(r->transport, "/.") >= 0) {
        struct dsn dsn = {.status = STR("4.3.5"), .reason = STR("mail system configuration error")};
        log_warning(&msg->log, "bad transport name \"" STR_FMT "\" for \"" STR_FMT "\"",
                    STR_ARG(r->transport), STR_ARG(r->address));
        report_recipients(msg, p, r, 1, &dsn);
        return;
    }
    t = transport_get(q, r->transport);
    if (is_expired(msg, t)) {
        struct dsn dsn = {.status = STR("5.4.7"),
                          .reason = STR("delivery time expired; this was the last attempt")};
        report_recipients(msg, p, r, 1, &dsn);
        return;
    }
    delivered = as_delivered(r);
    d = find_destination(msg, t,
                         &(struct recipient){.address = delivered.address, .nexthop = r->nexthop});
    add_to_entry(find_entry(msg, p, d, left), &delivered);
    if (!is_listed(&d->touched))
        list_append(touched, &d->touched);
}

static void start_destination(struct message *msg, struct destination *d)
{
    struct transport *t = d->transport;
    struct qmgr *q = msg->q;

    if (msg->ignore_times && d->dead)
        destination_revive(d);
    if (!msg->ignore_times && str_list_has(q->config->defer_transports, t->name)) {
        struct dsn dsn = {.status = STR("4.3.2"), .reason = STR("deferred transport")};
        destination_defer_waiting(d, &dsn);
    } else if (t->dead) {
        destination_defer_waiting(d, &t->dead_reason);
    } else if (d->dead) {
        destination_defer_waiting(d, &d->dead_reason);
    } else {
        transport_run(t);
    }
}

void route_assign(struct message *msg, struct portion *p, struct recipient *r, size_t n)
{
    struct link touched;

    list_init(&touched);
    if (msg->m.redirect.n && n > 1) { /* the others are done with the first */
        msg->n_recipients -= n - 1;
        msg->q->n_recipients -= n - 1;
        portion_done(p, n - 1);
        msg->rest.unread = 0;
        n = 1;
    }
    for (size_t i = 0; i < n; i++)
        assign_one(msg, p, &r[i], n - i, &touched);
    while (!list_is_empty(&touched)) {
        struct destination *d = ITEM_OF(touched.next, struct destination, touched);
        list_remove(&d->touched);
        start_destination(msg, d);
    }
}
