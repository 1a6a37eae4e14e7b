#include "posttls-finger/finger.h"
#include "wire/client.h"

static enum rc open_resolver(struct finger *f, struct why *why)
{
    bool dane =
        f->dane.dnssec && (f->o.level == TLS_LEVEL_DANE || f->o.level == TLS_LEVEL_DANE_ONLY);
    struct resolver_options options = {.resolv_conf = f->config->dns_resolver_file.p,
                                       .dnssec = dane};
    enum rc rc = RC_OK;

    f->resolver = resolver_open(&options);
    if (dane)
        rc = resolver_choose(f->resolver, f->config->dnssec_validation,
                             f->config->dnssec_trust_anchor_file.p, why);
    if (rc == RC_NONE)
        log_warning(&f->log, "%s", why->text);
    return rc == RC_NONE ? RC_OK : rc;
}

static enum rc open_dane(struct finger *f, struct why *why)
{
    f->dane.force_insecure = f->config->smtp_tls_force_insecure_host_tlsa_lookup;
    f->dane.insecure_mx = f->config->smtp_tls_dane_insecure_mx_policy;
    f->dane.dnssec = str_list_has_nocase(f->config->smtp_host_lookup, STR("dns"));
    f->dane.why_not = "hosts are not looked up by DNS; see option -h";
    return tlsa_digests_parse(f->config->tls_dane_digests, &f->dane.digests, why);
}

static void set_policy(struct finger *f)
{
    const struct config *c = f->config;

    f->settings = (struct tls_policy_settings){
        .prefix = "smtp",
        .log = &f->log,
        .level = f->o.level,
        .protocols = c->smtp_tls_mandatory_protocols,
        .mandatory_protocols = c->smtp_tls_mandatory_protocols,
        .ciphers = c->smtp_tls_mandatory_ciphers,
        .mandatory_ciphers = c->smtp_tls_mandatory_ciphers,
        .exclude = STR(""),
        .mandatory_exclude = STR(""),
        .verify_match = f->o.match.n ? f->o.match : STR("hostname"),
        .secure_match = f->o.match.n ? f->o.match : STR("nexthop, dot-nexthop"),
        .fingerprint_match = f->o.match,
        .servername = c->smtp_tls_servername,
        .trust_anchors = c->smtp_tls_trust_anchor_file,
        .enable_rpk = c->smtp_tls_enable_rpk,
    };
}

enum rc finger_open(struct finger *f, struct why *why)
{
    struct config_request request = {
        .process_name = "posttls-finger",
        .overrides = f->o.overrides,
        .overrides_n = f->o.n_overrides,
    };
    struct tls_options options = {
        .role = TLS_CLIENT, .prefix = "smtp_tls_", .mandatory = true, .cache = "finger"};

    TRY(config_load(&request, &f->config, why));
    TRY(open_dane(f, why));
    TRY(open_resolver(f, why));
    set_policy(f);
    return f->o.level == TLS_LEVEL_NONE
               ? RC_OK
               : tls_context_new(&options, f->config, &f->log, &f->tls, why);
}
