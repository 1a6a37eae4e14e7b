/* relay: an smtp (or lmtp) transport for each protocol that the action's urls name. */
#include "opensmtpd/relay.h"

#include <netdb.h>
#include <unistd.h>

#include "util/net.h"

static const struct {
    const char *suffix, *program, *level;
} kinds[] = {
    [RELAY_SMTP] = {"", "smtp", "may"},          [RELAY_TLS] = {"_tls", "smtp", "verify"},
    [RELAY_NO_TLS] = {"_notls", "smtp", "none"}, [RELAY_SMTPS] = {"_smtps", "smtp", "verify"},
    [RELAY_LMTP] = {"_lmtp", "lmtp", "may"},
};

struct relay {
    struct generator *g;
    const struct conf_action *action;
    struct entry_vec sources;
    struct str domain;    /* with limits of its own, which it is about at the moment; empty: all */
    struct str passwords; /* table, once it was made */
    struct str services[RELAY_LMTP + 1]; /* those made: names; else empty */
};

static const char *side(enum relay_protocol protocol)
{
    return protocol == RELAY_LMTP ? "lmtp" : "smtp";
}

/* smtp_NAME or lmtp_NAME */
static const char *name_of(struct relay *r, enum relay_protocol protocol, const char *name)
{
    return arena_printf(r->g->arena, "%s_%s", side(protocol), name).p;
}

/* ---- TLS ---- */

static const char *level_of(const struct conf_action *a, enum relay_protocol protocol)
{
    if (protocol == RELAY_NO_TLS)
        return "none";
    if (a->tls || protocol == RELAY_TLS || protocol == RELAY_SMTPS)
        return a->tls_no_verify ? "encrypt" : "verify";
    return kinds[protocol].level;
}

static void tls(struct relay *r, enum relay_protocol protocol)
{
    static const char system_cas[] = "/etc/ssl/certs/ca-certificates.crt";
    const struct conf_action *a = r->action;
    const struct conf_pki *k = a->pki.n ? conf_pki_find(r->g->conf, a->pki) : NULL;
    const struct conf_ca *ca = a->ca.n ? conf_ca_find(r->g->conf, a->ca) : NULL;
    const char *level = level_of(a, protocol);

    option(r->g, name_of(r, protocol, "tls_security_level"), "%s", level);
    if (protocol == RELAY_SMTPS)
        option(r->g, name_of(r, protocol, "tls_wrappermode"), "yes");
    if (k && k->cert.n && k->key.n)
        option(r->g, name_of(r, protocol, "tls_chain_files"), STR_FMT ", " STR_FMT,
               STR_ARG(literal(r->g, k->key)), STR_ARG(literal(r->g, k->cert)));
    if (ca)
        option(r->g, name_of(r, protocol, "tls_CAfile"), STR_FMT, STR_ARG(literal(r->g, ca->cert)));
    else if (strcmp(level, "verify") == 0 && access(system_cas, R_OK) == 0)
        option(r->g, name_of(r, protocol, "tls_CAfile"), "%s", system_cas);
    if (a->protocols.n) {
        option(r->g, name_of(r, protocol, "tls_protocols"), STR_FMT,
               STR_ARG(literal(r->g, a->protocols)));
        option(r->g, name_of(r, protocol, "tls_mandatory_protocols"), STR_FMT,
               STR_ARG(literal(r->g, a->protocols)));
    }
    if (a->ciphers.n) {
        option(r->g, "tls_high_cipherlist", STR_FMT, STR_ARG(literal(r->g, a->ciphers)));
        option(r->g, name_of(r, protocol, "tls_ciphers"), "high");
        option(r->g, name_of(r, protocol, "tls_mandatory_ciphers"), "high");
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

static void greeting(struct relay *r, enum relay_protocol protocol)
{
    const struct conf_action *a = r->action;
    const char *name = protocol == RELAY_LMTP ? "lmtp_lhlo_name" : "smtp_helo_name";

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

static bool secrets_are_looked_up(const struct relay *r)
{
    return r->action->auth->kind == TABLE_IS_BACKEND;
}

/* What smtp(8) looks up is the host: its entry is that of the label, or names the label when the
 * table is asked later. */
static void add_password(struct relay *r, const struct relay_url *url)
{
    const struct conf_table *t = r->action->auth;
    struct generator *g = r->g;
    struct entry_vec entries = {t->entries.v, t->entries.n};
    struct str value = secrets_are_looked_up(r) ? url->label : table_value(entries, url->label);
    struct generated_file *file;

    if (value.n == 0) {
        complain(g, &r->action->place,
                 "table " STR_FMT " has no entry " STR_FMT " for the host " STR_FMT,
                 STR_ARG(t->name), STR_ARG(url->label), STR_ARG(url->host));
        return;
    }
    if (r->passwords.n == 0) {
        r->passwords = arena_printf(g->arena, "passwords_" STR_FMT,
                                    STR_ARG(plain_name(g, "", r->action->name)));
        buf_addf(generate_file(g, r->passwords.p, true), "# " STR_FMT "\n",
                 STR_ARG(generate_place(g, &t->place)));
    }
    file = map_get(&g->file_names, r->passwords);
    buf_addf(&file->text, "[" STR_FMT "]:%u " STR_FMT "\n", STR_ARG(url->host), url->port,
             STR_ARG(value));
    if (url->port == 25)
        buf_addf(&file->text, "[" STR_FMT "] " STR_FMT "\n", STR_ARG(url->host), STR_ARG(value));
}

static void passwords(struct relay *r, enum relay_protocol protocol)
{
    struct str file, table;

    if (r->passwords.n == 0)
        return;
    file = arena_printf(r->g->arena, "texthash:" STR_FMT "/" STR_FMT, STR_ARG(r->g->dir),
                        STR_ARG(r->passwords));
    table = secrets_are_looked_up(r) ? table_backend(r->g, r->action->auth) : STR("");
    option(r->g, name_of(r, protocol, "sasl_auth_enable"), "yes");
    if (table.n)
        option(r->g, name_of(r, protocol, "sasl_password_maps"),
               "pipemap:{" STR_FMT ", " STR_FMT "}", STR_ARG(file), STR_ARG(table));
    else
        option(r->g, name_of(r, protocol, "sasl_password_maps"), STR_FMT, STR_ARG(file));
    option(r->g, name_of(r, protocol, "sasl_security_options"), "noanonymous");
    option(r->g, name_of(r, protocol, "sasl_tls_security_options"), "noanonymous");
}

/* ---- the transport ---- */

static struct str new_name(struct relay *r, enum relay_protocol protocol)
{
    struct str name =
        arena_printf(r->g->arena, STR_FMT "%s", STR_ARG(action_service(r->g, r->action)),
                     kinds[protocol].suffix);

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

static void settings(struct relay *r, enum relay_protocol protocol)
{
    const struct conf_action *a = r->action;

    filter(r);
    tls(r, protocol);
    source(r);
    greeting(r, protocol);
    passwords(r, protocol);
    if (protocol == RELAY_LMTP)
        return;
    if (a->mail_from.n)
        option(r->g, "smtp_envelope_sender", STR_FMT, STR_ARG(literal(r->g, a->mail_from)));
    if (a->srs)
        option(r->g, "smtp_srs", "yes");
    if (a->backup)
        backup(r);
}

/* Its name. rotates: several hosts, in turn. */
static struct str service_of(struct relay *r, enum relay_protocol protocol, bool rotates)
{
    const struct conf_action *a = r->action;
    struct str service = new_name(r, protocol);
    long per_source = limit_value(r->g, "mta", "max-conn-per-source");
    size_t begun_at = r->g->master_cf->n;

    if (r->services[protocol].n)
        return r->services[protocol];
    buf_addf(r->g->master_cf, "# " STR_FMT "\n" STR_FMT " unix - - n - " STR_FMT " %s%s\n",
             STR_ARG(generate_place(r->g, &a->place)), STR_ARG(service),
             STR_ARG(process_column(r->g, per_source * (long)(r->sources.n ? r->sources.n : 1))),
             kinds[protocol].program, r->g->options->verbose ? " -v" : "");
    settings(r, protocol);
    if (rotates)
        option(r->g, "smtp_rotate_nexthops", "yes");
    if (service_is_new(r->g, &service, begun_at,
                       arena_printf(r->g->arena, "%ld " STR_FMT, a->ttl, STR_ARG(r->domain)))) {
        limit_transport(r->g, service, r->domain);
        action_lifetime(r->g, a, service);
    }
    return r->services[protocol] = service;
}

static struct str nexthop_of(struct relay *r, const struct relay_url *url)
{
    if (url->protocol == RELAY_LMTP && url->host.p[0] == '/')
        return arena_printf(r->g->arena, "unix:" STR_FMT, STR_ARG(url->host));
    return arena_printf(r->g->arena, "[" STR_FMT "]:%u", STR_ARG(url->host), url->port);
}

static bool parse_url(struct relay *r, const struct conf_table *t, struct str text,
                      struct relay_url *url)
{
    struct why why = {0};

    if (relay_url_parse(text, url, &why) == RC_OK) {
        if (r->action->auth && url->label.n && r->domain.n == 0)
            add_password(r, url);
        return true;
    }
    complain(r->g, &t->place, "%s", why.text);
    return false;
}

/* ---- where mail goes ---- */

static bool has_own_limits(const struct generator *g, struct str domain)
{
    for (size_t i = 0; i < g->conf->limits.n; i++)
        if (g->conf->limits.v[i].domain.n && str_eq_nocase(g->conf->limits.v[i].domain, domain))
            return true;
    return false;
}

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
    return r->domain.n ? arena_printf(r->g->arena, STR_FMT ":" STR_FMT, STR_ARG(r->action->name),
                                      STR_ARG(r->domain))
                       : r->action->name;
}

static void add_action_line(struct relay *r, struct str key, struct str service, struct str nexthop)
{
    buf_addf(r->g->actions, STR_FMT " " STR_FMT ":" STR_FMT "\n", STR_ARG(key), STR_ARG(service),
             STR_ARG(nexthop));
}

/* Several hosts of one protocol become a list: the next is tried when one cannot be reached. */
static void by_host(struct relay *r)
{
    const struct conf_table *t = r->action->host;
    struct entry_vec hosts = table_entries(r->g, t);
    struct relay_url url, first = {0};
    struct str list = STR(""), service;
    size_t n = 0;

    for (size_t i = 0; i < hosts.n; i++) {
        if (!parse_url(r, t, hosts.v[i].key, &url))
            continue;
        if (list.n == 0)
            first = url;
        if (url.protocol != first.protocol) {
            warn(r->g, &t->place, "relay host " STR_FMT " is not used: its protocol differs",
                 STR_ARG(hosts.v[i].key));
            continue;
        }
        n++;
        list = arena_printf(r->g->arena, STR_FMT "%s" STR_FMT, STR_ARG(list), list.n ? ", " : "",
                            STR_ARG(nexthop_of(r, &url)));
    }
    if (list.n == 0) {
        complain(r->g, &r->action->place, "action " STR_FMT ": no relay host",
                 STR_ARG(r->action->name));
        return;
    }
    service = service_of(r, first.protocol, n > 1);
    add_action_line(r, key_of(r), service, list);
}

/* A domain that is not in the table cannot be relayed. */
static void by_domain(struct relay *r)
{
    const struct conf_table *t = r->action->domain;
    struct entry_vec domains = table_entries(r->g, t);
    struct relay_url *urls = arena_array(r->g->arena, struct relay_url, domains.n);

    for (size_t i = 0; i < domains.n; i++) { /* all passwords are known before a service is made */
        const struct conf_entry *e = &domains.v[i];
        bool elsewhere =
            has_own_limits(r->g, e->key) ? !str_eq_nocase(e->key, r->domain) : r->domain.n > 0;
        if (elsewhere || !parse_url(r, t, e->value, &urls[i]))
            urls[i].host = STR_NONE;
    }
    for (size_t i = 0; i < domains.n; i++) {
        struct str key = arena_printf(r->g->arena, STR_FMT ":" STR_FMT, STR_ARG(r->action->name),
                                      STR_ARG(arena_lower(r->g->arena, domains.v[i].key)));
        if (urls[i].host.n)
            add_action_line(r, key, service_of(r, urls[i].protocol, false),
                            nexthop_of(r, &urls[i]));
    }
    if (r->domain.n == 0)
        buf_addf(r->g->actions, STR_FMT " error:5.7.1 No relay host for this domain\n",
                 STR_ARG(r->action->name));
}

static void transports(struct relay *r)
{
    const struct conf_action *a = r->action;

    memset(r->services, 0, sizeof r->services);
    if (a->host)
        by_host(r);
    else if (a->domain)
        by_domain(r);
    else
        add_action_line(r, key_of(r), service_of(r, RELAY_SMTP, false), STR(""));
}

void relay_action(struct generator *g, const struct conf_action *a)
{
    struct relay r = {.g = g, .action = a, .passwords = STR(""), .domain = STR("")};

    if (a->src)
        r.sources = table_entries(g, a->src);
    transports(&r);
    for (size_t i = 0; i < g->conf->limits.n; i++) {
        r.domain = arena_lower(g->arena, g->conf->limits.v[i].domain);
        if (r.domain.n && is_first_of_domain(g, i))
            transports(&r);
    }
}
