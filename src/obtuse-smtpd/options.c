/* The original's options, and -n, -o and --setup. */
#include <getopt.h>
#include <limits.h>
#include <sysexits.h>
#include <unistd.h>

#include "obtuse-smtpd/obtuse-smtpd.h"
#include "util/net.h"

static const char usage[] =
    "usage: obtuse-smtpd [-c home_directory] [-d spool_directory] [-u user] [-g group] [-D] [-L] "
    "[-H] [-P] [-l address] [-p port] [-m hostname] [-s bytes] [-i pid_file] [-q arg] [-n] "
    "[-o name=value] [--setup]";

enum { OPT_SETUP = 256 };

static const struct option long_options[] = {
    {"setup", no_argument, NULL, OPT_SETUP},
    {NULL, 0, NULL, 0},
};

static _Noreturn void wrong(const struct obtuse *o, const char *words, const char *value)
{
    log_error(&o->command->log, "%s: %s", words, value);
    log_fatal(&o->command->log, EX_USAGE, "%s", usage);
}

/* legacy_spool is our own; all else is a parameter. */
static void add_setting(struct obtuse *o)
{
    struct config_setting setting = {0};
    struct why why;

    if (config_parse_setting(str_of(optarg), &setting, &why) != RC_OK)
        wrong(o, "option -o needs name=value", optarg);
    if (!str_eq(setting.name, STR("legacy_spool")))
        vec_add(o->arena, &o->settings, setting);
    else if (!config_parse_bool(setting.value, &o->legacy_spool))
        wrong(o, "legacy_spool is yes or no", optarg);
}

static void read_options(struct obtuse *o, int argc, char **argv)
{
    int letter;

    while ((letter = getopt_long(argc, argv, "c:d:u:g:s:p:l:m:i:q:o:DHLPn", long_options, NULL)) >
           0)
        switch (letter) {
        case 'c': o->home = optarg; break;
        case 'd': o->spool = optarg; break;
        case 'u': o->user = optarg; break;
        case 'g': o->group = optarg; break;
        case 's': o->size = optarg; break;
        case 'p': o->port = optarg; break;
        case 'l': o->address = optarg; break;
        case 'm': o->hostname = optarg; break;
        case 'i': o->pid_file = optarg; break;
        case 'q': o->brief = true; break;
        case 'o': add_setting(o); break;
        case 'D': o->daemon = true; break;
        case 'H': o->no_names = true; break;
        case 'L': break; /* the log is opened before chroot, always */
        case 'P': o->paranoid = true; break;
        case 'n': o->print = true; break;
        case OPT_SETUP: o->setup = true; break;
        default: log_fatal(&o->command->log, EX_USAGE, "%s", usage);
        }
    if (optind < argc)
        wrong(o, "unknown argument", argv[optind]);
}

static void check_values(const struct obtuse *o)
{
    struct addr address;
    long number;

    if (o->home && o->home[0] != '/')
        wrong(o, "option -c needs an absolute path name", o->home);
    if (o->spool[0] != '/' || o->spool[1] == '\0' || strstr(o->spool, "/.."))
        wrong(o, "option -d needs a path name that is absolute inside the home directory",
              o->spool);
    if (o->size && !str_to_long(str_of(o->size), 1, LONG_MAX, &number))
        wrong(o, "option -s needs a positive number of bytes", o->size);
    if (o->port && port_of(str_of(o->port)) == 0)
        wrong(o, "option -p: no such port", o->port);
    if (o->address && addr_parse(str_of(o->address), 0, &address, NULL) != RC_OK)
        wrong(o, "option -l needs an address", o->address);
    if (o->hostname && (o->hostname[0] == '\0' || strpbrk(o->hostname, " \t\n$")))
        wrong(o, "option -m needs a host name", o->hostname);
    if (o->pid_file && o->pid_file[0] != '/')
        wrong(o, "option -i needs an absolute path name", o->pid_file);
}

/* Programs, log and accounts are those of the installation, also when it has no main.cf. */
static void load_main(struct obtuse *o)
{
    static const struct str nothing = STR_INIT("compatibility_level = 3.11\n");
    struct config_request request = {.dir = config_default_dir(), .process_name = "smtpd"};
    struct config *config = NULL;
    struct why why;

    if (config_load(&request, &config, &why) != RC_OK) {
        if (access(arena_printf(o->arena, "%s/main.cf", request.dir).p, F_OK) == 0)
            log_fatal(&o->command->log, EX_CONFIG, "%s", why.text);
        request.main_cf = &nothing;
        if (config_load(&request, &config, &why) != RC_OK)
            log_fatal(&o->command->log, EX_CONFIG, "%s", why.text);
    }
    o->command->config = config;
}

void obtuse_options(struct obtuse *o, int argc, char **argv)
{
    struct str all = STR("");

    o->spool = "/spool";
    o->legacy_spool = true;
    for (int i = 1; i < argc; i++)
        all = arena_printf(o->arena, STR_FMT " %s", STR_ARG(all), argv[i]);
    o->arguments = all.p;
    read_options(o, argc, argv);
    check_values(o);
    load_main(o);
    command_account(o->command, o->user, o->group, &o->account);
    if (!o->print)
        command_account_check(o->command, &o->account);
    o->rules = o->home ? arena_printf(o->arena, "%s/etc/smtpd_check_rules", o->home).p
                       : "/etc/smtpd_check_rules";
    if (o->home == NULL)
        o->home = o->command->config->queue_directory.p;
}
