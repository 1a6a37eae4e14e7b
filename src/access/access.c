/* Making struct access from the configuration. */
#include "access/access.h"

#include <stddef.h>

#include "access/restrictions.h"
#include "auth/srs.h"
#include "config/config.h"
#include "dispatch/dispatch.h"

static const struct {
    enum access_list list;
    const char *parameter;
} list_names[] = {
    {ACCESS_CLIENT, "smtpd_client_restrictions"},
    {ACCESS_HELO, "smtpd_helo_restrictions"},
    {ACCESS_SENDER, "smtpd_sender_restrictions"},
    {ACCESS_RELAY, "smtpd_relay_restrictions"},
    {ACCESS_RECIPIENT, "smtpd_recipient_restrictions"},
    {ACCESS_DATA, "smtpd_data_restrictions"},
    {ACCESS_END_OF_DATA, "smtpd_end_of_data_restrictions"},
    {ACCESS_ETRN, "smtpd_etrn_restrictions"},
    {ACCESS_SENDER_FIRST, "smtpd_sender_first_restrictions"},
    {ACCESS_RECIPIENT_FIRST, "smtpd_recipient_first_restrictions"},
};

/*
 * Classes may name each other, so all have their place before the first is compiled.
 */
static enum rc compile_classes(struct access *access, struct why *why)
{
    struct str rest = access->config->smtpd_restriction_classes, name;
    VEC(struct program) classes = {0};

    while (str_token(&rest, LIST_SEPARATORS, &name)) {
        struct program p = {.parameter = arena_text(access->arena, name)};
        if (restriction_find(name))
            return FAIL(
                why, RC_CONFIG,
                "smtpd_restriction_classes: \"%s\" is the name of a restriction; choose another",
                p.parameter);
        vec_add(access->arena, &classes, p);
    }
    access->classes = classes.v;
    access->n_classes = classes.n;
    for (size_t i = 0; i < classes.n; i++) {
        const struct program *p = NULL;
        struct str text = STR_NONE;
        enum rc rc = config_get(access->config, str_of(classes.v[i].parameter), &text);
        if (rc != RC_OK)
            return FAIL(
                why, RC_CONFIG,
                "smtpd_restriction_classes names \"%s\", which is not defined; add %s = ... to main.cf",
                classes.v[i].parameter, classes.v[i].parameter);
        /* a class serves every list: what has no effect somewhere may have elsewhere */
        TRY(program_compile(access, access->arena, classes.v[i].parameter, text, ACCESS_RECIPIENT,
                            true, &p, why));
        classes.v[i].steps = p->steps;
        classes.v[i].n = p->n;
    }
    return RC_OK;
}

static struct str text_of(const struct config *config, const char *parameter)
{
    struct str text = STR_NONE;

    (void)(config_get(config, str_of(parameter), &text) == RC_OK);
    return text;
}

static bool stops_relaying(const struct access *access, const struct program *p, int depth)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct step *s = &p->steps[i];
        if (s->warn_only || depth > 100)
            continue;
        if (s->run == reject_unauth_destination || s->run == defer_unauth_destination ||
            (s->run == check_rules_file &&
             str_eq(access->config->check_rules_default_action, STR("deny"))) ||
            s->run == match_rules || s->run == run_reject || s->run == run_defer ||
            s->run == run_defer_if_permit)
            return true;
        if (s->run == run_class && stops_relaying(access, s->program, depth + 1))
            return true;
    }
    return false;
}

/* Do names in a list mean the same as in the base? */
static bool shares_classes(const struct access *access)
{
    for (size_t i = 0; access->base && i < access->n_classes; i++) {
        struct str name = str_of(access->classes[i].parameter), ours, theirs;
        if (config_get(access->config, name, &ours) != RC_OK ||
            config_get(access->base->config, name, &theirs) != RC_OK || !str_eq(ours, theirs))
            return false;
    }
    return access->base != NULL;
}

static enum rc compile_list(struct access *access, enum access_list list, const char *parameter,
                            struct why *why)
{
    struct str text = text_of(access->config, parameter);

    if (shares_classes(access) && str_eq(text, text_of(access->base->config, parameter))) {
        access->lists[list] = access->base->lists[list];
        return RC_OK;
    }
    return program_compile(access, access->arena, parameter, text, list, true, &access->lists[list],
                           why);
}

static enum rc compile_lists(struct access *access, struct why *why)
{
    for (size_t i = 0; i < sizeof list_names / sizeof *list_names; i++)
        TRY(compile_list(access, list_names[i].list, list_names[i].parameter, why));
    if (shares_classes(access) && str_eq(access->base->config->local_header_rewrite_clients,
                                         access->config->local_header_rewrite_clients))
        access->local_rewrite = access->base->local_rewrite;
    else
        TRY(program_compile(access, access->arena, "local_header_rewrite_clients",
                            access->config->local_header_rewrite_clients, ACCESS_LISTS, true,
                            &access->local_rewrite, why));
    if (!stops_relaying(access, access->lists[ACCESS_RELAY], 0) &&
        !stops_relaying(access, access->lists[ACCESS_RECIPIENT], 0))
        return FAIL(
            why, RC_CONFIG,
            "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least "
            "one working instance of: reject_unauth_destination, defer_unauth_destination, reject, "
            "defer, defer_if_permit or check_relay_domains");
    return RC_OK;
}

static const struct {
    const char *parameter;
    size_t at;
} all_maps[] = {
    {"recipient_canonical_maps", offsetof(struct access, recipient_canonical)},
    {"sender_canonical_maps", offsetof(struct access, sender_canonical)},
    {"canonical_maps", offsetof(struct access, canonical)},
    {"virtual_alias_maps", offsetof(struct access, virtual_alias)},
    {"virtual_mailbox_maps", offsetof(struct access, virtual_mailbox)},
    {"local_recipient_maps", offsetof(struct access, local_recipients)},
    {"relay_recipient_maps", offsetof(struct access, relay_recipients)},
    {"smtpd_sender_login_maps", offsetof(struct access, sender_logins)},
    {"smtpd_login_sender_maps", offsetof(struct access, login_senders)},
    {"relay_clientcerts", offsetof(struct access, relay_clientcerts)},
    {"smtpd_pop_before_smtp_maps", offsetof(struct access, pop_clients)},
    {"rbl_reply_maps", offsetof(struct access, rbl_replies)},
};

static enum rc open_tables(struct access *access, struct why *why)
{
    unsigned flags = access->config->smtputf8_enable ? TABLE_UTF8 : 0;

    for (size_t i = 0; i < sizeof all_maps / sizeof *all_maps; i++) {
        const char *parameter = all_maps[i].parameter;
        struct str spec = text_of(access->config, parameter);
        struct maps **maps = (struct maps **)((char *)access + all_maps[i].at);
        if (access->base && str_eq(spec, text_of(access->base->config, parameter))) {
            memcpy(maps, (const char *)access->base + all_maps[i].at, sizeof *maps);
            continue;
        }
        TRY(maps_open(parameter, spec, flags, &access->env, maps, why));
        vec_add(access->arena, &access->maps, *maps);
    }
    return RC_OK;
}

static enum rc open_networks(struct access *access, struct why *why)
{
    const struct config *config = access->config;
    struct table_env *env = &access->env;

    TRY(match_open("mynetworks", config->mynetworks, MATCH_CLIENT,
                   match_parents(config, "mynetworks"), env, &access->mynetworks, why));
    TRY(match_open("relay_domains", config->relay_domains, MATCH_DOMAIN,
                   match_parents(config, "relay_domains"), env, &access->relay_domains, why));
    TRY(match_open("permit_mx_backup_networks", config->permit_mx_backup_networks, MATCH_CLIENT,
                   match_parents(config, "permit_mx_backup_networks"), env,
                   &access->mx_backup_networks, why));
    if (config->smtpd_log_access_permit_actions.n)
        TRY(match_open("smtpd_log_access_permit_actions", config->smtpd_log_access_permit_actions,
                       MATCH_STRING, false, env, &access->permit_actions, why));
    return RC_OK;
}

enum rc access_open(const struct access_options *o, struct access **out, struct why *why)
{
    struct arena *arena = arena_new(8192);
    struct access *access = arena_new_of(arena, struct access);
    enum rc rc;

    access->arena = arena;
    access->config = o->config;
    access->base = o->base;
    access->log = o->log;
    access->env = (struct table_env){o->config, o->log};
    access->rewriter = o->rewriter;
    access->resolver = o->resolver;
    access->access_parents = match_parents(o->config, "smtpd_access_maps");
    rc = srs_open(o->config, &access->srs, why);
    if (rc == RC_OK || rc == RC_NONE)
        rc = open_networks(access, why);
    if (rc == RC_OK)
        rc = open_tables(access, why);
    if (rc == RC_OK)
        rc = sender_checks_open(access, why);
    if (rc == RC_OK)
        rc = compile_classes(access, why);
    if (rc == RC_OK)
        rc = compile_lists(access, why);
    if (rc == RC_OK)
        *out = access;
    else
        access_close(access);
    return rc;
}

struct access *access_unrestricted(const struct config *config, const struct log *log)
{
    struct arena *arena = arena_new(1024);
    struct access *access = arena_new_of(arena, struct access);

    access->arena = arena;
    access->is_unrestricted = true;
    access->config = config;
    access->log = log;
    return access;
}

void access_close(struct access *access)
{
    struct match_list *lists[] = {access->mynetworks, access->relay_domains,
                                  access->mx_backup_networks, access->permit_actions};

    srs_close(access->srs);
    for (size_t i = 0; i < access->tables.n; i++)
        table_close(access->tables.v[i]);
    for (size_t i = 0; i < access->maps.n; i++)
        maps_close(access->maps.v[i]);
    for (size_t i = 0; i < access->rules.n; i++)
        rules_file_close(access->rules.v[i]);
    for (size_t i = 0; i < access->dispatches.n; i++)
        dispatch_close(access->dispatches.v[i]);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (lists[i])
            match_close(lists[i]);
    arena_free(access->arena);
}

bool access_has_changed(const struct access *access, struct str *name)
{
    const struct {
        struct match_list *list;
        struct str name;
    } lists[] = {
        {access->mynetworks, STR("mynetworks")},
        {access->relay_domains, STR("relay_domains")},
        {access->mx_backup_networks, STR("permit_mx_backup_networks")},
    };

    for (size_t i = 0; i < access->dispatches.n; i++)
        if (dispatch_has_changed(access->dispatches.v[i])) {
            *name = STR("match_rules");
            return true;
        }
    for (size_t i = 0; i < access->tables.n; i++)
        if (table_has_changed(access->tables.v[i])) {
            *name = table_name(access->tables.v[i]);
            return true;
        }
    for (size_t i = 0; i < access->rules.n; i++)
        if (rules_file_has_changed(access->rules.v[i])) {
            *name = str_of(rules_file_path(access->rules.v[i]));
            return true;
        }
    *name = STR("of smtpd_rbl_list");
    if (access->base == NULL && rbl_list_has_changed(access->rbl_list))
        return true;
    *name = STR("of access rules");
    for (size_t i = 0; i < access->maps.n; i++)
        if (maps_have_changed(access->maps.v[i]))
            return true;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (match_has_changed(lists[i].list)) {
            *name = lists[i].name;
            return true;
        }
    return false;
}

const struct config *access_config(const struct access_context *c)
{
    return c->config ? c->config : c->access->config;
}

const struct program *access_program(const struct access *access, enum access_list list)
{
    return access->lists[list];
}
