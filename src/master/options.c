#include <getopt.h>

#include "master/master.h"

enum rc master_options_parse(int argc, char **argv, struct master_options *o, struct why *why)
{
    struct master_options found = {0};
    int letter;

    opterr = 0;
    while ((letter = getopt(argc, argv, "c:dDe:istvw")) > 0) {
        switch (letter) {
        case 'c': found.config_directory = optarg; break;
        case 'd': found.debug_stdio = true; break;
        case 'D': found.debugger = true; break;
        case 'e':
            if (!str_to_long(str_of(optarg), 1, INT_MAX, &found.exit_seconds))
                return FAIL(why, RC_PERM, "option -e: \"%s\" is no number of seconds", optarg);
            break;
        case 'i': found.init = found.foreground = true; break;
        case 's': found.foreground = true; break;
        case 't': found.test = true; break;
        case 'v': found.verbose++; break;
        case 'w': found.wait = true; break;
        default:
            return FAIL(why, RC_PERM,
                        "usage: master [-c config_dir] [-d] [-D] [-e exit_time] [-i] [-s] [-t] "
                        "[-v] [-w]");
        }
    }
    if (optind < argc)
        return FAIL(why, RC_PERM, "unexpected argument: %s", argv[optind]);
    if (found.wait && found.foreground)
        return FAIL(why, RC_PERM, "options -w and -s or -i exclude each other");
    *o = found;
    return RC_OK;
}
