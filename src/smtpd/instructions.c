#include "smtpd/instructions.h"

#include "access/ident.h"
#include "access/open_relay.h"
#include "config/snapshot.h"
#include "smtpd/runner.h"
#include "smtpd/smtpd.h"
#include "table/ipsvd.h"
#include "util/clock.h"
#include "util/networks.h"

/* ---- start ---- */

enum { TRIED_MAX = 100000 }; /* different sets of settings that are tried at start */

struct trial {
    struct smtpd *smtpd;
    struct map tried;        /* sets of settings */
    struct networks relayed; /* by rules about networks */
};

/* Rules about parts of the address space that are all of it together. */
static enum rc refuse_rules_for_all(struct trial *t, const struct instruction *rule,
                                    struct why *why)
{
    AUTO_ARENA a = arena_new(256);
    struct network n;

    if (!instruction_relays(rule) || !client_rule_network(rule->rule, &n) ||
        !networks_cover_all(&t->relayed, n))
        return RC_OK;
    return open_relay_refuse(
        arena_printf(a, "the rules up to \"" STR_FMT "\" permit relaying to everybody",
                     STR_ARG(rule->rule)),
        rule->file.n ? rule->file : rule->table, rule->line, "name your own networks", why);
}

/* Was this set of settings tried before? */
static bool is_known(struct trial *t, const struct instruction *rule)
{
    AUTO_BUF key = {0};

    buf_init(&key, 1 << 20);
    for (size_t i = 0; i < rule->n_settings; i++)
        buf_addf(&key, STR_FMT "=" STR_FMT "%c", STR_ARG(rule->settings[i].name),
                 STR_ARG(rule->settings[i].value), '\0');
    if (map_get(&t->tried, buf_str(&key)))
        return true;
    map_put(&t->tried, buf_str(&key), t);
    return false;
}

static enum rc try_rule(void *context, const struct instruction *rule, struct why *why)
{
    struct trial *t = context;
    const struct overlay *overlay = NULL;
    enum rc rc;

    TRY(instruction_check(rule, why));
    TRY(refuse_rules_for_all(t, rule, why));
    if (rule->n_settings == 0 || t->tried.n >= TRIED_MAX || is_known(t, rule))
        return RC_OK;
    rc = overlay_take(t->smtpd->overlays, t->smtpd->config, rule->settings, rule->n_settings,
                      &overlay, why);
    if (rc == RC_OK && instruction_is_for_everybody(rule))
        rc = open_relay_check(overlay->config, why);
    overlay_give(t->smtpd->overlays, overlay);
    if (rc != RC_OK)
        instruction_blame(rule, why);
    return rc == RC_OK ? RC_OK : RC_CONFIG;
}

/* Under master they were good when it looked; sessions look again at the rule they have. */
static enum rc try_rules(struct smtpd *s, struct why *why)
{
    struct trial t = {.smtpd = s};
    enum rc rc = RC_NONE;

    if (s->env->checking || !snapshot_is_there())
        rc = instructions_each(s->instructions, try_rule, &t, why);
    map_done(&t.tried);
    networks_done(&t.relayed);
    if (rc == RC_OK || rc == RC_NONE)
        return RC_OK;
    why_prefix(why, "smtpd_client_instruction_maps");
    return rc;
}

/* tcpsvd -t is not there: said when the configuration is checked. */
static void warn_of_expiry(const struct smtpd *s)
{
    struct str rest = s->config->smtpd_client_instruction_maps, word;
    AUTO_ARENA a = arena_new(256);

    while (s->env->checking && str_token_braced(&rest, LIST_SEPARATORS, &word)) {
        const char *directory = arena_text(a, str_from(word, strlen("ipsvd:")));
        long line = str_has_prefix(word, STR("ipsvd:")) ? ipsvd_expiry_line(directory) : 0;
        if (line)
            log_warning(
                &s->env->log,
                "%s/../run, line %ld: tcpsvd -t is not supported: files of %s do not expire; "
                "remove old ones yourself",
                directory, line, directory);
    }
}

enum rc instructions_start(struct smtpd *s, struct why *why)
{
    const struct config *c = s->config;
    struct table_env env = {c, &s->env->log};
    struct overlays_user user = {smtpd_overlay_make, smtpd_overlay_unmake, s};

    TRY(open_relay_check(c, why));
    if (c->smtpd_client_instruction_maps.n) {
        TRY(instructions_open(c->smtpd_client_instruction_maps, &env, s->resolver, &s->instructions,
                              why));
        s->overlays = overlays_new(&user, (size_t)c->smtpd_instruction_cache_limit);
        TRY(try_rules(s, why));
        warn_of_expiry(s);
        if (instructions_want_user(s->instructions) && c->check_rules_ident_timeout == 0)
            log_warning(&s->env->log,
                        "smtpd_client_instruction_maps: rules look at the user of the client host, "
                        "and check_rules_ident_timeout is 0: they never match; set it to 10s");
    }
    return s->instructions || c->smtpd_queue_program.n ? runner_start(s->env, &s->runner, why)
                                                       : RC_OK;
}

/* ---- session ---- */

static void use(struct session *s, struct smtpd *smtpd, const struct config *config)
{
    s->smtpd = smtpd;
    s->config = config;
    s->access.access = smtpd->access;
    s->access.config = config;
    s->wire.stream.timeout_ms = config->smtpd_timeout * 1000;
    switch (config->smtpd_session_log_level) {
    case 0: s->log.hush = LOG_HUSH_ALL; break;
    case 1: s->log.hush = LOG_HUSH_INFO; break;
    case 2: s->log.hush = LOG_HUSH_WARNINGS; break;
    default: s->log.hush = LOG_HUSH_NOTHING; break;
    }
    if (config->smtpd_session_log_level == 4 && s->log.verbose == 0)
        s->log.verbose = 1;
    s->message_log.hush = s->log.hush;
    s->message_log.verbose = s->log.verbose;
}

/* The overlay goes back at the end of the session when TLS uses its certificate. */
static void forget_rule(struct session *s)
{
    struct session_rule old = s->rule;

    if (old.overlay && s->tls)
        vec_add(s->arena, &old.kept, old.overlay);
    else
        overlay_give(s->process->overlays, old.overlay);
    s->rule = (struct session_rule){.gate = GATE_OPEN};
    s->rule.kept.v = old.kept.v;
    s->rule.kept.n = old.kept.n;
    s->rule.kept.cap = old.kept.cap;
    s->access.instruction = STR_NONE;
    use(s, s->process, s->process_config);
}

void instructions_release(struct session *s)
{
    overlay_give(s->process->overlays, s->rule.overlay);
    for (size_t i = 0; i < s->rule.kept.n; i++)
        overlay_give(s->process->overlays, s->rule.kept.v[i]);
    s->rule = (struct session_rule){.gate = GATE_OPEN};
}

/* Each kind of trouble once a minute is enough for the log, and for the postmaster. */
static void log_trouble(struct session *s)
{
    struct smtpd_shared *shared = s->process->shared;
    unsigned long hash = str_hash(str_of(s->why.text)) | 1;
    struct smtpd_trouble *t = &shared->trouble[hash / 2 % TROUBLES];
    long now = (long)clock_seconds();

    if (atomic_load(&t->hash) == hash && now - atomic_load(&t->second) < 60) {
        s->rule.is_told = true;
        return;
    }
    atomic_store(&t->hash, hash);
    atomic_store(&t->second, now);
    log_warning(&s->log,
                "smtpd_client_instruction_maps: %s; client " STR_FMT " is told to come "
                "again",
                s->why.text, STR_ARG(s->access.client.label));
}

/* The settings of the rule, on top of this session's own name. */
static enum rc take_overlay(struct session *s, const struct instruction *i)
{
    struct config_setting name[OWN_NAME_SETTINGS];
    VEC(struct config_setting) all = {0};
    size_t n = peer_own_name(s, name);

    if (n == 0)
        return overlay_take(s->process->overlays, s->base_config, i->settings, i->n_settings,
                            &s->rule.overlay, &s->why);
    for (size_t k = 0; k < n; k++)
        vec_add(s->arena, &all, name[k]);
    for (size_t k = 0; k < i->n_settings; k++)
        vec_add(s->arena, &all, i->settings[k]);
    return overlay_take(s->process->overlays, s->base_config, all.v, all.n, &s->rule.overlay,
                        &s->why);
}

static void take_settings(struct session *s)
{
    struct instruction *i = &s->rule.instruction;

    s->rule.gate = i->decision == CLIENT_DENY  ? GATE_DENY
                   : i->decision == CLIENT_RUN ? GATE_RUN
                                               : GATE_OPEN;
    if (i->n_settings == 0 || s->rule.gate != GATE_OPEN)
        return;
    if (instruction_check(i, &s->why) != RC_OK || take_overlay(s, i) != RC_OK) {
        s->rule.overlay = NULL;
        s->rule.gate = GATE_UNAVAILABLE;
        log_trouble(s);
        return;
    }
    use(s, s->rule.overlay->state, s->rule.overlay->config);
    s->access.instruction =
        arena_printf(s->arena, STR_FMT ":" STR_FMT, STR_ARG(i->table), STR_ARG(i->rule));
}

void instructions_apply(struct session *s)
{
    struct instructions *instructions = s->process->instructions;
    struct instruction_client client = {.address = s->access.client.address};

    forget_rule(s);
    if (instructions == NULL || s->on_stdin)
        return;
    if (s->access.client.name_status == PEER_OK && !str_eq(s->access.client.name, STR("unknown")))
        client.name = s->access.client.name;
    if (instructions_want_user(instructions))
        client.user = ident_user(&s->access);
    switch (instructions_find(instructions, &client, s->arena, &s->rule.instruction, &s->why)) {
    case RC_OK: take_settings(s); break;
    case RC_NONE: break;
    default: s->rule.gate = GATE_UNAVAILABLE; log_trouble(s);
    }
}

bool instructions_admit(struct session *s)
{
    struct str text = s->rule.instruction.text;

    switch (s->rule.gate) {
    case GATE_OPEN: return true;
    case GATE_UNAVAILABLE:
        session_replyf(s, "421 4.3.0 " STR_FMT " Error: service unavailable",
                       STR_ARG(s->config->myhostname));
        if (s->rule.is_told)
            s->noticed = 0;
        break;
    case GATE_RUN: runner_session(s, text); break;
    case GATE_DENY:
        log_info(&s->log,
                 "NOQUEUE: reject: CONNECT from " STR_FMT ": denied; instruction=" STR_FMT
                 ":" STR_FMT,
                 STR_ARG(s->access.client.label), STR_ARG(s->rule.instruction.table),
                 STR_ARG(s->rule.instruction.rule));
        if (text.n)
            session_replyf(s, "554 5.7.1 " STR_FMT, STR_ARG(text));
    }
    session_end(s, NULL);
    return false;
}

bool instructions_decide_variable(const struct session *s, struct str name)
{
    const struct instruction *i = &s->rule.instruction;

    for (size_t k = 0; k < i->n_variables; k++)
        if (str_eq(i->variables[k].name, name))
            return true;
    for (size_t k = 0; k < i->n_unset; k++)
        if (str_eq(i->unset[k], name))
            return true;
    return false;
}
