/* main.cf and master.cf of the private instance. */
#include "obtuse-smtpd/obtuse-smtpd.h"
#include "util/buf.h"

enum { TEXT_MAX = 256 * 1024 };

static void set(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "%s = %s\n", name, value);
}

static void set_if(struct buf *b, const char *name, const char *value)
{
    if (value)
        set(b, name, value);
}

/* A line of main.cf cannot hold line ends, and "#" would not harm behind the first byte. */
static struct str one_line(struct arena *a, const char *text)
{
    char *copy = arena_text(a, str_of(text));

    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = '?';
    return str_of(copy);
}

/* "user" or "user:group" */
static struct str account(const struct obtuse *o)
{
    return o->group ? arena_printf(o->arena, "%s:%s", o->account.name, o->group)
                    : str_of(o->account.name);
}

static void add_directories(const struct obtuse *o, struct buf *b)
{
    const struct config *m = o->command->config;

    set(b, "queue_directory", o->home);
    buf_addf(b, "data_directory = %s/data\n", o->home);
    set(b, "daemon_directory", m->daemon_directory.p);
    set(b, "command_directory", m->command_directory.p);
    set(b, "meta_directory", m->meta_directory.p);
    set(b, "sendmail_path", m->sendmail_path.p);
    set(b, "mail_owner", o->account.name);
    set(b, "service_user", account(o).p);
    set(b, "setgid_group", m->setgid_group.p);
    set(b, "syslog_name", "obtuse");
    if (m->maillog_file.n) {
        set(b, "maillog_file", m->maillog_file.p);
        set(b, "maillog_file_prefixes", m->maillog_file_prefixes.p);
    }
    if (config_is_set(m, STR("import_environment")))
        set(b, "import_environment", m->import_environment.p);
    if (config_is_set(m, STR("inet_protocols")))
        set(b, "inet_protocols", m->inet_protocols.p);
    if (config_is_set(m, STR("mynetworks")))
        set(b, "mynetworks", m->mynetworks.p);
}

/* As the original is: no host or address is ours, the rules alone decide, and what they do not
 * mention is taken. */
static void add_original(const struct obtuse *o, struct buf *b)
{
    set(b, "mydestination", "");
    set(b, "alias_maps", "");
    set(b, "local_recipient_maps", "");
    buf_addf(b, "smtpd_relay_restrictions = check_rules_file %s, reject\n", o->rules);
    set(b, "check_rules_default_action", "allow");
    set(b, "check_rules_ident_timeout", "10s");
    set(b, "smtpd_reject_unlisted_recipient", "no");
    set(b, "smtpd_ehlo_disable", "yes");
    set(b, "disable_vrfy_command", "yes");
    set(b, "smtpd_client_connection_count_limit", "0");
}

/* There is no queue to flush, and none for notices. */
static void add_spool(const struct obtuse *o, struct buf *b)
{
    set(b, "smtpd_spool_directory", o->spool);
    set(b, "smtpd_etrn_restrictions", "reject");
    set(b, "notify_classes", "");
}

/* The queue of the mail system instead of spool files: smtpfwdd is its delivery agent. */
static void add_native(struct buf *b)
{
    set(b, "default_transport", "smtpfwdd");
    set(b, "local_transport", "smtpfwdd");
    set(b, "relay_transport", "smtpfwdd");
    set(b, "virtual_transport", "smtpfwdd");
}

struct str instance_main(const struct obtuse *o)
{
    AUTO_BUF b = {0};

    buf_init(&b, TEXT_MAX);
    buf_addf(&b, "# Made by obtuse-smtpd at each start, from:" STR_FMT "\n",
             STR_ARG(one_line(o->arena, o->arguments)));
    set(&b, "compatibility_level", "3.11");
    add_directories(o, &b);
    add_original(o, &b);
    set_if(&b, "myhostname", o->hostname);
    set_if(&b, "message_size_limit", o->size);
    if (o->size)
        set(&b, "mailbox_size_limit", "0");
    set_if(&b, "inet_interfaces", o->address);
    if (o->no_names)
        set(&b, "smtpd_peername_lookup", "no");
    if (o->paranoid)
        set(&b, "smtpd_paranoid", "yes");
    if (o->brief)
        set(&b, "smtpd_brief_log", "yes");
    if (o->legacy_spool)
        add_spool(o, &b);
    else
        add_native(&b);
    for (size_t i = 0; i < o->settings.n; i++)
        buf_addf(&b, STR_FMT " = " STR_FMT "\n", STR_ARG(o->settings.v[i].name),
                 STR_ARG(o->settings.v[i].value));
    return arena_copy(o->arena, buf_str(&b));
}

struct str instance_master(const struct obtuse *o)
{
    static const char common[] = "anvil unix - - n - 1 anvil\n"
                                 "postlog unix-dgram n - n - 1 postlogd\n";
    static const char queue[] = "pickup unix n - n 60 1 pickup\n"
                                "cleanup unix n - n - 0 cleanup\n"
                                "qmgr unix n - n 300 1 qmgr\n"
                                "rewrite unix - - n - - trivial-rewrite\n"
                                "bounce unix - - n - 0 bounce\n"
                                "defer unix - - n - 0 bounce\n"
                                "trace unix - - n - 0 bounce\n"
                                "verify unix - - n - 1 verify\n"
                                "flush unix n - n 1000? 0 flush\n"
                                "proxymap unix - - n - - proxymap\n"
                                "showq unix n - n - - showq\n"
                                "error unix - - n - - error\n"
                                "retry unix - - n - - error\n"
                                "discard unix - - n - - discard\n";
    const char *port = o->port ? o->port : "smtp";
    AUTO_BUF b = {0};

    buf_init(&b, TEXT_MAX);
    if (o->address && strchr(o->address, ':'))
        buf_addf(&b, "[%s]:%s", o->address, port);
    else if (o->address)
        buf_addf(&b, "%s:%s", o->address, port);
    else
        buf_addf(&b, "%s", port);
    buf_addf(&b, " inet n - y - - smtpd\n%s", common);
    if (!o->legacy_spool)
        buf_addf(&b, "%ssmtpfwdd unix - n n - 10 smtpfwdd user=" STR_FMT " command=%s\n", queue,
                 STR_ARG(account(o)), o->command->config->sendmail_path.p);
    return arena_copy(o->arena, buf_str(&b));
}
