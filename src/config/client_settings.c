#include "config/client_settings.h"

#include "config/value.h"
#include "util/buf.h"

enum kind { ON, TEXT, GREETING, NUMBER, SECONDS, SENDER, RCPT, OTHER, NOTED, REFUSED };

struct variable {
    const char *name;
    enum kind kind;
    const char *parameter, *value;
};

static const struct variable variables[] = {
#define VARIABLE(name, kind, parameter, value) {name, kind, parameter, value},
#include "config/client_variables.def"
#undef VARIABLE
};

/* The order in which qmail-ldap looks at a sender. */
static const char *const sender_rules[] = {"reject_null_sender", "reject_malformed_sender",
                                           "check_rbl_list", "reject_unknown_sender_domain"};

static const struct str session_params[] = {
#define SESSION(name) STR_INIT(#name),
#include "config/session_params.def"
#undef SESSION
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

bool session_param_is(struct str name)
{
    for (size_t i = 0; i < COUNT(session_params); i++)
        if (str_eq(session_params[i], name))
            return true;
    return false;
}

static const struct variable *variable_find(struct str name)
{
    for (size_t i = 0; i < COUNT(variables); i++)
        if (str_eq(str_of(variables[i].name), name))
            return &variables[i];
    return NULL;
}

/* ---- checks ---- */

static bool is_upper_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!(name.p[i] >= 'A' && name.p[i] <= 'Z') && !is_digit(name.p[i]) && name.p[i] != '_')
            return false;
    return name.n > 0;
}

static enum rc check_parameter(struct str name, struct str value, struct why *why)
{
    int index = param_find(name);
    AUTO_ARENA a = arena_new(256);
    struct value v = {0};

    if (index < 0)
        return FAIL(why, RC_CONFIG,
                    "unknown parameter: " STR_FMT "; correct the name, or write a variable of "
                    "qmail in upper case",
                    STR_ARG(name));
    if (!session_param_is(name))
        return FAIL(why, RC_CONFIG,
                    "parameter not allowed for a single client: " STR_FMT "; set it in main.cf",
                    STR_ARG(name));
    if (str_index(value, '$') >= 0)
        return RC_OK; /* known when the overlay is made */
    if (value_parse(&params[index], value, a, &v, why) != RC_OK) {
        why_prefix(why, "bad value of " STR_FMT, STR_ARG(name));
        return RC_CONFIG;
    }
    return RC_OK;
}

static bool takes_number(const struct variable *v)
{
    return v->kind == NUMBER || v->kind == SECONDS || strcmp(v->name, "LOGLEVEL") == 0 ||
           strcmp(v->name, "MAXRCPTCOUNT") == 0;
}

/* Delays have a limit of their own, so that a slip of the pen holds no session for a day. */
static enum rc check_number(const struct variable *v, struct str value, struct why *why)
{
    int index = v->parameter ? param_find(str_of(v->parameter)) : -1;
    long max = index >= 0 ? params[index].max : INT_MAX, number;

    if (str_is_digits(value) && str_to_long(value, 0, max, &number))
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                "bad numerical value: %s: \"" STR_FMT "\"; write decimal digits, at most %ld",
                v->name, STR_ARG(value), max);
}

enum rc client_setting_check(struct str name, struct str value, struct why *why)
{
    const struct variable *v = variable_find(name);

    if (value.n > 1024)
        return FAIL(why, RC_CONFIG, "value of " STR_FMT " is longer than 1024 bytes",
                    STR_ARG(name));
    if (v == NULL && !is_upper_name(name))
        return check_parameter(name, value, why);
    if (v == NULL)
        return FAIL(why, RC_NONE, "variable " STR_FMT " is not known here; programs may know it",
                    STR_ARG(name));
    if (v->kind == REFUSED)
        return FAIL(why, RC_CONFIG, "%s may not be set: it tells who the client is; remove it",
                    v->name);
    return takes_number(v) ? check_number(v, value, why) : RC_OK;
}

/* ---- translation ---- */

struct translation {
    const struct config *base;
    struct arena *arena;
    VEC(struct config_setting) settings;
    bool sender_rule[COUNT(sender_rules)];
    struct str recipient_rules;
};

static void set(struct translation *t, const char *parameter, struct str value)
{
    struct config_setting s = {str_of(parameter), value, STR_NONE};

    for (size_t i = 0; i < t->settings.n; i++)
        if (str_eq(t->settings.v[i].name, s.name)) {
            t->settings.v[i].value = value;
            return;
        }
    vec_add(t->arena, &t->settings, s);
}

/* A value of qmail's is no main.cf text: it has no $names. */
static struct str literal(struct arena *a, struct str value)
{
    AUTO_BUF b = {0};

    if (str_index(value, '$') < 0)
        return value;
    buf_init(&b, 4096);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '$')
            buf_addc(&b, '$');
        buf_addc(&b, value.p[i]);
    }
    return arena_copy(a, buf_str(&b));
}

static struct str joined(struct translation *t, struct str first, struct str then)
{
    struct str comma = first.n && then.n ? STR(", ") : STR("");

    return arena_printf(t->arena, STR_FMT STR_FMT STR_FMT, STR_ARG(first), STR_ARG(comma),
                        STR_ARG(then));
}

/* Who has logged in may relay, also where main.cf does not say so. */
static void permit_authenticated(struct translation *t)
{
    const struct config *c = t->base;
    bool relay = c->smtpd_relay_restrictions.n > 0;
    struct str list = relay ? c->smtpd_relay_restrictions : c->smtpd_recipient_restrictions;

    if (str_find(list, STR("permit_sasl_authenticated")) < 0)
        set(t, relay ? "smtpd_relay_restrictions" : "smtpd_recipient_restrictions",
            joined(t, STR("permit_sasl_authenticated"), literal(t->arena, list)));
}

static void translate_other(struct translation *t, struct str name, struct str value)
{
    long number = 0;

    if (str_eq(name, STR("AUTHPREPEND"))) {
        set(t, "smtpd_sasl_received_prefix", literal(t->arena, value));
        set(t, "smtpd_sasl_authenticated_header", STR("yes"));
    } else if (str_eq(name, STR("LOGLEVEL"))) {
        (void)str_to_long(value, 0, INT_MAX, &number);
        set(t, "smtpd_session_log_level", arena_printf(t->arena, "%ld", number > 4 ? 4L : number));
    } else if (str_eq(name, STR("MAXRCPTCOUNT"))) {
        (void)str_to_long(value, 0, INT_MAX, &number);
        set(t, "smtpd_recipient_limit",
            arena_printf(t->arena, "%ld", number ? number : (long)INT_MAX));
        set(t, "smtpd_recipient_limit_reject_code", STR("553"));
    } else if (str_eq(name, STR("RELAYCLIENT"))) {
        set(t, "smtpd_relay_client", STR("yes"));
        set(t, "smtpd_relay_client_suffix", literal(t->arena, value));
    } else if (str_eq(name, STR("SENDERCHECK"))) {
        set(t, "smtpd_sender_check",
            str_eq_nocase(value, STR("LOOSE"))    ? STR("loose")
            : str_eq_nocase(value, STR("STRICT")) ? STR("strict")
                                                  : STR("yes"));
    } else { /* SMTPAUTH */
        set(t, "smtpd_sasl_auth_enable", STR("yes"));
        set(t, "smtpd_tls_auth_only",
            str_eq_nocase(value, STR("TLSREQUIRED")) ? STR("yes") : STR("no"));
        permit_authenticated(t);
    }
}

static void note_sender_rule(struct translation *t, const char *rule)
{
    for (size_t i = 0; i < COUNT(sender_rules); i++)
        if (strcmp(sender_rules[i], rule) == 0)
            t->sender_rule[i] = true;
    if (strcmp(rule, "reject_unknown_sender_domain") == 0) {
        set(t, "unknown_address_reject_code", STR("554"));
        set(t, "unknown_address_tempfail_action", STR("defer"));
    }
}

static void translate(struct translation *t, const struct config_setting *s)
{
    const struct variable *v = variable_find(s->name);

    if (v == NULL && session_param_is(s->name))
        set(t, arena_text(t->arena, s->name), s->value);
    if (v == NULL)
        return;
    switch (v->kind) {
    case ON: set(t, v->parameter, str_of(v->value)); break;
    case TEXT: set(t, v->parameter, literal(t->arena, s->value)); break;
    case GREETING:
        set(t, v->parameter, s->value.n ? literal(t->arena, s->value) : str_of(v->value));
        break;
    case NUMBER: set(t, v->parameter, s->value); break;
    case SECONDS:
        set(t, v->parameter, arena_printf(t->arena, STR_FMT "s", STR_ARG(s->value)));
        break;
    case SENDER: note_sender_rule(t, v->parameter); break;
    case RCPT: t->recipient_rules = str_of(v->parameter); break;
    case OTHER: translate_other(t, s->name, s->value); break;
    case NOTED:
    case REFUSED: break;
    }
}

/* What main.cf has comes first: exceptions such as goodmailfrom stand there. */
static void add_rules(struct translation *t)
{
    struct str list = STR("");

    for (size_t i = 0; i < COUNT(sender_rules); i++)
        if (t->sender_rule[i])
            list = joined(t, list, str_of(sender_rules[i]));
    if (list.n)
        set(t, "smtpd_sender_first_restrictions",
            joined(t, literal(t->arena, t->base->smtpd_sender_first_restrictions), list));
    if (t->recipient_rules.n)
        set(t, "smtpd_recipient_first_restrictions",
            joined(t, literal(t->arena, t->base->smtpd_recipient_first_restrictions),
                   t->recipient_rules));
}

enum rc client_settings_translate(const struct config *base, const struct config_setting *given,
                                  size_t n, struct arena *a, struct config_setting **settings,
                                  size_t *n_settings, struct why *why)
{
    struct translation t = {.base = base, .arena = a};

    for (size_t i = 0; i < n; i++) {
        if (client_setting_check(given[i].name, given[i].value, why) == RC_CONFIG)
            return RC_CONFIG;
        translate(&t, &given[i]);
    }
    add_rules(&t);
    *settings = t.settings.v;
    *n_settings = t.settings.n;
    return RC_OK;
}
