/*
 * Service directories of qmail-smtpd: instruct directories and tcp.smtp files, which are read as
 * they are, and env directories with IP, PORT, MAXSMTPD and SOFTLIMIT.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern-import/import.h"
#include "util/file.h"

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

/* The defaults are those of the run script: all addresses, port 25, 20 sessions, 3000000 bytes. */
static void add_service(struct import *i, const char *directory, struct str tables)
{
    struct import_service s = {0};
    struct str ip = environment(i, directory, "IP"), port = environment(i, directory, "PORT");
    struct str sessions = environment(i, directory, "MAXSMTPD");
    struct str memory = environment(i, directory, "SOFTLIMIT");
    long bytes = 0;

    if (port.n == 0)
        port = STR("25");
    if (ip.n && !str_eq(ip, STR("0")))
        s.name = arena_printf(i->arena, STR_FMT ":" STR_FMT, STR_ARG(ip), STR_ARG(port));
    else
        s.name = str_eq(port, STR("25")) ? STR("smtp") : port; /* in place of the usual line */
    if (str_eq(port, STR("25")) && !str_eq(s.name, STR("smtp")))
        import_note(i,
                    "%s/env/IP:1: \"" STR_FMT "\": \"smtp inet\" of master.cf has port 25 of all "
                    "addresses; remove it with: postconf -MX smtp/inet",
                    directory, STR_ARG(ip));
    s.maxproc = str_is_digits(sessions) ? sessions : STR("20");
    add_setting(i, &s, "smtpd_client_instruction_maps", tables);
    if (str_to_long(memory, 1, LONG_MAX, &bytes))
        add_setting(i, &s, "smtpd_memory_limit", memory);
    vec_add(i->arena, &i->services, s);
}

static void look_into(struct import *i, const char *directory)
{
    struct str instruct = arena_printf(i->arena, "%s/instruct", directory);
    struct str rules = arena_printf(i->arena, "%s/tcp.smtp", directory);

    if (is_directory(instruct.p))
        add_service(i, directory, arena_printf(i->arena, "ipsvd:" STR_FMT, STR_ARG(instruct)));
    else if (access(rules.p, F_OK) == 0)
        add_service(i, directory, arena_printf(i->arena, "tcprules:" STR_FMT, STR_ARG(rules)));
}

static void look_below(struct import *i, const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        struct str below = arena_printf(i->arena, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.' && is_directory(below.p))
            look_into(i, below.p);
    }
    if (d)
        closedir(d);
}

enum rc qmail_read_services(struct import *i, struct why *why)
{
    (void)why;
    look_into(i, i->from);
    look_into(i, arena_printf(i->arena, "%s/control", i->from).p);
    look_below(i, arena_printf(i->arena, "%s/control", i->from).p);
    look_below(i, arena_printf(i->arena, "%s/service", i->from).p);
    return RC_OK;
}
