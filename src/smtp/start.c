#include "auth/srs.h"
#include "deliver/notice.h"
#include "deliver/post.h"
#include "smtp/auth.h"
#include "smtp/pool.h"
#include "smtp/protect.h"
#include "smtp/requiretls.h"
#include "smtp/smtp.h"
#include "util/memory.h"

static enum rc open_resolver(struct smtp *s, struct why *why)
{
    struct resolver_options options = {
        .resolv_conf = s->config->dns_resolver_file.p,
        .dnssec = s->dns == DNS_USE_DNSSEC,
        .default_domain = str_list_has_nocase(s->set.dns_resolver_options, STR("res_defnames")),
        .search = str_list_has_nocase(s->set.dns_resolver_options, STR("res_dnsrch")),
    };
    enum rc rc;

    s->resolver = resolver_open(&options);
    s->dns_filter.log = &s->log;
    dns_filter_install(&s->dns_filter, s->resolver);
    if (s->dns != DNS_USE_DNSSEC)
        return RC_OK;
    rc = resolver_choose(s->resolver, s->config->dnssec_validation,
                         s->config->dnssec_trust_anchor_file.p, why);
    if (rc == RC_NONE)
        log_warning(&s->log, "%s", why->text);
    return rc == RC_NONE ? RC_OK : rc;
}

static enum rc open_tables(struct smtp *s, struct why *why)
{
    struct table_env env = {.config = s->config, .log = &s->log};
    const struct {
        const char *smtp, *lmtp;
        struct str spec;
        struct maps **to;
    } tables[] = {
        {"smtp_generic_maps", "lmtp_generic_maps", s->set.generic_maps, &s->generic_maps},
        {"smtp_discard_ehlo_keyword_address_maps", "lmtp_discard_lhlo_keyword_address_maps",
         s->set.discard_keyword_maps, &s->discard_maps},
        {"smtp_pix_workaround_maps", "lmtp_pix_workaround_maps", s->set.pix_workaround_maps,
         &s->pix_maps},
        {"smtp_reply_filter", "lmtp_reply_filter", s->set.reply_filter, &s->reply_filter},
        {"smtp_dns_reply_filter", "lmtp_dns_reply_filter", s->set.dns_reply_filter,
         &s->dns_filter.maps},
        {"smtp_header_checks", "lmtp_header_checks", s->set.header_checks, &s->header_checks},
        {"smtp_mime_header_checks", "lmtp_mime_header_checks", s->set.mime_header_checks,
         &s->mime_header_checks},
        {"smtp_nested_header_checks", "lmtp_nested_header_checks", s->set.nested_header_checks,
         &s->nested_header_checks},
        {"smtp_body_checks", "lmtp_body_checks", s->set.body_checks, &s->body_checks},
        {"smtp_nexthop_maps", "smtp_nexthop_maps", s->set.nexthop_maps, &s->nexthop_maps},
        {"smtp_helo_name_maps", "smtp_helo_name_maps", s->set.helo_name_maps, &s->helo_name_maps},
    };

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        TRY(maps_open(s->lmtp ? tables[i].lmtp : tables[i].smtp, tables[i].spec, 0, &env,
                      tables[i].to, why));
    if (!maps_empty(s->generic_maps))
        TRY(match_open("mydestination", s->config->mydestination, MATCH_DOMAIN,
                       match_parents(s->config, "mydestination"), &env, &s->my_destination, why));
    TRY(match_open("debug_peer_list", s->config->debug_peer_list, MATCH_CLIENT,
                   match_parents(s->config, "debug_peer_list"), &env, &s->debug_peers, why));
    s->extend_generic =
        str_list_has_nocase(s->config->propagate_unmatched_extensions, STR("generic"));
    return match_open(s->lmtp ? "lmtp_connection_cache_destinations"
                              : "smtp_connection_cache_destinations",
                      s->set.connection_cache_destinations, MATCH_DOMAIN, false, &env,
                      &s->pool_destinations, why);
}

/* Senders in our own domains are not forwarded mail. */
static enum rc open_srs(struct smtp *s, struct why *why)
{
    const struct config *c = s->config;
    struct table_env env = {.config = c, .log = &s->log};
    struct str own =
        arena_printf(s->arena, STR_FMT " " STR_FMT " " STR_FMT, STR_ARG(c->mydestination),
                     STR_ARG(c->virtual_mailbox_domains), STR_ARG(c->virtual_alias_domains));
    enum rc rc;

    if (!c->smtp_srs)
        return RC_OK;
    rc = srs_open(c, &s->srs, why);
    if (rc == RC_NONE)
        log_warning(&s->log, "smtp_srs = yes has no effect while srs_secrets is empty");
    if (rc != RC_OK)
        return rc == RC_NONE ? RC_OK : rc;
    return match_open("mydestination", own, MATCH_DOMAIN, match_parents(c, "mydestination"), &env,
                      &s->own_domains, why);
}

enum rc smtp_start(struct service_env *env, void **state, struct why *why)
{
    struct smtp *s = NEW(struct smtp);

    s->lmtp = strcmp(env->service->name, "lmtp") == 0;
    s->env = env;
    s->config = env->config;
    s->log = env->log;
    s->arena = arena_new(4096);
    TRY(settings_read(s, why));
    TRY(flags_read(s, why));
    TRY(own_addresses_read(s, why));
    TRY(open_tables(s, why));
    TRY(open_srs(s, why));
    if (str_trim(s->set.filters).n)
        TRY(filter_set_load(s->config->smtpd_filter_definitions.p, s->set.filters, &env->log,
                            s->arena, &s->filters, why));
    TRY(requiretls_open(s, &s->requiretls, why));
    TRY(protect_open(s, why));
    s->cleanup = post_pool(env);
    s->notify = notify_classes(env->config);
    TRY(auth_open(s, why));
    TRY(open_resolver(s, why));
    TRY(deliver_start(env, &s->deliver, why));
    s->pool =
        session_pool_new(s->set.connection_cache_time_limit, s->set.connection_reuse_time_limit,
                         s->set.connection_reuse_count_limit);
    *state = s;
    return RC_OK;
}

bool smtp_has_changed(struct service_env *env, void *state)
{
    struct smtp *s = state;
    struct str name;
    struct maps *const all[] = {
        s->generic_maps,       s->discard_maps,         s->pix_maps,        s->helo_name_maps,
        s->nexthop_maps,       s->reply_filter,         s->dns_filter.maps, s->header_checks,
        s->mime_header_checks, s->nested_header_checks, s->body_checks,
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (maps_have_changed(all[i])) {
            log_info(&env->log, "table of %s has changed -- restarting", env->service->name);
            return true;
        }
    name = STR("table");
    if (!auth_has_changed(s) && !protect_has_changed(s, &name))
        return false;
    log_info(&env->log, STR_FMT " of %s has changed -- restarting", STR_ARG(name),
             env->service->name);
    return true;
}

static void idle(void *context, bool end)
{
    struct smtp *s = context;
    bool last = end && atomic_fetch_sub(&s->serving, 1) == 1;

    /* nobody would look at resting connections after the last thread */
    session_pool_expire(s->pool, last || (end && service_is_draining(s->env)));
}

void smtp_serve(struct service_env *env, void *state, int fd)
{
    struct smtp *s = state;

    atomic_fetch_add(&s->serving, 1);
    deliver_serve(env, s->deliver, fd, smtp_deliver, idle, s);
}
