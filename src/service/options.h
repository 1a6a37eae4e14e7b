/* The command line that master gives to a daemon. */
#pragma once

#include "config/config.h"

struct service_options {
    bool chroot;                      /* -c */
    bool keep_stdio;                  /* -d */
    bool debugger;                    /* -D */
    bool single;                      /* -l: maxproc is 1 */
    bool unprivileged;                /* -u */
    bool unlimited;                   /* -z: maxproc is 0 */
    bool check;                       /* --check: only look whether the service could start */
    bool on_stdin;                    /* -S */
    bool inetd;                       /* --inetd: one client, whose connection is descriptor 0 */
    int verbose;                      /* -v, -V counts as well */
    long idle_seconds;                /* -i; 0: max_idle */
    long requests;                    /* -m; 0: max_use for each place */
    long listeners;                   /* -s; 1 when not given */
    const char *name;                 /* -n; NULL: as the program */
    const char *type;                 /* -t; "unix" when not given */
    int argc;                         /* arguments behind the options */
    char **argv;                      /* views of the command line */
    struct config_setting *overrides; /* -o, in order */
    size_t overrides_n;
};

/* RC_PERM: unknown option, missing or malformed value. Lists live in the arena. */
enum rc service_options_parse(int argc, char **argv, struct arena *a, struct service_options *o,
                              struct why *why) MUST_USE;
