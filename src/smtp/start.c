#include "smtp/pool.h"
#include "smtp/smtp.h"
#include "util/memory.h"

static bool has_option(struct str list, const char *word)
{
    struct str token;

    while (str_token(&list, LIST_SEPARATORS, &token))
        if (str_eq_nocase(token, str_of(word)))
            return true;
    return false;
}

static void open_resolver(struct smtp *s)
{
    struct resolver_options options = {
        .dnssec = s->dns == DNS_USE_DNSSEC,
        .default_domain = has_option(s->set.dns_resolver_options, "res_defnames"),
        .search = has_option(s->set.dns_resolver_options, "res_dnsrch"),
    };

    s->resolver = resolver_open(&options);
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
        {"smtp_dns_reply_filter", "lmtp_dns_reply_filter", s->set.dns_reply_filter, &s->dns_filter},
    };

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        TRY(maps_open(s->lmtp ? tables[i].lmtp : tables[i].smtp, tables[i].spec, 0, &env,
                      tables[i].to, why));
    return match_open(s->lmtp ? "lmtp_connection_cache_destinations"
                              : "smtp_connection_cache_destinations",
                      s->set.connection_cache_destinations, MATCH_DOMAIN, false, &env,
                      &s->pool_destinations, why);
}

enum rc smtp_start(struct service_env *env, void **state, struct why *why)
{
    struct smtp *s = NEW(struct smtp);

    s->lmtp = strcmp(env->service->name, "lmtp") == 0;
    s->config = env->config;
    s->log = env->log;
    s->arena = arena_new(4096);
    TRY(settings_read(s, why));
    TRY(own_addresses_read(s, why));
    TRY(open_tables(s, why));
    open_resolver(s);
    TRY(deliver_start(env, &s->deliver, why));
    s->pool =
        session_pool_new(s->set.connection_cache_time_limit, s->set.connection_reuse_time_limit,
                         s->set.connection_reuse_count_limit);
    *state = s;
    return RC_OK;
}

static void idle(void *context, bool end)
{
    struct smtp *s = context;

    (void)end; /* other threads may still want what is kept */
    session_pool_expire(s->pool);
}

void smtp_serve(struct service_env *env, void *state, int fd)
{
    struct smtp *s = state;

    deliver_serve(env, s->deliver, fd, smtp_deliver, idle, s);
}
