/* The command line of smtpd(8). */
#pragma once

#include "smtpdconf/smtpdconf.h"

struct options {
    const char *program; /* last part of argv[0], for messages */
    const char *file;    /* smtpd.conf */
    enum conf_grammar grammar;
    bool debug, foreground, check_only;
    bool write_only;    /* -o write: make the files, start nothing */
    const char *base;   /* -o base=DIR: of the installation's main.cf; NULL: the default */
    struct str command; /* all of it, for configuration_generator */
    int verbose;
    VEC(struct conf_macro) macros;
    VEC(struct str) paused; /* mda, mta, smtp */
    VEC(struct str) traced;
};

enum options_answer { OPTIONS_GO_ON, OPTIONS_EXIT_1 };

/* Complains on standard error by itself. */
enum options_answer options_parse(int argc, char **argv, struct arena *a, struct options *out);
