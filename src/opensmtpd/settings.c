/* main.cf, the part that concerns the suite as a whole, and the services of master.cf that are
 * always there. */
#include <stdio.h>
#include <stdlib.h>

#include "opensmtpd/generate.h"
#include "util/file.h"

/* What the installation decides, not smtpd.conf. */
static const char *const inherited[] = {
    "compatibility_level",
    "queue_directory",
    "command_directory",
    "daemon_directory",
    "data_directory",
    "mail_owner",
    "setgid_group",
    "meta_directory",
    "shlib_directory",
    "sendmail_path",
    "newaliases_path",
    "mailq_path",
    "maillog_file",
    "maillog_file_prefixes",
    "maillog_file_permissions",
    "syslog_name",
    "syslog_facility",
    "import_environment",
    "default_database_type",
    "inet_protocols",
    "smtp_dns_support_level",
    "smtp_host_lookup",
    "dns_resolver_file",
    "service_sandbox",
    "service_process_sessions",
    "default_privs",
    "cyrus_sasl_config_path",
    "mail_spool_directory",
    "in_flow_delay",
    "minimal_backoff_time",
    "maximal_backoff_time",
    "queue_run_delay",
    "smtpctl_socket",
    "submit_socket_directory",
    "authorized_submit_users",
};

void generate_base(struct generator *g)
{
    buf_add(g->main_cf, STR("\n# of the installation\n"));
    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) {
        struct str name = str_of(inherited[i]), value;
        if (config_is_set(g->base, name) && config_get(g->base, name, &value) == RC_OK)
            buf_addf(g->main_cf, "%s = " STR_FMT "\n", inherited[i], STR_ARG(literal(g, value)));
    }
    if (!config_is_set(g->base, STR("smtp_host_lookup"))) /* /etc/hosts counts */
        buf_add(g->main_cf, STR("smtp_host_lookup = dns, native\n"));
    buf_add(g->main_cf,
            STR("\n# addresses are left as they are\n"
                "alias_maps =\nalias_database =\nlocal_recipient_maps =\n"
                "virtual_alias_maps =\nrelay_domains =\n"
                "smtpd_reject_unlisted_recipient = no\nallow_percent_hack = no\n"
                "swap_bangpath = no\nbiff = no\nmailbox_size_limit = 0\nvirtual_mailbox_limit = 0\n"
                "append_dot_mydomain = no\nstrict_mailbox_ownership = no\n"));
}

static void names(struct generator *g)
{
    const struct conf_place *place = &g->hostname_place;

    set(g, place, "myhostname", STR_FMT, STR_ARG(literal(g, g->hostname)));
    set(g, NULL, "myorigin", "$myhostname");
    set(g, NULL, "mydestination", "$myhostname, localhost");
}

static void times(struct generator *g)
{
    const struct conf *c = g->conf;
    long ttl = c->ttl.place.line ? c->ttl.value : 4 * 86400, longest = ttl;
    AUTO_BUF b;

    for (size_t i = 0; i < c->actions.n; i++)
        if (c->actions.v[i]->ttl > longest)
            longest = c->actions.v[i]->ttl;
    set(g, &c->ttl.place, "maximal_queue_lifetime", "%lds", longest);
    set(g, &c->ttl.place, "bounce_queue_lifetime", "%lds", ttl);
    if (c->queue_interval.place.line || c->grammar == GRAMMAR_2011)
        set(g, &c->queue_interval.place, "queue_run_delay", "%lds",
            c->queue_interval.place.line ? c->queue_interval.value : 900);
    buf_init(&b, 200);
    for (size_t i = 0; i < c->n_warn_intervals; i++)
        buf_addf(&b, "%s%lds", i ? ", " : "", c->warn_intervals[i]);
    set(g, &c->warn_place, "delay_warning_times", "%s", c->n_warn_intervals ? buf_text(&b) : "4h");
}

static void number_or(struct generator *g, const struct conf_number *n, const char *name,
                      long fallback)
{
    set(g, &n->place, name, "%ld", n->place.line ? n->value : fallback);
}

static void sizes(struct generator *g)
{
    const struct conf *c = g->conf;
    const struct conf_text *d = &c->sub_addr_delim;

    number_or(g, &c->max_message_size, "message_size_limit", 35 * 1024 * 1024);
    if (c->grammar != GRAMMAR_2011) {
        number_or(g, &c->max_deferred, "default_destination_deferred_limit", 100);
        number_or(g, &c->max_rcpt, "smtpd_recipient_limit", 1000);
        number_or(g, &c->max_mails, "smtpd_mail_count_limit", 100);
    }
    set(g, &d->place, "recipient_delimiter", STR_FMT,
        STR_ARG(d->place.line ? literal(g, d->value) : STR("+")));
}

static void srs(struct generator *g)
{
    const struct conf *c = g->conf;
    struct buf *secrets;

    if (c->srs_key.value.n == 0)
        return;
    secrets = g->main_cf;
    buf_addf(secrets, "# " STR_FMT "\nsrs_secrets = " STR_FMT " " STR_FMT "\n",
             STR_ARG(generate_place(g, &c->srs_key.place)), STR_ARG(literal(g, c->srs_key.value)),
             STR_ARG(literal(g, c->srs_backup.value)));
    g->files.v[0]->is_secret = true;
    if (c->srs_ttl.place.line)
        set(g, &c->srs_ttl.place, "srs_lifetime", "%lds", c->srs_ttl.value);
}

static void admd(struct generator *g)
{
    const struct conf *c = g->conf;

    if (c->admd.place.line)
        set(g, &c->admd.place, "filter_admd", STR_FMT, STR_ARG(literal(g, c->admd.value)));
}

/* A reload may be asked for from anywhere. */
static const char *real_path(struct generator *g, const char *path)
{
    char *absolute = realpath(path, NULL);
    const char *copy = absolute ? arena_text(g->arena, str_of(absolute)) : path;

    free(absolute);
    return copy;
}

/* -P and -T */
static void command_line(struct generator *g)
{
    const struct options *o = g->options;
    AUTO_BUF b;

    buf_init(&b, 1000);
    for (size_t i = 0; i < o->paused.n; i++)
        buf_addf(&b, "%s" STR_FMT, i ? " " : "", STR_ARG(o->paused.v[i]));
    if (b.n)
        set(g, NULL, "smtpctl_paused", "%s", buf_text(&b));
    buf_reset(&b);
    for (size_t i = 0; i < o->traced.n; i++)
        buf_addf(&b, "%s" STR_FMT, i ? " " : "", STR_ARG(o->traced.v[i]));
    if (b.n && (o->debug || o->verbose))
        set(g, NULL, "trace_subsystems", "%s", buf_text(&b));
    if (o->command.n)
        buf_addf(g->main_cf,
                 "# so that a reload takes over a changed file\nconfiguration_generator = " STR_FMT
                 " {-f} {%s} {-o} {base=%s}\n",
                 STR_ARG(literal(g, o->command)), real_path(g, o->file),
                 o->base ? o->base : config_default_dir());
    if (g->conf->grammar == GRAMMAR_2011)
        set(g, NULL, "smtpctl_dialect", "2011");
    if (o->debug)
        buf_add(g->main_cf, STR("# option -d\nmaillog_file = /dev/stdout\n"));
}

static void tls(struct generator *g)
{
    const struct conf *c = g->conf;

    if (c->ciphers.place.line == 0)
        return;
    set(g, &c->ciphers.place, "tls_high_cipherlist", STR_FMT,
        STR_ARG(literal(g, c->ciphers.value)));
    set(g, &c->ciphers.place, "smtpd_tls_ciphers", "high");
    set(g, &c->ciphers.place, "smtpd_tls_mandatory_ciphers", "high");
}

void generate_settings(struct generator *g)
{
    buf_add(g->main_cf, STR("\n"));
    names(g);
    times(g);
    sizes(g);
    srs(g);
    tls(g);
    if (g->conf->compression.place.line)
        set(g, &g->conf->compression.place, "queue_compression", "yes");
    generate_queue_key(g);
    generate_limits(g);
    admd(g);
    command_line(g);
    set(g, NULL, "recipient_action_maps", "texthash:" STR_FMT "/actions", STR_ARG(g->dir));
    set(g, NULL, "non_smtpd_match_rules", STR_FMT "/match_rules", STR_ARG(g->dir));
    set(g, NULL, "smtpd_relay_restrictions", "match_rules " STR_FMT "/match_rules",
        STR_ARG(g->dir));
    set(g, NULL, "smtpd_filter_definitions", STR_FMT "/smtpd_filters", STR_ARG(g->dir));
}

void generate_services(struct generator *g)
{
    const char *v = g->options->verbose ? " -v" : "";
    static const struct {
        const char *line;
        bool verbose;
    } services[] = {
        {"pickup unix n - n 60 1 pickup", true},
        {"cleanup unix n - n - 0 cleanup", true},
        {"qmgr unix n - n 300 1 qmgr", true},
        {"tlsmgr unix - - n 1000? 1 tlsmgr", false},
        {"rewrite unix - - n - - trivial-rewrite", false},
        {"bounce unix - - n - 0 bounce", true},
        {"defer unix - - n - 0 bounce", true},
        {"trace unix - - n - 0 bounce", true},
        {"verify unix - - n - 1 verify", false},
        {"flush unix n - n 1000? 0 flush", false},
        {"proxymap unix - - n - - proxymap", false},
        {"proxywrite unix - - n - 1 proxymap", false},
        {"smtp unix - - n - - smtp", true},
        {"relay unix - - n - - smtp", true},
        {"showq unix n - n - - showq", false},
        {"smtpctl unix n - n - 1 control", false},
        {"error unix - - n - - error", false},
        {"retry unix - - n - - error", false},
        {"discard unix - - n - - discard", false},
        {"local unix - n n - - local", true},
        {"virtual unix - n n - - virtual", false},
        {"lmtp unix - - n - - lmtp", true},
        {"anvil unix - - n - 1 anvil", false},
        {"scache unix - - n - 1 scache", false},
        {"postlog unix-dgram n - n - 1 postlogd", false},
    };

    for (size_t i = 0; i < sizeof services / sizeof *services; i++)
        buf_addf(g->master_cf, "%s%s\n", services[i].line, services[i].verbose ? v : "");
}
