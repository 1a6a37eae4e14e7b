/* One run of postmulti: the options and the instances. */
#pragma once

#include "config/config.h"
#include "config/edit.h"
#include "util/log.h"

enum mode {
    NO_MODE,
    LIST,        /* -l */
    LIST_JSON,   /* -j */
    RUN_POSTFIX, /* -p */
    RUN_COMMAND, /* -x */
    MANAGE,      /* -e action */
};

struct options {
    enum mode mode;
    const char *action;               /* of -e */
    const char *name, *group;         /* -i, -g: what is selected; NULL: everything */
    const char *new_name, *new_group; /* -I, -G */
    bool reverse;                     /* -R */
    int verbose;
    char **args; /* the command, or name=value ... */
};

struct instance {
    struct str dir, name, group; /* name, group: "" when it has none */
    bool is_enabled, is_primary;
    struct config *config;
};

struct postmulti {
    const struct options *o;
    const struct log *log;
    struct arena *arena;
    struct instance *instances; /* the primary first */
    size_t n;
};

/* Read the primary instance and all that it names. Ends the program when one cannot be read. */
void instances_load(struct postmulti *m);

/* Those that -i and -g select, in the order asked for; *n: how many. */
struct instance **instances_select(struct postmulti *m, bool reverse, size_t *n);
struct instance *instance_find(struct postmulti *m,
                               struct str name); /* name or directory; or NULL */

/* All return the exit status. */
int list_instances(struct postmulti *m);
int run_postfix(struct postmulti *m);
int run_command(struct postmulti *m);
int manage(struct postmulti *m);

/* "postfix -c dir command": its exit status. is_quiet: without output. */
int call_postfix(struct postmulti *m, const struct instance *i, char *const *command,
                 bool is_quiet);
bool is_running(struct postmulti *m, const struct instance *i);

/* The steps of "-e create" and "-e destroy" on the file system. */
void create_files(struct postmulti *m, const struct instance *new_one,
                  const struct config_setting *settings, size_t n);
void destroy_files(struct postmulti *m, const struct instance *i);

/* Set parameters in dir/main.cf, or end the program. */
void set_parameters(struct postmulti *m, const char *dir, const struct config_setting *settings,
                    size_t n);
