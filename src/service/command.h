/*
 * What commands of the administrator and of users do first: option -c, configuration, log, who is
 * asking. Start-up may exit: what cannot go on ends with a line on standard error and in the log.
 */
#pragma once

#include "config/config.h"
#include "util/log.h"

struct command {
    const char *name; /* last part of argv[0] */
    struct log log;   /* first to standard error only, then as the configuration says */
    struct config *config;
    int failure;     /* exit status of command_configure() when it cannot go on */
    bool privileged; /* root, or the user who owns this instance's queue */
};

void command_init(struct command *c, const char *argv0);

/*
 * Load the configuration of dir (of option -c; NULL: $MAIL_CONFIG or the default) and open the log.
 * A set-gid command of an ordinary user takes only directories that the default main.cf lists in
 * alternate_config_directories or multi_instance_directories. Sets $MAIL_CONFIG for children.
 */
void command_configure(struct command *c, const char *dir);

/* Open the log as config says, with lines to standard error too, below progname. An open one is
 * closed first. */
void command_open_log(struct log *log, const struct config *config, const char *tag,
                      const char *progname);

/* "NAME(UID)" of the real user, for messages. text: at least 64 bytes. */
void command_user(char text[64]);

struct command_account {
    char name[256]; /* of the user; a number when it has none */
    uid_t uid;
    gid_t gid;
};

/*
 * Options -u and -g: names or numbers, or NULL. Without -u: mail_owner of c->config; the user
 * himself when that is not root. Exits with EX_USAGE when there is no such account, with EX_CONFIG
 * when it is root's.
 */
void command_account(const struct command *c, const char *user, const char *group,
                     struct command_account *out);
/* Exits with EX_CONFIG when this process can never become that account. */
void command_account_check(const struct command *c, const struct command_account *a);

/* Is the real user in this list of user names (authorized_..._users)? Root always is. */
bool command_user_is_in(struct command *c, const char *parameter, struct str list);
