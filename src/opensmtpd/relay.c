/* relay: an smtp (or lmtp) transport for each protocol that the action's urls name. */
#include "opensmtpd/relay.h"

#include <netdb.h>
#include <unistd.h>

#include "util/net.h"

struct relay {
    struct generator *g;
    const struct conf_action *action;
    struct entry_vec sources;
    struct str domain;      /* with limits of its own, which it is about; empty: all */
    struct str services[2]; /* for SMTP and LMTP, those made: names; else empty */
};

/* smtp_NAME or lmtp_NAME */
static const char *name_of(struct relay *r, bool lmtp, const char *name)
{
    return arena_printf(r->g->arena, "%s_%s", lmtp ? "lmtp" : "smtp", name).p;
}

/* ---- TLS ---- */

/* What counts where the url says nothing else: smtp+tls and smtps raise "may" to "verify". */
static const char *level_of(const struct conf_action *a)
{
    return a->tls_no_verify ? "encrypt" : a->tls ? "verify" : "may";
}

static void tls(struct relay *r, bool lmtp)
{
    static const char system_cas[] = "/etc/ssl/certs/ca-certificates.crt";
    const struct conf_action *a = r->action;
    const struct conf_pki *k = a->pki.n ? conf_pki_find(r->g->conf, a->pki) : NULL;
    const struct conf_ca *ca = a->ca.n ? conf_ca_find(r->g->conf, a->ca) : NULL;
    bool verifies = !a->tls_no_verify && (a->tls || a->host || a->domain);

    option(r->g, name_of(r, lmtp, "tls_security_level"), "%s", level_of(a));
    if (k && k->cert.n && k->key.n)
        option(r->g, name_of(r, lmtp, "tls_chain_files"), STR_FMT ", " STR_FMT,
               STR_ARG(literal(r->g, k->key)), STR_ARG(literal(r->g, k->cert)));
    if (ca)
        option(r->g, name_of(r, lmtp, "tls_CAfile"), STR_FMT, STR_ARG(literal(r->g, ca->cert)));
    else if (verifies && access(system_cas, R_OK) == 0)
        option(r->g, name_of(r, lmtp, "tls_CAfile"), "%s", system_cas);
    if (a->protocols.n) {
        option(r->g, name_of(r, lmtp, "tls_protocols"), STR_FMT,
               STR_ARG(literal(r->g, a->protocols)));
        option(r->g, name_of(r, lmtp, "tls_mandatory_protocols"), STR_FMT,
               STR_ARG(literal(r->g, a->protocols)));
    }
    if (a->ciphers.n) {
        option(r->g, "tls_high_cipherlist", STR_FMT, STR_ARG(literal(r->g, a->ciphers)));
        option(r->g, name_of(r, lmtp, "tls_ciphers"), "high");
        option(r->g, name_of(r, lmtp, "tls_mandatory_ciphers"), "high");
    }
}

/* ---- addresses and names of ours ---- */

/* One address is bound to; several are used in turn. */
static void source(struct relay *r)
{
    const struct conf_table *t = r->action->src;
    struct str list = STR("");

    for (size_t i = 0; i < r->sources.n; i++) {
        struct str address = r->sources.v[i].key;
        struct addr a;
        struct why why = {0};
        char text[ADDR_TEXT_SIZE];
        if (addr_parse(address, 0, &a, &why) != RC_OK) {
            complain(r->g, &t->place, "source address " STR_FMT ": %s", STR_ARG(address), why.text);
            continue;
        }
        addr_format(&a, text);
        list = arena_printf(r->g->arena, STR_FMT "%s%s", STR_ARG(list), list.n ? ", " : "", text);
    }
    if (list.n)
        option(r->g, "smtp_source_addresses", STR_FMT, STR_ARG(list));
    else if (t)
        complain(r->g, &t->place, "action " STR_FMT ": no source address",
                 STR_ARG(r->action->name));
}

static void greeting(struct relay *r, bool lmtp)
{
    const struct conf_action *a = r->action;
    const char *name = lmtp ? "lmtp_lhlo_name" : "smtp_helo_name";

    if (a->helo.n)
        option(r->g, name, STR_FMT, STR_ARG(literal(r->g, a->helo)));
    if (a->helo_src)
        option(r->g, "smtp_helo_name_maps", STR_FMT,
               STR_ARG(table_as_map(r->g, a->helo_src, USE_MAP)));
}

/* Hosts of the same standing as NAME, and worse ones, are no way on. */
static void backup(struct relay *r)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    AUTO_BUF b = {0};

    if (r->action->backup_mx.n == 0)
        return; /* this host is known by its addresses */
    if (getaddrinfo(r->action->backup_mx.p, NULL, &hints, &found) != 0) {
        warn(r->g, &r->action->place, "backup mx " STR_FMT ": the name has no address",
             STR_ARG(r->action->backup_mx));
        return;
    }
    buf_init(&b, 4096);
    for (const struct addrinfo *i = found; i; i = i->ai_next) {
        char text[256];
        if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
            buf_addf(&b, "%s%s", b.n ? ", " : "", text);
    }
    freeaddrinfo(found);
    option(r->g, "proxy_interfaces", "%s", buf_text(&b));
}

/* ---- passwords ---- */

/* Looked up by the label of the relay host. They travel in clear to nobody. */
static void passwords(struct relay *r, bool lmtp)
{
    const struct conf_table *t = r->action->auth;

    if (t == NULL)
        return;
    option(r->g, name_of(r, lmtp, "sasl_auth_enable"), "yes");
    option(r->g, name_of(r, lmtp, "sasl_password_maps"), STR_FMT,
           STR_ARG(table_as_map(r->g, t, USE_SECRET)));
    option(r->g, name_of(r, lmtp, "sasl_security_options"), "noplaintext, noanonymous");
    option(r->g, name_of(r, lmtp, "sasl_tls_security_options"), "noanonymous");
}

static void check_label(struct relay *r, const struct relay_url *url)
{
    const struct conf_table *t = r->action->auth;

    if (t && url->label.n && t->kind != TABLE_IS_BACKEND &&
        table_value((struct entry_vec){t->entries.v, t->entries.n}, url->label).n == 0)
        complain(r->g, &r->action->place,
                 "table " STR_FMT " has no entry " STR_FMT " for the host " STR_FMT,
                 STR_ARG(t->name), STR_ARG(url->label), STR_ARG(url->host));
}

/* ---- the transport ---- */

static struct str new_name(struct relay *r, bool lmtp)
{
    struct str name = arena_printf(r->g->arena, STR_FMT "%s",
                                   STR_ARG(action_service(r->g, r->action)), lmtp ? "_lmtp" : "");

    return r->domain.n ? arena_join(r->g->arena, name, plain_name(r->g, "_for_", r->domain)) : name;
}

static bool has_program(const struct conf_filter *f)
{
    bool found = f && f->proc;

    for (size_t i = 0; f && i < f->chain.n; i++)
        found = found || has_program(f->chain.v[i]);
    return found;
}

/* Outgoing mail is reported to programs; nobody is asked. */
static void filter(struct relay *r)
{
    const struct conf_action *a = r->action;

    if (a->filter.n == 0)
        return;
    option(r->g, "smtp_filters", STR_FMT, STR_ARG(plain_name(r->g, "", a->filter)));
    if (!has_program(conf_filter_find(r->g->conf, a->filter)))
        warn(r->g, &a->place,
             "filter " STR_FMT " of a relay action has no effect: only programs are told about "
             "outgoing mail",
             STR_ARG(a->filter));
}

static void settings(struct relay *r, bool lmtp)
{
    const struct conf_action *a = r->action;

    filter(r);
    tls(r, lmtp);
    source(r);
    greeting(r, lmtp);
    passwords(r, lmtp);
    if (lmtp)
        return;
    if (a->domain)
        option(r->g, "smtp_nexthop_maps", STR_FMT, STR_ARG(table_as_map(r->g, a->domain, USE_MAP)));
    if (a->mail_from.n)
        option(r->g, "smtp_envelope_sender", STR_FMT, STR_ARG(literal(r->g, a->mail_from)));
    if (a->srs)
        option(r->g, "smtp_srs", "yes");
    if (a->backup)
        backup(r);
}

/* Its name. rotates: several hosts, in turn. */
static struct str service_of(struct relay *r, bool lmtp, bool rotates)
{
    const struct conf_action *a = r->action;
    struct str service = new_name(r, lmtp);
    long per_source = limit_value(r->g, "mta", "max-conn-per-source");
    size_t begun_at = r->g->master_cf->n;

    if (r->services[lmtp].n)
        return r->services[lmtp];
    buf_addf(r->g->master_cf, "# " STR_FMT "\n" STR_FMT " unix - - n - " STR_FMT " %s%s\n",
             STR_ARG(generate_place(r->g, &a->place)), STR_ARG(service),
             STR_ARG(process_column(r->g, per_source * (long)(r->sources.n ? r->sources.n : 1))),
             lmtp ? "lmtp" : "smtp", r->g->options->verbose ? " -v" : "");
    settings(r, lmtp);
    if (rotates)
        option(r->g, "smtp_rotate_nexthops", "yes");
    if (service_is_new(r->g, &service, begun_at,
                       arena_printf(r->g->arena, "%ld " STR_FMT, a->ttl, STR_ARG(r->domain)))) {
        limit_transport(r->g, service, r->domain);
        action_lifetime(r->g, a, service);
    }
    return r->services[lmtp] = service;
}

static struct str nexthop_of(struct relay *r, const struct relay_url *url)
{
    static const char *const protocols[] = {[RELAY_SMTP] = "smtp",
                                            [RELAY_TLS] = "smtp+tls",
                                            [RELAY_NO_TLS] = "smtp+notls",
                                            [RELAY_SMTPS] = "smtps"};
    struct str host = arena_printf(r->g->arena, "[" STR_FMT "]:%u", STR_ARG(url->host), url->port);

    if (url->protocol == RELAY_LMTP && url->host.p[0] == '/')
        return arena_printf(r->g->arena, "unix:" STR_FMT, STR_ARG(url->host));
    if (url->protocol == RELAY_LMTP || (url->protocol == RELAY_SMTP && url->label.n == 0))
        return host;
    return arena_printf(r->g->arena, "%s://" STR_FMT "%s" STR_FMT, protocols[url->protocol],
                        STR_ARG(url->label), url->label.n ? "@" : "", STR_ARG(host));
}

static bool parse_url(struct relay *r, const struct conf_table *t, struct str text,
                      struct relay_url *url)
{
    struct why why = {0};

    if (relay_url_parse(text, url, &why) == RC_OK) {
        check_label(r, url);
        return true;
    }
    complain(r->g, &t->place, "%s", why.text);
    return false;
}

/* ---- where mail goes ---- */

static bool is_first_of_domain(const struct generator *g, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (str_eq_nocase(g->conf->limits.v[i].domain, g->conf->limits.v[at].domain))
            return false;
    return true;
}

/* What recipient_action_maps is asked for. */
static struct str key_of(const struct relay *r)
{
    return r->domain.n ? arena_printf(r->g->arena, STR_FMT ":" STR_FMT,
                                      STR_ARG(action_name(r->g, r->action)), STR_ARG(r->domain))
                       : action_name(r->g, r->action);
}

static void add_action(struct relay *r, struct str key, struct str service, struct str nexthop)
{
    buf_addf(r->g->actions, STR_FMT " " STR_FMT ":" STR_FMT "\n", STR_ARG(key), STR_ARG(service),
             STR_ARG(nexthop));
}

/* Several hosts become a list: the next is tried when one cannot be reached. */
static void by_host(struct relay *r)
{
    const struct conf_table *t = r->action->host;
    struct entry_vec hosts = table_entries(r->g, t);
    struct relay_url url;
    struct str list = STR("");
    bool lmtp = false;
    size_t n = 0;

    for (size_t i = 0; i < hosts.n; i++) {
        if (!parse_url(r, t, hosts.v[i].key, &url))
            continue;
        if (n == 0)
            lmtp = url.protocol == RELAY_LMTP;
        if (lmtp != (url.protocol == RELAY_LMTP)) {
            complain(r->g, &t->place, "relay host " STR_FMT ": LMTP cannot stand beside SMTP",
                     STR_ARG(hosts.v[i].key));
            continue;
        }
        list = arena_printf(r->g->arena, STR_FMT "%s" STR_FMT, STR_ARG(list), n++ ? ", " : "",
                            STR_ARG(nexthop_of(r, &url)));
    }
    if (n == 0) {
        complain(r->g, &r->action->place, "action " STR_FMT ": no relay host",
                 STR_ARG(r->action->name));
        return;
    }
    add_action(r, key_of(r), service_of(r, lmtp, n > 1), list);
}

/* The transport asks for the host of each domain, which LMTP needs a transport of its own for. */
static void by_domain(struct relay *r)
{
    const struct conf_table *t = r->action->domain;
    struct entry_vec domains = {t->entries.v, t->entries.n};
    struct relay_url url;

    if (r->domain.n && str_has_prefix_nocase(table_value(domains, r->domain), STR("lmtp://")))
        return;
    add_action(r, key_of(r), service_of(r, false, false), STR(""));
    for (size_t i = 0; i < domains.n && r->domain.n == 0; i++) {
        const struct conf_entry *e = &domains.v[i];
        if (!parse_url(r, t, e->value, &url) || url.protocol != RELAY_LMTP)
            continue;
        add_action(r,
                   arena_printf(r->g->arena, STR_FMT ":" STR_FMT,
                                STR_ARG(action_name(r->g, r->action)),
                                STR_ARG(arena_lower(r->g->arena, e->key))),
                   service_of(r, true, false), nexthop_of(r, &url));
    }
}

static void transports(struct relay *r)
{
    memset(r->services, 0, sizeof r->services);
    if (r->action->host)
        by_host(r);
    else if (r->action->domain)
        by_domain(r);
    else
        add_action(r, key_of(r), service_of(r, false, false), STR(""));
}

void relay_action(struct generator *g, const struct conf_action *a)
{
    struct relay r = {.g = g, .action = a, .domain = STR("")};

    if (a->src)
        r.sources = table_entries(g, a->src);
    transports(&r);
    for (size_t i = 0; i < g->conf->limits.n; i++) {
        r.domain = arena_lower(g->arena, g->conf->limits.v[i].domain);
        if (r.domain.n && is_first_of_domain(g, i))
            transports(&r);
    }
}
