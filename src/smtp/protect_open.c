#include <unistd.h>

#include "smtp/protect.h"
#include "tls/dane.h"
#include "tls/tls.h"

/* The default level; older parameters count where smtp_tls_security_level is empty. */
static enum tls_level default_level(const struct smtp_settings *set)
{
    enum tls_level level = TLS_LEVEL_NONE;

    if (set->tls_security_level.n)
        (void)tls_level_parse(set->tls_security_level,
                              &level); /* one of the words: see params.def */
    else if (set->enforce_tls)
        level = set->tls_enforce_peername ? TLS_LEVEL_VERIFY : TLS_LEVEL_ENCRYPT;
    else if (set->use_tls)
        level = TLS_LEVEL_MAY;
    return level;
}

static enum rc open_maps(struct smtp *s, struct protection *p, struct why *why)
{
    struct table_env env = {.config = s->config, .log = &s->log};
    const struct {
        const char *smtp, *lmtp;
        struct str spec;
        struct maps **to;
        unsigned flags;
    } tables[] = {
        {"smtp_tls_policy_maps", "lmtp_tls_policy_maps", s->set.tls_policy_maps,
         &p->policy.policy_maps, TABLE_NO_UNAUTH},
        {"smtp_tls_per_site", "lmtp_tls_per_site", s->set.tls_per_site, &p->policy.per_site,
         TABLE_NO_UNAUTH},
        {"smtp_tls_loglevel_maps", "lmtp_tls_loglevel_maps", s->set.tls_loglevel_maps,
         &p->loglevel_maps, 0},
    };

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        TRY(maps_open(s->lmtp ? tables[i].lmtp : tables[i].smtp, tables[i].spec, tables[i].flags,
                      &env, tables[i].to, why));
    return RC_OK;
}

static enum rc open_dane(struct smtp *s, struct protection *p, struct why *why)
{
    struct dane_options *d = arena_new_of(s->arena, struct dane_options);

    d->force_insecure = s->set.tls_force_insecure_host_tlsa_lookup;
    d->insecure_mx = s->set.tls_dane_insecure_mx_policy;
    if (tlsa_digests_parse(s->config->tls_dane_digests, &d->digests, why) != RC_OK)
        return RC_CONFIG;
    if (s->dns != DNS_USE_DNSSEC)
        d->why_not = "DNSSEC lookups are off; set smtp_dns_support_level = dnssec";
    else if (!s->host_dns)
        d->why_not = "host lookups by DNS are off; add dns to smtp_host_lookup";
    else if (s->config->ignore_mx_lookup_error)
        d->why_not = "it makes no sense with ignore_mx_lookup_error = yes";
    else if (str_list_has_nocase(s->set.dns_resolver_options, STR("res_defnames")) ||
             str_list_has_nocase(s->set.dns_resolver_options, STR("res_dnsrch")))
        d->why_not = "it cannot work with res_defnames or res_dnsrch in smtp_dns_resolver_options";
    d->dnssec = d->why_not == NULL;
    p->dane = d;
    return RC_OK;
}

static bool may_use(const struct smtp *s, const struct protection *p)
{
    return p->policy.level > TLS_LEVEL_NONE || !maps_empty(p->policy.policy_maps) ||
           !maps_empty(p->policy.per_site) || s->set.tls_wrappermode;
}

static enum rc open_context(struct smtp *s, struct protection *p, struct why *why)
{
    bool shared = s->set.tls_session_cache_database.n > 0;
    struct tls_options options = {
        .role = TLS_CLIENT,
        .prefix = s->lmtp ? "lmtp_tls_" : "smtp_tls_",
        .cache = s->lmtp ? "lmtp" : "smtp",
        .tlsmgr = shared ? arena_printf(s->arena, "private/" STR_FMT,
                                        STR_ARG(s->config->tlsmgr_service_name))
                               .p
                         : NULL,
    };
    struct why cause = {0};
    enum rc rc;

    if (!may_use(s, p))
        return RC_OK;
    rc = tls_context_new(&options, s->config, &s->log, &p->context, &cause);
#ifndef HAVE_OPENSSL
    if (rc == RC_CONFIG && p->policy.level == TLS_LEVEL_MAY && maps_empty(p->policy.policy_maps) &&
        maps_empty(p->policy.per_site) && !s->set.tls_wrappermode) {
        log_warning(&s->log, "mail goes in clear: %s", cause.text);
        return RC_OK;
    }
#endif
    return rc == RC_OK ? RC_OK : FAIL(why, rc, "%s", cause.text);
}

static enum rc check_anchors(const struct smtp *s, const char *prefix, struct why *why)
{
    struct str files = s->set.tls_trust_anchor_file, file;

    while (str_token(&files, LIST_SEPARATORS, &file)) {
        AUTO_ARENA a = arena_new(256);
        if (access(arena_text(a, file), R_OK) < 0)
            return FAIL(why, RC_CONFIG,
                        "%s_tls_trust_anchor_file: " STR_FMT ": %m; see postconf "
                        "%s_tls_trust_anchor_file",
                        prefix, STR_ARG(file), prefix);
    }
    return RC_OK;
}

/* "type:name", or empty. */
static enum rc check_probe(const struct smtp *s, struct why *why)
{
    struct str name = s->config->dnssec_probe, type = str_cut(&name, ':');

    if (s->config->dnssec_probe.n == 0 || (dns_type_number(type) && name.n))
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                "dnssec_probe = " STR_FMT ": use type:name, such as ns:., or nothing",
                STR_ARG(s->config->dnssec_probe));
}

static enum rc check_settings(const struct smtp *s, const struct protection *p, struct why *why)
{
    const char *prefix = p->policy.prefix;
    AUTO_ARENA a = arena_new(1024);
    struct tls_protocols protocols;
    const char *ciphers;

    TRY(check_anchors(s, prefix, why));
    if (s->set.tls_wrappermode && p->policy.level < TLS_LEVEL_ENCRYPT &&
        maps_empty(p->policy.policy_maps))
        return FAIL(why, RC_CONFIG,
                    "%s_tls_wrappermode = yes needs TLS; run: postconf -e "
                    "'%s_tls_security_level = encrypt' (or a stronger level)",
                    prefix, prefix);
    if (tls_protocols_parse(s->set.tls_mandatory_protocols, &protocols, why) != RC_OK) {
        why_prefix(why, "%s_tls_mandatory_protocols", prefix);
        return RC_CONFIG;
    }
    if (p->context && tls_cipher_list(s->config, s->set.tls_mandatory_ciphers,
                                      p->policy.mandatory_exclude, a, &ciphers, why) != RC_OK) {
        why_prefix(why, "%s_tls_mandatory_ciphers", prefix);
        return RC_CONFIG;
    }
    return RC_OK;
}

static void warn_of(const struct smtp *s, const struct protection *p)
{
    if (!p->dane->dnssec &&
        (p->policy.level == TLS_LEVEL_DANE || p->policy.level == TLS_LEVEL_DANE_ONLY))
        log_warning(&s->log, "%s_tls_security_level = %s: %s", p->policy.prefix,
                    tls_level_name(p->policy.level), p->dane->why_not);
#if !defined OPENSSL_VERSION_NUMBER || OPENSSL_VERSION_NUMBER < 0x30200000L
    if (s->set.tls_enable_rpk)
        log_warning(&s->log,
                    "%s_tls_enable_rpk = yes: this OpenSSL has no raw public keys; ignored",
                    p->policy.prefix);
#endif
    if (s->set.tlsrpt_enable)
        log_warning(&s->log, "%s_tlsrpt_enable = yes: reports are not supported yet; ignored",
                    p->policy.prefix);
}

enum rc protect_open(struct smtp *s, struct why *why)
{
    const struct smtp_settings *set = &s->set;
    struct protection *p = arena_new_of(s->arena, struct protection);

    p->policy = (struct tls_policy_settings){
        .prefix = s->lmtp ? "lmtp" : "smtp",
        .log = &s->log,
        .level = default_level(set),
        .protocols = set->tls_protocols,
        .mandatory_protocols = set->tls_mandatory_protocols,
        .ciphers = set->tls_ciphers,
        .mandatory_ciphers = set->tls_mandatory_ciphers,
        .exclude = set->tls_exclude_ciphers,
        .mandatory_exclude = set->tls_mandatory_exclude_ciphers,
        .verify_match = set->tls_verify_cert_match,
        .secure_match = set->tls_secure_cert_match,
        .fingerprint_match = set->tls_fingerprint_cert_match,
        .servername = set->tls_servername,
        .trust_anchors = set->tls_trust_anchor_file,
        .connection_reuse = set->tls_connection_reuse,
        .enable_rpk = set->tls_enable_rpk,
        .enforce_sts = set->tls_enforce_sts_mx_patterns,
    };
    s->protection = p;
    TRY(tls_loglevel_parse(set->tls_loglevel, &p->loglevel, why));
    TRY(open_maps(s, p, why));
    TRY(open_dane(s, p, why));
    TRY(open_context(s, p, why));
    TRY(check_probe(s, why));
    TRY(check_settings(s, p, why));
    warn_of(s, p);
    return RC_OK;
}

bool protect_has_changed(struct smtp *s, struct str *name)
{
    struct protection *p = s->protection;
    struct maps *const all[] = {p->policy.policy_maps, p->policy.per_site, p->loglevel_maps};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (maps_have_changed(all[i])) {
            *name = STR("table");
            return true;
        }
    return tls_context_has_changed(p->context, name);
}
