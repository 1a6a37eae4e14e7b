/*
 * postconf - look at and change the configuration.
 *
 * Shows parameters of main.cf with defaults, entries, fields and -o parameters of master.cf, edits
 * both files, and tells what this build can do. Reads the files as they are: it works, with
 * warnings, where a service would refuse to start.
 */
#include "postconf/postconf.h"

#include "postconf/options.h"

int main(int argc, char **argv)
{
    struct log log = {0};
    struct options o = {0};
    struct postconf p = {.o = &o, .log = &log, .arena = arena_new(64 * 1024)};
    int status;

    log_open(&log, &(struct log_options){.only_stderr = true, .progname = "postconf"});
    options_read(argc, argv, p.arena, &log, &o);
    if (o.subject > MASTER_PARAMETERS)
        status = show_facts(&o, &log);
    else if (o.action)
        status = edit_files(&p);
    else if (o.subject == MAIN_CF)
        status = show_main(&p);
    else
        status = show_master(&p);
    arena_free(p.arena);
    return status;
}
