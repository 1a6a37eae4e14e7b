/* listen on ...: a service of master.cf for each address. */
#include "opensmtpd/generate.h"

static const struct conf_pki *pki_of(const struct generator *g, const struct conf_listen *l)
{
    const struct conf *c = g->conf;
    const struct conf_pki *k = NULL;

    if (l->pki.n)
        return conf_pki_find(c, l->pki);
    if (l->hostname.n)
        k = conf_pki_find(c, l->hostname);
    if (k == NULL)
        k = conf_pki_find(c, g->hostname);
    if (k == NULL)
        k = conf_pki_find(c, STR("*"));
    return k == NULL && c->pkis.n == 1 ? c->pkis.v[0] : k;
}

static void certificates(struct generator *g, const struct conf_listen *l)
{
    const struct conf_pki *k = pki_of(g, l);
    const struct conf_ca *ca = l->ca.n ? conf_ca_find(g->conf, l->ca) : NULL;

    if (k && k->cert.n && k->key.n)
        option(g, "smtpd_tls_chain_files", STR_FMT ", " STR_FMT, STR_ARG(literal(g, k->key)),
               STR_ARG(literal(g, k->cert)));
    else if (k && k->cert.n)
        option(g, "smtpd_tls_chain_files", STR_FMT, STR_ARG(literal(g, k->cert)));
    else
        warn(g, &l->place,
             "TLS without a certificate: no client can use it; add pki NAME cert FILE "
             "and pki NAME key FILE");
    if (k && str_eq(k->dhe, STR("none")))
        option(g, "smtpd_tls_exclude_ciphers", "DHE");
    if (ca)
        option(g, "smtpd_tls_CAfile", STR_FMT, STR_ARG(literal(g, ca->cert)));
    if (l->tls_verify)
        option(g, "smtpd_tls_req_ccert", "yes");
}

/* "TLSv1.2,TLSv1.3" of the original is the same list here. */
static void protocols(struct generator *g, const char *side, struct str text)
{
    if (text.n == 0)
        return;
    option(g, arena_printf(g->arena, "%s_tls_protocols", side).p, STR_FMT,
           STR_ARG(literal(g, text)));
    option(g, arena_printf(g->arena, "%s_tls_mandatory_protocols", side).p, STR_FMT,
           STR_ARG(literal(g, text)));
}

static void tls(struct generator *g, const struct conf_listen *l)
{
    if (!l->tls && !l->tls_require && !l->smtps)
        return;
    option(g, "smtpd_tls_security_level", l->tls ? "may" : "encrypt");
    if (l->smtps)
        option(g, "smtpd_tls_wrappermode", "yes");
    certificates(g, l);
    protocols(g, "smtpd", l->protocols);
    if (l->ciphers.n) {
        option(g, "tls_high_cipherlist", STR_FMT, STR_ARG(literal(g, l->ciphers)));
        option(g, "smtpd_tls_ciphers", "high");
        option(g, "smtpd_tls_mandatory_ciphers", "high");
    }
}

/* Passwords of the system: saslauthd asks PAM, or the shadow file. An installation that has a
 * directory for Cyrus SASL says in its smtpd.conf how. */
static void system_passwords(struct generator *g, const struct conf_listen *l)
{
    static const char name[] = "passwords";
    bool own = config_is_set(g->base, STR("cyrus_sasl_config_path"));
    bool made = false;

    option(g, "smtpd_sasl_type", "cyrus");
    option(g, "smtpd_sasl_path", "%s", own ? "smtpd" : name);
    for (size_t i = 0; i < g->files.n; i++)
        made = made || str_eq(g->files.v[i]->name, STR("passwords.conf"));
    if (own || made)
        return;
    buf_addf(generate_file(g, "passwords.conf", false),
             "# " STR_FMT "\npwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n",
             STR_ARG(generate_place(g, &l->place)));
    set(g, &l->place, "cyrus_sasl_config_path", STR_FMT, STR_ARG(g->dir));
}

static void auth(struct generator *g, const struct conf_listen *l)
{
    if (!l->auth && !l->auth_optional)
        return;
    option(g, "smtpd_sasl_auth_enable", "yes");
    option(g, "smtpd_tls_auth_only", "yes");
    if (l->auth)
        option(g, "smtpd_sasl_auth_required", "yes");
    if (l->auth_table) {
        struct str table = table_as_map(g, l->auth_table, USE_SECRET);
        option(g, "smtpd_sasl_type", "file");
        option(g, "smtpd_sasl_path", STR_FMT, STR_ARG(table));
    } else {
        system_passwords(g, l);
    }
    if (l->senders) {
        option(g, "smtpd_login_sender_maps", STR_FMT,
               STR_ARG(table_as_map(g, l->senders, USE_MAP)));
        option(g, "smtpd_sender_restrictions", "reject_authenticated_sender_login_mismatch");
    }
    if (l->masquerade)
        option(g, "smtpd_masquerade_from", "yes");
}

static bool socket_has_tag(const struct generator *g)
{
    for (size_t i = 0; i < g->conf->listens.n; i++)
        if (g->conf->listens.v[i]->is_socket && g->conf->listens.v[i]->tag.n)
            return true;
    return false;
}

static void service(struct generator *g, const struct conf_listen *l, struct str address)
{
    bool is_v6 = str_index(address, ':') >= 0;
    unsigned port = l->port ? l->port : l->smtps ? 465 : 25;

    buf_addf(g->master_cf, "# " STR_FMT "\n%s" STR_FMT "%s:%u inet n - n - - smtpd%s\n",
             STR_ARG(generate_place(g, &l->place)), is_v6 ? "[" : "", STR_ARG(address),
             is_v6 ? "]" : "", port, g->options->verbose ? " -v" : "");
    if (l->tag.n || socket_has_tag(g))
        option(g, "smtpd_service_tag", STR_FMT, STR_ARG(literal(g, l->tag)));
    if (l->hostname.n) {
        option(g, "myhostname", STR_FMT, STR_ARG(literal(g, l->hostname)));
        option(g, "myorigin", STR_FMT, STR_ARG(literal(g, g->hostname)));
    }
    if (l->hostnames)
        option(g, "smtpd_hostname_maps", STR_FMT, STR_ARG(table_as_map(g, l->hostnames, USE_MAP)));
    if (l->mask_src)
        option(g, "smtpd_hide_client_session", "yes");
    if (l->no_dsn)
        option(g, "smtpd_discard_ehlo_keywords", "dsn");
    if (l->received_auth)
        option(g, "smtpd_sasl_authenticated_header", "yes");
    if (l->proxy_v2)
        option(g, "smtpd_upstream_proxy_protocol", "haproxy");
    if (l->filter.n)
        option(g, "smtpd_filters", STR_FMT, STR_ARG(plain_name(g, "", l->filter)));
    tls(g, l);
    auth(g, l);
}

/* What sendmail(1) submits. */
static void socket_listener(struct generator *g, const struct conf_listen *l)
{
    if (l->tag.n)
        set(g, &l->place, "smtpd_service_tag", STR_FMT, STR_ARG(literal(g, l->tag)));
    if (l->mask_src)
        set(g, &l->place, "pickup_hide_user", "yes");
    if (l->no_dsn)
        set(g, &l->place, "pickup_discard_dsn", "yes");
    if (l->filter.n)
        set(g, &l->place, "non_smtpd_filters", STR_FMT, STR_ARG(plain_name(g, "", l->filter)));
}

void generate_listeners(struct generator *g)
{
    for (size_t i = 0; i < g->conf->listens.n; i++) {
        const struct conf_listen *l = g->conf->listens.v[i];
        struct str_vec addresses;
        if (l->is_socket) {
            socket_listener(g, l);
            continue;
        }
        addresses = listen_addresses(g, l);
        for (size_t k = 0; k < addresses.n; k++)
            service(g, l, addresses.v[k]);
    }
}
