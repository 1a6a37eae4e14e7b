/*
 * Service directories of qmail-smtpd: instruct directories and tcp.smtp files, which are read as
 * they are, and env directories with IP, PORT, MAXSMTPD and SOFTLIMIT.
 */
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern-import/import.h"
#include "table/ipsvd.h"
#include "util/file.h"
#include "util/net.h"

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* First line of directory/env/NAME; empty: not there. */
static struct str environment(struct import *i, const char *directory, const char *name)
{
    struct str text = STR_NONE;
    struct str path = arena_printf(i->arena, "%s/env/%s", directory, name);

    if (file_read(path.p, 65536, i->arena, &text, NULL) != RC_OK)
        return STR("");
    return str_rtrim(str_cut(&text, '\n'));
}

static void add_setting(struct import *i, struct import_service *s, const char *name,
                        struct str value)
{
    struct config_setting setting = {str_of(name), value, STR_NONE};

    vec_add(i->arena, &s->settings, setting);
}

/* The default instead of what is no number. */
static struct str number(struct import *i, const char *directory, const char *name, long max,
                         struct str otherwise)
{
    struct str text = environment(i, directory, name);
    long n;

    if (text.n == 0 || str_to_long(text, 1, max, &n))
        return text.n ? text : otherwise;
    import_note(i, "%s/env/%s:1: \"" STR_FMT "\": no number from 1 to %ld; the default is taken",
                directory, name, STR_ARG(text), max);
    return otherwise;
}

/* Address and port as master.cf names them. RC_NONE: wrong, and said. */
static enum rc service_name(struct import *i, const char *directory, struct str *name)
{
    struct str ip = environment(i, directory, "IP"), port = environment(i, directory, "PORT");
    bool all = ip.n == 0 || str_eq(ip, STR("0"));
    struct addr address = {0};
    long number;

    if (port.n && !str_to_long(port, 1, 65535, &number)) {
        import_note(i, "%s/env/PORT:1: \"" STR_FMT "\": no port; the service is left out",
                    directory, STR_ARG(port));
        return RC_NONE;
    }
    if (!all && addr_parse(ip, 0, &address, NULL) != RC_OK) {
        import_note(i, "%s/env/IP:1: \"" STR_FMT "\": no address; the service is left out",
                    directory, STR_ARG(ip));
        return RC_NONE;
    }
    if (port.n == 0)
        port = STR("25");
    if (all)
        *name = str_eq(port, STR("25")) ? STR("smtp") : port; /* in place of the usual line */
    else
        *name = arena_printf(i->arena,
                             addr_family(&address) == AF_INET6 ? "[" STR_FMT "]:" STR_FMT
                                                               : STR_FMT ":" STR_FMT,
                             STR_ARG(ip), STR_ARG(port));
    if (!all && str_eq(port, STR("25")))
        import_note(i,
                    "%s/env/IP:1: \"" STR_FMT "\": \"smtp inet\" of master.cf has port 25 of all "
                    "addresses; remove it with: postconf -MX smtp/inet",
                    directory, STR_ARG(ip));
    return RC_OK;
}

static bool is_taken(const struct import *i, struct str name)
{
    for (size_t k = 0; k < i->services.n; k++)
        if (str_eq(i->services.v[k].name, name))
            return true;
    return false;
}

static void note_run_script(struct import *i, const char *directory)
{
    long expiry = ipsvd_expiry_line(arena_printf(i->arena, "%s/instruct", directory).p);

    if (access(arena_printf(i->arena, "%s/run", directory).p, F_OK) == 0)
        import_note(i,
                    "%s/run:1: its options are not converted: -b is service_backlog, -C "
                    "smtpd_client_connection_count_limit, -l myhostname, -u mail_owner",
                    directory);
    if (expiry)
        import_note(i, "%s/run:%ld: -t: files of instructions do not expire here", directory,
                    expiry);
}

/* Rules with an error would keep the whole system from starting. */
static bool is_good(struct import *i, const char *directory, struct str tables)
{
    struct table *t = NULL;
    struct why why;

    if (table_open(tables, TABLE_STRICT, &(struct table_env){.config = i->defaults}, &t, &why) !=
        RC_OK) {
        import_note(i, "%s: the service is left out: %s", directory, why.text);
        return false;
    }
    table_close(t);
    return true;
}

/* The defaults are those of the run script: all addresses, port 25, 20 sessions, 3000000 bytes. */
static void add_service(struct import *i, const char *directory, struct str tables)
{
    struct str memory = number(i, directory, "SOFTLIMIT", LONG_MAX, STR(""));
    struct import_service s = {0};

    note_run_script(i, directory);
    if (!is_good(i, directory, tables) || service_name(i, directory, &s.name) != RC_OK)
        return;
    if (is_taken(i, s.name)) {
        import_note(i, "%s/env/PORT:1: another service has \"" STR_FMT "\"; left out", directory,
                    STR_ARG(s.name));
        return;
    }
    s.maxproc = number(i, directory, "MAXSMTPD", INT_MAX, STR("20"));
    add_setting(i, &s, "smtpd_client_instruction_maps", tables);
    if (memory.n)
        add_setting(i, &s, "smtpd_memory_limit", memory);
    vec_add(i->arena, &i->services, s);
}

static void look_into(struct import *i, const char *directory, const char *name)
{
    struct str instruct = arena_printf(i->arena, "%s/instruct", directory);
    struct str rules = arena_printf(i->arena, "%s/tcp.smtp", directory);

    if (name[0] == '.')
        return;
    if (is_directory(instruct.p))
        add_service(i, directory, arena_printf(i->arena, "ipsvd:" STR_FMT, STR_ARG(instruct)));
    else if (access(rules.p, F_OK) == 0)
        add_service(i, directory, arena_printf(i->arena, "tcprules:" STR_FMT, STR_ARG(rules)));
}

void qmail_read_services(struct import *i)
{
    const char *control = arena_printf(i->arena, "%s/control", i->from).p;

    look_into(i, i->from, "qmail");
    look_into(i, control, "control");
    import_each_file(i, control, look_into);
    import_each_file(i, arena_printf(i->arena, "%s/service", i->from).p, look_into);
}
