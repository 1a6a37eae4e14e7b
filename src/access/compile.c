/* Restriction lists to programs. */
#include "access/restrictions.h"
#include "config/config.h"

static const struct restriction restrictions[] = {
#define RESTRICTION(name, at, argument, function) {name, at, argument, function},
#include "access/restrictions.def"
#undef RESTRICTION
};

const struct restriction *restriction_find(struct str name)
{
    for (size_t i = 0; i < sizeof restrictions / sizeof *restrictions; i++)
        if (str_eq_nocase(name, str_of(restrictions[i].name)))
            return &restrictions[i];
    return NULL;
}

/* Names that old configurations may still have. */
static const struct {
    const char *name, *instead;
} removed[] = {
    {"reject_maps_rbl", "reject_rbl_client with each domain of maps_rbl_domains"},
    {"check_relay_domains", "permit_auth_destination and reject_unauth_destination"},
    {"permit_naked_ip_address", "permit_mynetworks or permit_sasl_authenticated"},
};

struct compiler {
    struct access *access;
    struct arena *arena;
    const char *parameter;
    enum access_list list;
    bool tables; /* may tables be named? */
    struct str rest;
    bool warn_only;
};

static const char *bare_table_rule(enum access_list list)
{
    switch (list) {
    case ACCESS_HELO: return "check_helo_access";
    case ACCESS_SENDER:
    case ACCESS_SENDER_FIRST: return "check_sender_access";
    case ACCESS_RELAY:
    case ACCESS_RECIPIENT_FIRST:
    case ACCESS_RECIPIENT: return "check_recipient_access";
    case ACCESS_ETRN: return "check_etrn_access";
    case ACCESS_LISTS: return "check_address_map";
    default: return "check_client_access";
    }
}

/* Does the configuration below this overlay have it open already? */
static bool borrow_table(const struct access *base, const struct restriction *r, struct step *s)
{
    for (size_t i = 0; base && r->argument == ARG_ADDRESSES && i < base->rule_maps.n; i++)
        if (str_eq(base->rule_maps.v[i].spec, s->argument)) {
            s->addresses = base->rule_maps.v[i].maps;
            return true;
        }
    for (size_t i = 0; base && r->argument == ARG_TABLE && i < base->tables.n; i++)
        if (str_eq(table_name(base->tables.v[i]), s->argument)) {
            s->table = base->tables.v[i];
            return true;
        }
    return false;
}

static enum rc compile_table(struct compiler *m, const struct restriction *r, struct step *s,
                             struct why *why)
{
    struct access *access = m->access;
    unsigned flags = access->config->smtputf8_enable ? TABLE_UTF8 : 0;

    if (!m->tables)
        return FAIL(why, RC_CONFIG,
                    "%s: \"" STR_FMT "\" needs a table, which the result of a table may not name; "
                    "define a class in smtpd_restriction_classes and name that",
                    m->parameter, STR_ARG(s->name));
    if (str_index(s->argument, ':') < 0)
        return FAIL(why, RC_CONFIG,
                    "%s: \"" STR_FMT "\" needs a table type:name behind it, not \"" STR_FMT "\"",
                    m->parameter, STR_ARG(s->name), STR_ARG(s->argument));
    if (borrow_table(access->base, r, s))
        return RC_OK;
    if (r->argument == ARG_ADDRESSES) {
        struct named_maps named = {arena_copy(m->arena, s->argument), NULL};
        TRY(maps_open(m->parameter, s->argument, flags, &access->env, &s->addresses, why));
        vec_add(access->arena, &access->maps, s->addresses);
        named.maps = s->addresses;
        vec_add(access->arena, &access->rule_maps, named);
        return RC_OK;
    }
    TRY(table_open(s->argument, flags, &access->env, &s->table, why));
    vec_add(access->arena, &access->tables, s->table);
    return RC_OK;
}

static enum rc compile_argument(struct compiler *m, const struct restriction *r, struct step *s,
                                struct why *why)
{
    if (r->argument != ARG_NONE && !str_token_braced(&m->rest, LIST_SEPARATORS, &s->argument))
        return FAIL(why, RC_CONFIG, "%s: \"" STR_FMT "\" needs an argument behind it", m->parameter,
                    STR_ARG(s->name));
    switch (r->argument) {
    case ARG_TABLE:
    case ARG_ADDRESSES: return compile_table(m, r, s, why);
    case ARG_CCERT:
        if (ccert_compile(s->argument, &s->argument, s->ccert_order, why) != RC_OK) {
            why_prefix(why, "%s: check_ccert_access", m->parameter);
            return RC_CONFIG;
        }
        return compile_table(m, r, s, why);
    case ARG_DOMAIN: return dns_list_compile(m->arena, s->argument, &s->dns_list, why);
    case ARG_RULES:
        if (m->tables)
            return check_rules_open(m->access, s->argument, &s->rules, why);
        return FAIL(why, RC_CONFIG, "%s: \"" STR_FMT "\" may not stand in the result of a table",
                    m->parameter, STR_ARG(s->name));
    case ARG_DISPATCH:
        if (m->tables)
            return match_rules_open(m->access, s->argument, &s->dispatch, why);
        return FAIL(why, RC_CONFIG, "%s: \"" STR_FMT "\" may not stand in the result of a table",
                    m->parameter, STR_ARG(s->name));
    case ARG_POLICY:
        if (m->tables)
            return policy_server_compile(m->access, s->argument, &s->policy, why);
        return FAIL(why, RC_CONFIG, "%s: \"" STR_FMT "\" may not stand in the result of a table",
                    m->parameter, STR_ARG(s->name));
    case ARG_NUMBER:
        if (!str_to_long(s->argument, 0, 1000, &s->number))
            return FAIL(why, RC_CONFIG,
                        "%s: \"" STR_FMT "\" needs a number of seconds, not \"" STR_FMT "\"",
                        m->parameter, STR_ARG(s->name), STR_ARG(s->argument));
        return RC_OK;
    default: return RC_OK;
    }
}

static void warn_about_place(const struct compiler *m, const struct restriction *r)
{
    unsigned here = m->list == ACCESS_LISTS ? AT_ANY : 1U << m->list;

    if (m->access->config->smtpd_delay_reject &&
        (here & (AT_CLIENT | AT_HELO | AT_SENDER | AT_SENDER_FIRST)))
        return;
    if ((r->at & here) == 0)
        log_warning(m->access->log, "%s: %s has no effect there; move it to a later list",
                    m->parameter, r->name);
}

static const struct program *class_find(const struct access *access, struct str name)
{
    for (size_t i = 0; i < access->n_classes; i++)
        if (str_eq_nocase(name, str_of(access->classes[i].parameter)))
            return &access->classes[i];
    return NULL;
}

static enum rc unknown_name(const struct compiler *m, struct str name, struct why *why)
{
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
        if (str_eq_nocase(name, str_of(removed[i].name)))
            return FAIL(why, RC_CONFIG, "%s: \"%s\" is no longer supported; use %s instead",
                        m->parameter, removed[i].name, removed[i].instead);
    return FAIL(why, RC_CONFIG,
                "%s: unknown restriction \"" STR_FMT "\"; correct the name, or list it in "
                "smtpd_restriction_classes",
                m->parameter, STR_ARG(name));
}

static enum rc compile_step(struct compiler *m, struct str name, struct step *s, struct why *why)
{
    const struct restriction *r = restriction_find(name);

    *s = (struct step){.name = name, .warn_only = m->warn_only};
    m->warn_only = false;
    s->program = r ? NULL : class_find(m->access, name);
    if (s->program) {
        s->run = run_class;
        return RC_OK;
    }
    if (r == NULL && str_index(name, ':') > 0) { /* a table alone */
        r = restriction_find(str_of(bare_table_rule(m->list)));
        s->run = r->run;
        s->argument = name;
        s->name = str_of(r->name);
        return compile_table(m, r, s, why);
    }
    if (r == NULL)
        return unknown_name(m, name, why);
    s->run = r->run;
    if (s->run == check_rbl_list && m->access->rbl_list == NULL)
        return FAIL(why, RC_CONFIG,
                    "%s: check_rbl_list needs smtpd_rbl_list = /path/name; set it in main.cf",
                    m->parameter);
    warn_about_place(m, r);
    return compile_argument(m, r, s, why);
}

/* File and line, when the list is a parameter that somebody has set. */
static void add_place(const struct compiler *m, struct why *why)
{
    struct str place = config_place(m->access->config, m->arena, str_of(m->parameter));

    if (place.n)
        why_prefix(why, STR_FMT, STR_ARG(place));
}

enum rc program_compile(struct access *access, struct arena *arena, const char *parameter,
                        struct str text, enum access_list list, bool tables,
                        const struct program **out, struct why *why)
{
    struct compiler m = {access, arena, parameter, list, tables, text, false};
    struct program *p = arena_new_of(arena, struct program);
    VEC(struct step) steps = {0};
    struct str name;

    while (str_token_braced(&m.rest, LIST_SEPARATORS, &name)) {
        struct step s;
        enum rc rc;
        if (str_eq_nocase(name, STR("warn_if_reject"))) {
            m.warn_only = true;
            continue;
        }
        rc = compile_step(&m, name, &s, why);
        if (rc != RC_OK) {
            add_place(&m, why);
            return rc;
        }
        vec_add(arena, &steps, s);
    }
    if (m.warn_only)
        return FAIL(why, RC_CONFIG, "%s: \"warn_if_reject\" needs a restriction behind it",
                    parameter);
    *p = (struct program){parameter, steps.v, steps.n};
    *out = p;
    return RC_OK;
}
