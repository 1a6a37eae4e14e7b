/* What is done once per process, before privileges are dropped. */
#include <limits.h>
#include <unistd.h>

#include "config/master_cf.h"
#include "deliver/post.h"
#include "sasl/server.h"
#include "smtpd/filters.h"
#include "submit/spool_file.h"
#include "util/memory.h"

enum { DNS_CACHE_ENTRIES = 10000 };

/*
 * The cleanup and rewrite services work inside this process, so the -o overrides of their
 * master.cf entries count here. Without an entry: our own configuration.
 */
static enum rc config_of(const struct service_env *env, struct str service,
                         const struct config **out, struct why *why)
{
    const struct config_setting here = {STR("queue_directory"), STR("."), STR_NONE};
    struct config_request request = {.dir = NULL};
    struct master_reading how = {.config = env->config};
    AUTO_ARENA a = arena_new(16384);
    struct master_cf master = {0};
    struct config *first = NULL, *config = NULL;
    enum rc rc;

    rc = master_cf_load(NULL, &how, a, &master, why);
    if (rc == RC_OK)
        rc = config_for_service(&request, &master, service, &first, why);
    if (rc == RC_OK)
        rc = config_overlay(first, &here, 1, &config, why);
    if (rc == RC_OK)
        *out = config;
    if (rc != RC_NONE)
        return rc;
    *out = env->config;
    return RC_OK;
}

/* Settings that a client's safety rests on must not be ignored. */
static enum rc refuse_unbuilt(const struct smtpd *s, struct why *why)
{
    const struct config *c = s->config;
    const struct {
        bool set;
        const char *what, *remedy;
    } settings[] = {
        {c->smtpd_proxy_filter.n > 0, "smtpd_proxy_filter",
         "this version has no before-queue filter; use content_filter, or set it to nothing"},
        {c->smtpd_milters.n > 0 || c->smtpd_milter_maps.n > 0, "smtpd_milters",
         "this version has no milters; set it to nothing"},
    };

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (settings[i].set)
            return FAIL(why, RC_CONFIG, "%s (for service %s): %s", settings[i].what, s->env->name,
                        settings[i].remedy);
    return RC_OK;
}

static enum rc bare_lf_mode(struct str word, enum bare_lf *mode, struct why *why)
{
    static const struct {
        const char *word;
        enum bare_lf mode;
    } modes[] = {
        {"normalize", BARE_LF_NORMALIZE}, {"yes", BARE_LF_NORMALIZE}, {"note", BARE_LF_NOTE},
        {"reject", BARE_LF_REJECT},       {"no", BARE_LF_ALLOW},
    };

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (str_eq_nocase(word, str_of(modes[i].word))) {
            *mode = modes[i].mode;
            return RC_OK;
        }
    return FAIL(why, RC_CONFIG, "smtpd_forbid_bare_newline: bad value \"" STR_FMT "\"",
                STR_ARG(word));
}

/* Maps that are seldom set are NULL then: no look-up at all. */
static enum rc open_maps(struct smtpd *s, const char *parameter, struct str spec, struct maps **out,
                         struct why *why)
{
    struct table_env env = {s->config, &s->env->log};

    return str_trim(spec).n ? maps_open(parameter, spec, 0, &env, out, why) : RC_OK;
}

static enum rc open_clients(struct smtpd *s, const char *parameter, struct str spec,
                            struct match_list **out, struct why *why)
{
    struct table_env env = {s->config, &s->env->log};

    if (str_trim(spec).n == 0)
        return RC_OK;
    return match_open(parameter, spec, MATCH_CLIENT, match_parents(s->config, parameter), &env, out,
                      why);
}

static enum rc open_lists(struct smtpd *s, struct why *why)
{
    const struct config *c = s->config;
    struct table_env env = {c, &s->env->log};

    TRY(open_maps(s, "smtpd_hostname_maps", c->smtpd_hostname_maps, &s->hostnames, why));
    TRY(open_maps(s, "smtpd_command_filter", c->smtpd_command_filter, &s->command_filter, why));
    TRY(reply_style_open(&s->reply_style, c, &s->env->log, s->arena, NULL, NULL, why));
    TRY(open_maps(s, "smtpd_discard_ehlo_keyword_address_maps",
                  c->smtpd_discard_ehlo_keyword_address_maps, &s->ehlo_discards, why));
    TRY(match_open("smtpd_forbidden_commands", c->smtpd_forbidden_commands, MATCH_STRING, false,
                   &env, &s->forbidden_commands, why));
    TRY(open_clients(s, "smtpd_forbid_bare_newline_exclusions",
                     c->smtpd_forbid_bare_newline_exclusions, &s->bare_lf_exclusions, why));
    TRY(open_clients(s, "smtpd_client_event_limit_exceptions",
                     c->smtpd_client_event_limit_exceptions, &s->limit_exceptions, why));
    TRY(open_clients(s, "debug_peer_list", c->debug_peer_list, &s->debug_peers, why));
    TRY(open_clients(s, "smtpd_authorized_xclient_hosts", c->smtpd_authorized_xclient_hosts,
                     &s->xclient_hosts, why));
    TRY(open_clients(s, "smtpd_authorized_xforward_hosts", c->smtpd_authorized_xforward_hosts,
                     &s->xforward_hosts, why));
    return open_clients(s, "smtpd_authorized_verp_clients", c->smtpd_authorized_verp_clients,
                        &s->verp_clients, why);
}

static enum rc open_libraries(struct smtpd *s, struct why *why)
{
    const struct config *cleanup = NULL, *rewrite = NULL;
    const struct resolver_options dns = {
        .resolv_conf = s->config->dns_resolver_file.p,
        .cache_entries = DNS_CACHE_ENTRIES,
    };
    struct table_env tables = {s->config, &s->env->log};
    struct access_options options;

    TRY(config_of(s->env, s->config->cleanup_service_name, &cleanup, why));
    TRY(config_of(s->env, s->config->rewrite_service_name, &rewrite, why));
    TRY(rewriter_new(rewrite, &s->env->log, &s->rewriter, why));
    TRY(submit_open(cleanup, s->rewriter, &s->env->log, &s->submit, why));
    s->resolver = resolver_open(&dns);
    TRY(maps_open("smtpd_dns_reply_filter", s->config->smtpd_dns_reply_filter, 0, &tables,
                  &s->dns_filter.maps, why));
    s->dns_filter.log = &s->env->log;
    dns_filter_install(&s->dns_filter, s->resolver);
    options = (struct access_options){s->config, &s->env->log, s->rewriter, s->resolver, NULL};
    return access_open(&options, &s->access, why);
}

static enum rc open_signatures(struct smtpd *s, struct arena *a, struct why *why)
{
    struct str path = s->config->smtpd_content_signatures;

    s->signatures = NULL;
    if (path.n == 0)
        return RC_OK;
    if (signatures_read(path, &s->env->log, a, &s->signatures, why) == RC_OK)
        return RC_OK;
    why_prefix(why, "smtpd_content_signatures");
    return RC_CONFIG;
}

/* Spool files have no place for what these extensions say. */
static enum rc open_spool(struct smtpd *s, struct why *why)
{
    struct str path = s->config->smtpd_spool_directory;
    AUTO_ARENA a = arena_new(512);
    char here[PATH_MAX];

    while (path.n && path.p[0] == '/')
        path = str_from(path, 1);
    if (path.n == 0)
        return RC_OK;
    s->spool_directory = path.p;
    s->ehlo_discard |= EHLO_DSN | EHLO_SMTPUTF8 | EHLO_VERP | EHLO_REQUIRETLS | EHLO_SILENT;
    path = arena_printf(a, "%s/%s", getcwd(here, sizeof here) ? here : ".", s->spool_directory);
    return spool_directory_check(path.p, s->env->mail_uid, why);
}

enum rc smtpd_start(struct service_env *env, void **state, struct why *why)
{
    struct smtpd *s = NEW(struct smtpd);

    s->env = env;
    s->shared = NEW(struct smtpd_shared);
    s->config = env->config;
    s->pid = getpid();
    if (!env->on_stdin)
        TRY(refuse_unbuilt(s, why));
    TRY(bare_lf_mode(s->config->smtpd_forbid_bare_newline, &s->bare_lf, why));
    if (ehlo_keywords_parse(s->config->smtpd_discard_ehlo_keywords, &s->ehlo_discard, why) !=
        RC_OK) {
        why_prefix(why, "smtpd_discard_ehlo_keywords");
        return RC_CONFIG;
    }
    *state = s;
    s->arena = arena_new(1024);
    TRY(open_lists(s, why));
    TRY(filters_load(s, why));
    if (env->on_stdin) {
        s->access = access_unrestricted(s->config, &env->log);
        return RC_OK;
    }
    TRY(smtpd_open_tls(s, why));
    TRY(open_spool(s, why));
    TRY(open_libraries(s, why));
    TRY(auth_open(s, why));
    s->submit_flags = submit_flags_for(s->config, SUBMIT_FROM_SMTPD);
    s->anvil = service_pool_new(env, "private/anvil");
    s->cleanup = post_pool(env);
    s->notify = notify_classes(env->config);
    TRY(open_signatures(s, s->arena, why));
    return instructions_start(s, why);
}

/* ---- overlays ---- */

static enum rc own_maps(struct smtpd *s, const char *parameter, struct maps **maps, struct why *why)
{
    struct str ours, theirs;

    if (config_get(s->config, str_of(parameter), &ours) != RC_OK ||
        config_get(s->base->config, str_of(parameter), &theirs) != RC_OK || str_eq(ours, theirs))
        return RC_OK;
    *maps = NULL;
    return open_maps(s, parameter, ours, maps, why);
}

static bool differs(const struct smtpd *s, const char *const *parameters)
{
    struct str ours, theirs;

    for (; *parameters; parameters++)
        if (config_get(s->config, str_of(*parameters), &ours) == RC_OK &&
            config_get(s->base->config, str_of(*parameters), &theirs) == RC_OK &&
            !str_eq(ours, theirs))
            return true;
    return false;
}

/* A client with a certificate of its own is not served without one. */
static enum rc own_tls(struct smtpd *s, struct why *why)
{
    static const char *const parameters[] = {
        "smtpd_tls_ask_ccert",         "smtpd_tls_chain_files",         "smtpd_tls_ciphers",
        "smtpd_tls_mandatory_ciphers", "smtpd_tls_mandatory_protocols", "smtpd_tls_protocols",
        "smtpd_tls_req_ccert",         "smtpd_tls_security_level",      NULL};

    if (!differs(s, parameters))
        return RC_OK;
    s->tls = NULL;
    TRY(smtpd_open_tls(s, why));
    if (s->tls_level != LEVEL_NONE && s->tls == NULL)
        return FAIL(why, RC_CONFIG, "TLS cannot be had with these settings; see the warning above");
    return RC_OK;
}

static enum rc own_login(struct smtpd *s, struct why *why)
{
    static const char *const parameters[] = {"smtpd_sasl_auth_enable",
                                             "smtpd_sasl_security_options",
                                             "smtpd_sasl_tls_security_options", NULL};

    if (!differs(s, parameters))
        return RC_OK;
    s->login = NULL;
    s->sasl_filter = s->sasl_exceptions = NULL;
    return auth_open(s, why);
}

static enum rc open_overlay(struct smtpd *s, struct why *why)
{
    const struct config *c = s->config, *below = s->base->config;
    struct access_options options = {c, &s->env->log, s->rewriter, s->resolver, s->base->access};

    TRY(refuse_unbuilt(s, why));
    TRY(own_tls(s, why));
    TRY(own_login(s, why));
    TRY(bare_lf_mode(c->smtpd_forbid_bare_newline, &s->bare_lf, why));
    if (ehlo_keywords_parse(c->smtpd_discard_ehlo_keywords, &s->ehlo_discard, why) != RC_OK)
        return RC_CONFIG;
    s->submit_flags = submit_flags_for(c, SUBMIT_FROM_SMTPD);
    TRY(own_maps(s, "smtpd_command_filter", &s->command_filter, why));
    TRY(reply_style_open(&s->reply_style, c, &s->env->log, s->arena, &s->base->reply_style, below,
                         why));
    if (!str_eq(c->smtpd_authorized_verp_clients, below->smtpd_authorized_verp_clients)) {
        s->verp_clients = NULL;
        TRY(open_clients(s, "smtpd_authorized_verp_clients", c->smtpd_authorized_verp_clients,
                         &s->verp_clients, why));
    }
    if (!str_eq(c->smtpd_content_signatures, below->smtpd_content_signatures))
        TRY(open_signatures(s, s->arena, why));
    return access_open(&options, &s->access, why);
}

enum rc smtpd_overlay_make(void *base, const struct config *config, void **state, struct why *why)
{
    struct arena *a = arena_new(sizeof(struct smtpd) + 1024);
    struct smtpd *s = arena_new_of(a, struct smtpd);
    enum rc rc;

    *s = *(struct smtpd *)base;
    s->base = base;
    s->arena = a;
    s->config = config;
    s->access = NULL;
    rc = open_overlay(s, why);
    if (rc == RC_OK)
        *state = s;
    else
        smtpd_overlay_unmake(base, s);
    return rc;
}

void smtpd_overlay_unmake(void *context, void *state)
{
    const struct smtpd *base = context;
    struct smtpd *s = state;

    if (s->access)
        access_close(s->access);
    if (s->command_filter != base->command_filter)
        maps_close(s->command_filter);
    reply_style_close(&s->reply_style, &base->reply_style);
    if (s->verp_clients && s->verp_clients != base->verp_clients)
        match_close(s->verp_clients);
    if (s->sasl_filter && s->sasl_filter != base->sasl_filter)
        match_close(s->sasl_filter);
    if (s->sasl_exceptions && s->sasl_exceptions != base->sasl_exceptions)
        match_close(s->sasl_exceptions);
    if (s->login && s->login != base->login)
        login_server_close(s->login);
    if (s->tls && s->tls != base->tls)
        tls_context_free(s->tls);
    arena_free(s->arena);
}

static bool smtpd_overlay_has_changed(void *context, void *state)
{
    const struct smtpd *s = state;
    struct str *name = context;

    return access_has_changed(s->access, name);
}

bool smtpd_has_changed(struct service_env *env, void *state)
{
    struct smtpd *s = state;
    struct maps *maps[] = {s->command_filter, s->ehlo_discards, s->tls_loglevels,
                           s->dns_filter.maps, s->hostnames};
    struct str name = STR_NONE;

    if (rewriter_has_changed(s->rewriter))
        name = STR("of address rewriting");
    else if (submit_tables_have_changed(s->submit))
        name = STR("of cleanup");
    else if (auth_has_changed(s))
        name = STR("of SASL logins");
    else if (!access_has_changed(s->access, &name))
        name = STR_NONE;
    if (name.n == 0 &&
        (tls_context_has_changed(s->tls, &name) || tls_context_has_changed(s->tls_failed, &name))) {
        log_info(&env->log, "file " STR_FMT " has changed -- restarting", STR_ARG(name));
        return true;
    }
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (name.n == 0 && maps[i] && maps_have_changed(maps[i]))
            name = STR("of smtpd");
    if (name.n == 0 && reply_style_has_changed(&s->reply_style))
        name = STR("of smtpd");
    if (name.n == 0 && s->instructions && instructions_have_changed(s->instructions))
        name = STR("of smtpd_client_instruction_maps");
    if (name.n == 0 && s->overlays)
        (void)(overlays_any(s->overlays, smtpd_overlay_has_changed, &name) || (name = STR_NONE, 0));
    if (name.n)
        log_info(&env->log, "table " STR_FMT " has changed -- restarting", STR_ARG(name));
    return name.n > 0;
}
