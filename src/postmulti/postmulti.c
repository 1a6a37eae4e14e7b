/*
 * postmulti - several mail systems on one machine, each with a configuration and queue of its own.
 *
 * The primary instance is the default configuration directory; its multi_instance_directories names
 * the others. Lists them, runs postfix or any command for each, creates and removes them.
 */
#include "postmulti/postmulti.h"

#include <unistd.h>

static const char usage[] =
    "usage: postmulti -l|-j [selection] | postmulti -p [selection] postfix-command ... | "
    "postmulti -x [selection] command ... | postmulti -e init | "
    "postmulti -e create|import [-I name] [-G group] [name=value ...] | "
    "postmulti -e assign -i name [-I newname] [-G newgroup] | "
    "postmulti -e destroy|deport|enable|disable -i name; "
    "selection: -a, -g group, -i name, and -R to reverse the order";

static void set_mode(struct options *o, enum mode mode, const struct log *log)
{
    if (o->mode != NO_MODE)
        log_fatal(log, 1, "specify one of -l, -j, -p, -x, -e; %s", usage);
    o->mode = mode;
}

static void read_options(int argc, char **argv, const struct log *log, struct options *o)
{
    int letter;

    opterr = 0;
    while ((letter = getopt(argc, argv, "+ae:g:i:G:I:jlpRvx")) > 0)
        switch (letter) {
        case 'a': o->name = o->group = NULL; break;
        case 'e':
            set_mode(o, MANAGE, log);
            o->action = optarg;
            break;
        case 'g': o->group = optarg; break;
        case 'i': o->name = optarg; break;
        case 'G': o->new_group = optarg; break;
        case 'I': o->new_name = optarg; break;
        case 'j': set_mode(o, LIST_JSON, log); break;
        case 'l': set_mode(o, LIST, log); break;
        case 'p': set_mode(o, RUN_POSTFIX, log); break;
        case 'R': o->reverse = true; break;
        case 'v': o->verbose++; break;
        case 'x': set_mode(o, RUN_COMMAND, log); break;
        default: log_fatal(log, 1, "invalid option -- '%c'; %s", optopt, usage);
        }
    o->args = argv + optind;
    if (o->mode == NO_MODE || (o->name && o->group))
        log_fatal(log, 1, "%s", usage);
    if ((o->mode == RUN_POSTFIX || o->mode == RUN_COMMAND) && *o->args == NULL)
        log_fatal(log, 1, "-%c requires a command", o->mode == RUN_POSTFIX ? 'p' : 'x');
}

int main(int argc, char **argv)
{
    struct log log = {0};
    struct options o = {0};
    struct postmulti m = {.o = &o, .log = &log, .arena = arena_new(16 * 1024)};

    log_open(&log, &(struct log_options){.only_stderr = true, .progname = "postmulti"});
    read_options(argc, argv, &log, &o);
    instances_load(&m);
    switch (o.mode) {
    case LIST:
    case LIST_JSON: return list_instances(&m);
    case RUN_POSTFIX: return run_postfix(&m);
    case RUN_COMMAND: return run_command(&m);
    case MANAGE: return manage(&m);
    case NO_MODE: break;
    }
    return 1;
}
