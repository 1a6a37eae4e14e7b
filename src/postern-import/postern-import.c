/*
 * postern-import - the configuration of another mail system as main.cf, master.cf and tables.
 *
 *     postern-import [-c config_dir] [--write] qmail DIR
 *
 * Reads DIR/control and the service directories below DIR, prints what would be written, and lists
 * what has no counterpart with its file and line. Nothing is changed without --write.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "postern-import/import.h"

_Noreturn static void usage(const struct command *c)
{
    log_fatal(&c->log, 1, "usage: postern-import [-c config_dir] [--write] qmail directory");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"write", no_argument, NULL, 'w'}, {0}};
    struct import i = {.arena = arena_new(64 * 1024), .config_directory = config_default_dir()};
    struct command command;
    struct config *config = NULL;
    struct why why;
    bool write = false;
    int letter;
    enum rc rc;

    command_init(&command, argv[0]);
    while ((letter = getopt_long(argc, argv, "c:v", options, NULL)) > 0)
        switch (letter) {
        case 'c': i.config_directory = optarg; break;
        case 'v': command.log.verbose++; break;
        case 'w': write = true; break;
        default: usage(&command);
        }
    if (argc - optind != 2 || strcmp(argv[optind], "qmail") != 0)
        usage(&command);
    i.log = &command.log;
    i.from = realpath(argv[optind + 1], NULL); /* rules are used where they are */
    if (i.from == NULL)
        log_fatal(&command.log, 1, "open directory %s: %m", argv[optind + 1]);
    rc = config_load(&(struct config_request){.main_cf = &(struct str){"", 0}}, &config, &why);
    i.defaults = config;
    if (rc == RC_OK)
        rc = qmail_read(&i, &why);
    if (rc == RC_OK)
        rc = write ? import_write(&i, &why) : import_print(&i, &why);
    if (rc != RC_OK)
        log_fatal(&command.log, 1, "%s", why.text);
    return 0;
}
