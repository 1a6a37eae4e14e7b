/* What the files of obtuse-smtpd share. */
#pragma once

#include "service/command.h"

struct obtuse {              /* the command line, made complete */
    struct command *command; /* its configuration is that of the installation */
    struct arena *arena;
    const char *arguments;    /* as typed, for the head of main.cf */
    const char *home, *spool; /* spool: absolute below home, "/spool" */
    const char *user, *group, *port, *address, *hostname, *size, *pid_file;
    const char *rules; /* absolute */
    bool daemon, brief, no_names, paranoid, print, setup, legacy_spool;
    struct command_account account;
    VEC(struct config_setting) settings; /* -o */
};

/* options.c: exits when they are wrong: 64. */
void obtuse_options(struct obtuse *o, int argc, char **argv);

/* instance.c: the texts of the private main.cf and master.cf. */
struct str instance_main(const struct obtuse *o);
struct str instance_master(const struct obtuse *o);

/* setup.c: home, spool and files with the right owners; what is there stays. */
enum rc obtuse_setup(const struct obtuse *o, struct why *why) MUST_USE;
/* The directory of main.cf and master.cf, written anew. */
enum rc obtuse_write_config(const struct obtuse *o, const char **directory,
                            struct why *why) MUST_USE;

/* run.c */
int obtuse_daemon(const struct obtuse *o);
_Noreturn void obtuse_one_session(const struct obtuse *o);
