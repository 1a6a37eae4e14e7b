/* control/ of qmail, netqmail, notqmail and qmail-ldap. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/restrictions.h"
#include "postern-import/import.h"
#include "util/file.h"
#include "util/net.h"

enum { CONTROL_MAX = 16 * 1024 * 1024 };

struct control {
    struct import *import;
    const char *name;
    const char *path;
    struct str text;
    long line; /* of the line at hand */
};

/* ---- lines ---- */

/* Next line that is not empty and no comment, without blanks at its end. */
static bool next_line(struct control *c, struct str *line)
{
    while (c->text.n) {
        *line = str_rtrim(str_cut(&c->text, '\n'));
        c->line++;
        if (line->n && line->p[0] != '#')
            return true;
    }
    return false;
}

static void note(const struct control *c, struct str line, const char *words)
{
    import_note(c->import, "%s:%ld: \"" STR_FMT "\": %s", c->path, c->line, STR_ARG(line), words);
}

/* ---- one file, one function ---- */

static void set_first(struct control *c, const char *parameter)
{
    struct str line;

    if (next_line(c, &line))
        import_set(c->import, parameter, line);
}

static bool take_digits(struct control *c, struct str *line)
{
    long number;

    *line = STR("");
    if (next_line(c, line) && str_is_digits(*line) && str_to_long(*line, 0, INT_MAX, &number))
        return true;
    note(c, *line, "no number; the default stays");
    return false;
}

/* Domains and addresses have no blanks; one with a blank would spoil the table. */
static bool next_word(struct control *c, struct str *line)
{
    while (next_line(c, line)) {
        *line = str_ltrim(*line);
        if (str_index_any(*line, " \t,") < 0)
            return true;
        note(c, *line, "has a blank or a comma; left out");
    }
    return false;
}

static void set_seconds(struct control *c, const char *parameter)
{
    struct str line;

    if (take_digits(c, &line))
        import_set(c->import, parameter,
                   arena_printf(c->import->arena, STR_FMT "s", STR_ARG(line)));
}

static void take_number(struct control *c, const char *parameter)
{
    struct str line;

    if (take_digits(c, &line))
        import_set(c->import, parameter, line);
}

static void take_locals(struct control *c, const char *parameter)
{
    struct str line;

    while (next_word(c, &line))
        import_add(c->import, parameter, arena_text(c->import->arena, line));
}

static bool is_in(struct import *i, const char *parameter, struct str name)
{
    for (size_t k = 0; k < i->settings.n; k++) {
        struct str rest = i->settings.v[k].value, word;
        if (str_eq(i->settings.v[k].name, str_of(parameter)))
            while (str_token(&rest, ", ", &word))
                if (str_eq_nocase(word, name))
                    return true;
    }
    return false;
}

static bool is_virtual(const struct import *i, struct str name);

/* ".x.test" takes what is below; a name in relay_domains does so by
 * parent_domain_matches_subdomains. */
static void take_rcpthosts(struct control *c, const char *parameter)
{
    struct import_table *t = import_table(c->import, "relay_domains", NULL);
    struct str line;

    while (next_word(c, &line)) {
        struct str name = line.p[0] == '.' ? str_from(line, 1) : line;
        if (is_in(c->import, "mydestination", name) || is_virtual(c->import, line))
            continue;
        if (line.p[0] == '.')
            note(c, line, "the name without the dot is a relay domain as well");
        buf_addf(&t->text, STR_FMT "\n", STR_ARG(name));
    }
    import_set(c->import, parameter, str_of(import_table_name(c->import, t)));
}

/* For a name in a regular expression. */
static struct str quoted(struct arena *a, struct str name)
{
    AUTO_BUF b = {0};

    buf_init(&b, 4096);
    for (size_t i = 0; i < name.n; i++) {
        if (!is_alnum(name.p[i]) && name.p[i] != '-' && name.p[i] != '_')
            buf_addc(&b, '\\');
        buf_addc(&b, name.p[i]);
    }
    return arena_copy(a, buf_str(&b));
}

/* "@HOST" of control/me: there the users of virtual domains are. */
static struct str at_this_host(struct import *i)
{
    for (size_t k = 0; k < i->settings.n; k++)
        if (str_eq(i->settings.v[k].name, STR("myhostname")))
            return arena_join(i->arena, STR("@"), i->settings.v[k].value);
    return STR("");
}

static bool is_virtual(const struct import *i, struct str name)
{
    for (size_t k = 0; k < i->virtual_domains.n; k++)
        if (str_eq_nocase(i->virtual_domains.v[k], name))
            return true;
    return false;
}

static void add_virtual_domain(struct control *c, struct str domain, struct str prepend)
{
    struct import_table *map = import_table(c->import, "virtual_qmail", "regexp");
    struct import_table *domains = import_table(c->import, "virtual_domains_qmail", "regexp");
    bool below = domain.n && domain.p[0] == '.';
    struct str name = quoted(c->import->arena, below ? str_from(domain, 1) : domain);
    const char *any = domain.n == 0 ? ".+" : below ? ".+\\." : "";

    if (domain.n == 0)
        note(c, domain, "catches all domains; the rule stands in virtual_domains_qmail");
    buf_addf(&domains->text, "/^%s" STR_FMT "$/ virtual\n", any, STR_ARG(name));
    buf_addf(&map->text, "/^(.+)@%s" STR_FMT "$/ " STR_FMT "-$1" STR_FMT "\n", any, STR_ARG(name),
             STR_ARG(prepend), STR_ARG(at_this_host(c->import)));
    vec_add(c->import->arena, &c->import->virtual_domains, domain);
}

/* user@domain:prepend, domain:prepend, .domain:prepend, :prepend; "domain:" is an exception */
static void take_virtualdomains(struct control *c, const char *parameter)
{
    struct import_table *exact = import_table(c->import, "virtual_users_qmail", "lmdb");
    struct str line;

    while (next_word(c, &line)) {
        struct str prepend = line, key = str_cut(&prepend, ':');
        ssize_t at = str_index(key, '@');
        if (prepend.p == NULL)
            note(c, line, "no colon; left out");
        else if (prepend.n == 0)
            note(c, line,
                 "an exception of virtual domains; remove the domain from the others by hand");
        else if (at > 0)
            buf_addf(&exact->text, STR_FMT "\t" STR_FMT "-" STR_FMT "\n", STR_ARG(key),
                     STR_ARG(prepend), STR_ARG(str_head(key, (size_t)at)));
        else
            add_virtual_domain(c, key, prepend);
    }
    import_add(c->import, parameter, import_table_name(c->import, exact));
    import_add(c->import, parameter,
               import_table_name(c->import, import_table(c->import, "virtual_qmail", "regexp")));
    import_add(
        c->import, "virtual_alias_domains",
        import_table_name(c->import, import_table(c->import, "virtual_domains_qmail", "regexp")));
    import_set(c->import, "recipient_delimiter", STR("-"));
}

static struct str first_word(struct str text)
{
    struct str word = STR("");

    (void)str_token(&text, " \t", &word);
    return word;
}

static bool route_is_wrong(const struct control *c, struct str line, struct str domain,
                           struct str port)
{
    if (str_index(line, ':') < 0)
        note(c, line, "no colon; left out");
    else if (port_of(port) == 0)
        note(c, line, "no port number; left out");
    else if (str_index_any(domain, " \t") >= 0)
        note(c, line, "has a blank; left out");
    else
        return false;
    return true;
}

/* domain:relay:port; an empty relay means the MX hosts of the domain */
static void take_smtproutes(struct control *c, const char *parameter)
{
    struct import_table *t = import_table(c->import, "transport_qmail", "lmdb");
    struct str line;

    while (next_line(c, &line)) {
        struct str rest = line, domain = str_cut(&rest, ':');
        struct str relay = rest.p && rest.n && rest.p[0] == '['
                               ? str_head(rest, (size_t)(str_index(rest, ']') + 1))
                               : STR_NONE;
        struct str port;
        if (relay.n)
            rest = str_from(rest, relay.n + 1);
        else
            relay = rest.p ? str_cut(&rest, ':') : STR("");
        port = rest.p ? str_trim(rest) : STR("");
        if (str_index_any(port, " \t") >= 0 || str_index_any(str_trim(relay), " \t") >= 0)
            note(c, line, "user and password belong into smtp_sasl_password_maps");
        port = first_word(port);
        relay = first_word(relay);
        if (port.n == 0)
            port = STR("25");
        if (route_is_wrong(c, line, domain, port))
            continue;
        if (domain.n == 0 && relay.n) {
            struct str host = relay.p[0] == '['
                                  ? relay
                                  : arena_printf(c->import->arena, "[" STR_FMT "]", STR_ARG(relay));
            import_set(
                c->import, "relayhost",
                arena_printf(c->import->arena, STR_FMT ":" STR_FMT, STR_ARG(host), STR_ARG(port)));
        } else if (relay.n && relay.p[0] == '[') {
            buf_addf(&t->text, STR_FMT "\tsmtp:" STR_FMT ":" STR_FMT "\n", STR_ARG(domain),
                     STR_ARG(relay), STR_ARG(port));
        } else if (relay.n) {
            buf_addf(&t->text, STR_FMT "\tsmtp:[" STR_FMT "]:" STR_FMT "\n", STR_ARG(domain),
                     STR_ARG(relay), STR_ARG(port));
        } else if (domain.n) {
            buf_addf(&t->text, STR_FMT "\tsmtp:\n", STR_ARG(domain));
        }
    }
    import_add(c->import, parameter, import_table_name(c->import, t));
}

/* user@domain, @domain, user@ */
static void add_address(struct import_table *t, struct str line, const char *action)
{
    struct str key = line.p[0] == '@' ? str_from(line, 1) : line;

    buf_addf(&t->text, STR_FMT "\t%s\n", STR_ARG(key), action);
}

static void take_addresses(struct control *c, const char *parameter, const char *table,
                           const char *action, const char *restriction)
{
    struct import_table *t = import_table(c->import, table, "lmdb");
    struct str line;

    while (next_word(c, &line))
        add_address(t, line, action);
    import_add(
        c->import, parameter,
        arena_printf(c->import->arena, "%s %s", restriction, import_table_name(c->import, t)).p);
}

static void take_badmailfrom(struct control *c, const char *parameter)
{
    take_addresses(c, parameter, "badmailfrom", "553 5.7.1 Your address is not accepted here",
                   "check_sender_access");
}

/* Only for clients without a name: their name reads "unknown". */
static void take_badmailfrom_unknown(struct control *c, const char *parameter)
{
    struct import_table *t = import_table(c->import, "clients_without_name", "lmdb");

    take_addresses(c, "badmailfrom_unknown", "badmailfrom-unknown",
                   "553 5.7.1 Your address is not accepted from a host without a name",
                   "check_sender_access");
    buf_add(&t->text, STR("unknown\tbadmailfrom_unknown\n"));
    import_add(c->import, "smtpd_restriction_classes", "badmailfrom_unknown");
    import_add(
        c->import, parameter,
        arena_printf(c->import->arena, "check_client_access %s", import_table_name(c->import, t))
            .p);
}

static void take_badrcptto(struct control *c, const char *parameter)
{
    take_addresses(c, parameter, "badrcptto", "553 5.7.1 This recipient is not accepted here",
                   "check_recipient_access");
}

static void take_goodmailfrom(struct control *c, const char *parameter)
{
    take_addresses(c, parameter, "goodmailfrom", "OK", "check_sender_access");
}

static void take_goodmailaddr(struct control *c, const char *parameter)
{
    struct import_table *t = import_table(c->import, "goodmailaddr", "lmdb");
    struct str line;

    while (next_word(c, &line))
        buf_addf(&t->text, STR_FMT "\tx\n", STR_ARG(line));
    import_add(c->import, parameter, "proxy:unix:passwd.byname");
    import_add(c->import, parameter, "$alias_maps");
    import_add(c->import, parameter, import_table_name(c->import, t));
}

/* A list that is used as it is, but for lines that would be refused. */
static void take_file(struct control *c, const char *parameter)
{
    struct import_table *t = import_table(c->import, c->name, NULL);
    bool is_rbl = strcmp(parameter, "smtpd_rbl_list") == 0;
    struct str line;
    long lines = 0;

    for (; next_line(c, &line); lines++) {
        struct why why;
        if (is_rbl && rbl_line_check(line, c->import->arena, &why) != RC_OK)
            note(c, line, arena_printf(c->import->arena, "%s; left out", why.text).p);
        else
            buf_addf(&t->text, STR_FMT "\n", STR_ARG(line));
    }
    if (lines || is_rbl)
        import_set(c->import, parameter, str_of(import_table_name(c->import, t)));
    else
        note(c, STR(""), "has no line; not used");
}

static void take_maxrcptcount(struct control *c, const char *parameter)
{
    struct str line;
    long n = 0;

    if (!take_digits(c, &line))
        return;
    (void)str_to_long(line, 0, INT_MAX, &n);
    import_set(c->import, parameter, n ? line : STR("2147483647"));
    import_set(c->import, "smtpd_recipient_limit_reject_code", STR("553"));
}

static void take_unknown(struct control *c, const char *words)
{
    struct str line = STR("");

    (void)next_line(c, &line);
    note(c, line, words);
}

/* ---- the table ---- */

static const struct row {
    const char *file;
    void (*take)(struct control *c, const char *parameter);
    const char *argument; /* parameter; words for take_unknown */
} rows[] = {
    {"me", set_first, "myhostname"},
    {"defaultdomain", set_first, "mydomain"},
    {"defaulthost", set_first, "myorigin"},
    {"locals", take_locals, "mydestination"},
    {"virtualdomains", take_virtualdomains, "virtual_alias_maps"},
    {"rcpthosts", take_rcpthosts, "relay_domains"},
    {"morercpthosts", take_rcpthosts, "relay_domains"},
    {"smtproutes", take_smtproutes, "transport_maps"},
    {"goodmailfrom", take_goodmailfrom, "smtpd_sender_first_restrictions"},
    {"badmailfrom", take_badmailfrom, "smtpd_sender_first_restrictions"},
    {"badmailfrom-unknown", take_badmailfrom_unknown, "smtpd_sender_first_restrictions"},
    {"badrcptto", take_badrcptto, "smtpd_recipient_first_restrictions"},
    {"goodmailaddr", take_goodmailaddr, "local_recipient_maps"},
    {"databytes", take_number, "message_size_limit"},
    {"smtpgreeting", set_first, "smtpd_banner"},
    {"timeoutsmtpd", set_seconds, "smtpd_timeout"},
    {"timeoutconnect", set_seconds, "smtp_connect_timeout"},
    {"timeoutremote", set_seconds, "smtp_data_done_timeout"},
    {"queuelifetime", set_seconds, "maximal_queue_lifetime"},
    {"helohost", set_first, "smtp_helo_name"},
    {"outgoingip", set_first, "smtp_bind_address"},
    {"doublebounceto", set_first, "2bounce_notice_recipient"},
    {"rbllist", take_file, "smtpd_rbl_list"},
    {"signatures", take_file, "smtpd_content_signatures_default"},
    {"tarpitcount", take_number, "smtpd_tarpit_recipient_count"},
    {"tarpitdelay", set_seconds, "smtpd_tarpit_delay"},
    {"maxrcptcount", take_maxrcptcount, "smtpd_recipient_limit"},
    {"defaultdelivery", take_unknown, "see mailbox_command and home_mailbox"},
    {"aliasempty", take_unknown, "see home_mailbox"},
    {"plusdomain", take_unknown, "addresses with a plus sign at the end are not rewritten"},
    {"percenthack", take_unknown, "see allow_percent_hack; for single domains there is nothing"},
    {"relaymailfrom", take_unknown,
     "a sender address proves nothing and everybody can relay with it; let users log in instead"},
    {"concurrencylocal", take_unknown, "the process limit of \"local\" in master.cf"},
    {"concurrencyremote", take_unknown, "the process limit of \"smtp\" in master.cf"},
    {"concurrencyincoming", take_unknown, "the process limit of \"smtp inet\" in master.cf"},
    {"bouncefrom", take_unknown, "bounces come from MAILER-DAEMON; see bounce_template_file"},
    {"bouncehost", take_unknown, "see myorigin"},
    {"doublebouncehost", take_unknown, "write the whole address into 2bounce_notice_recipient"},
    {"custombouncetext", take_unknown, "see bounce_template_file"},
    {"envnoathost", take_unknown, "see myorigin and append_at_myorigin"},
    {"idhost", take_unknown, "message ids name myhostname"},
    {"localiphost", take_unknown, "see resolve_numeric_domain"},
    {"smtpclustercookie", take_unknown, "there are no clusters; Received: headers are counted"},
    {"qmqpservers", take_unknown, "see relayhost and qmqpd(8)"},
    {"quotawarning", take_unknown, "quotas are the business of the mailbox server"},
    {"defaultquotasize", take_unknown, "see mailbox_size_limit"},
    {"defaultquotacount", take_unknown, "quotas are the business of the mailbox server"},
    {"ldapserver", take_unknown,
     "write an ldap table for local_recipient_maps and virtual_alias_maps; see ldap_table(5)"},
};

static const struct row *row_of(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].file, name) == 0)
            return &rows[i];
    return NULL;
}

static bool is_settled(const char *name)
{
    return name[0] == '.' || str_has_suffix(str_of(name), STR(".cdb")) ||
           str_has_suffix(str_of(name), STR("~"));
}

static enum rc open_control(struct import *i, const char *name, struct control *c, struct why *why)
{
    struct str path = arena_printf(i->arena, "%s/control/%s", i->from, name);

    *c = (struct control){.import = i, .name = name, .path = path.p};
    return file_read(path.p, CONTROL_MAX, i->arena, &c->text, why);
}

static enum rc take_known(struct import *i, struct why *why)
{
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct control c;
        enum rc rc = open_control(i, rows[k].file, &c, why);
        if (rc == RC_NONE)
            continue;
        TRY(rc);
        rows[k].take(&c, rows[k].argument);
    }
    return RC_OK;
}

/* Files that no row names: nothing is left out in silence. */
static void note_other(struct import *i, const char *path, const char *name)
{
    struct stat st;

    if (is_settled(name) || row_of(name) || stat(path, &st) < 0 || S_ISDIR(st.st_mode))
        return;
    if (str_has_prefix(str_of(name), STR("ldap")))
        import_note(i, "%s:1: part of ldapserver's table; see ldap_table(5)", path);
    else
        import_note(i, "%s:1: this file is not known", path);
}

static enum rc note_others(struct import *i, struct why *why)
{
    const char *directory = arena_printf(i->arena, "%s/control", i->from).p;

    if (access(directory, R_OK | X_OK) < 0)
        return FAIL(why, RC_CONFIG, "read %s: %m; name the directory above \"control\"", directory);
    import_each_file(i, directory, note_other);
    return RC_OK;
}

/* What qmail does when a file is not there. */
static void note_absent(struct import *i)
{
    const char *control = arena_printf(i->arena, "%s/control", i->from).p;
    const char *assign = arena_printf(i->arena, "%s/users/assign", i->from).p;

    if (access(arena_printf(i->arena, "%s/locals", control).p, F_OK) < 0)
        import_add(i, "mydestination", "$myhostname");
    if (access(arena_printf(i->arena, "%s/rcpthosts", control).p, F_OK) < 0)
        import_note(i,
                    "%s/rcpthosts:1: is not there, which makes an open relay of qmail; here mail "
                    "for mydestination, virtual domains and relay_domains is taken",
                    control);
    if (access(assign, F_OK) == 0)
        import_note(i, "%s:1: see local_recipient_maps and virtual_mailbox_maps", assign);
}

/* ---- the old queue ---- */

static bool has_mail(const char *path, int depth)
{
    DIR *d = opendir(path);
    struct dirent *e;
    bool found = false;

    while (d && !found && (e = readdir(d))) {
        char below[PATH_MAX];
        if (e->d_name[0] == '.')
            continue;
        found = depth == 0 ||
                ((size_t)snprintf(below, sizeof below, "%s/%s", path, e->d_name) < sizeof below &&
                 has_mail(below, depth - 1));
    }
    if (d)
        closedir(d);
    return found;
}

enum rc qmail_read(struct import *i, struct why *why)
{
    struct str mess = arena_printf(i->arena, "%s/queue/mess", i->from);

    TRY(take_known(i, why));
    TRY(note_others(i, why));
    qmail_read_aliases(i);
    if (i->settings.n == 0)
        return FAIL(why, RC_CONFIG, "%s/control has nothing to convert", i->from);
    note_absent(i);
    if (!is_in(i, "mydestination", STR("localhost")))
        import_add(i, "mydestination", "localhost");
    qmail_read_services(i);
    if (has_mail(mess.p, 1)) {
        import_note(i,
                    "%s: there is mail in the old queue; let qmail-send deliver it before it ends",
                    mess.p);
        log_warning(i->log, "%s: there is mail in the old queue; let qmail-send deliver it first",
                    mess.p);
    }
    return RC_OK;
}
