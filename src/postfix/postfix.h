/* Inside the postfix command: what its parts share. */
#pragma once

#include <sys/types.h>

#include "config/config.h"
#include "config/master_cf.h"
#include "util/log.h"

struct postfix {
    const char *config_directory; /* absolute */
    struct config *config;
    struct log log;  /* "postfix/postfix-script" */
    struct log self; /* "postfix", for mistakes on the command line */
    bool debugger;   /* -D */
    int verbose;
    bool rootless; /* an instance of an ordinary user: everything is owned by that user */
    uid_t root_uid, owner_uid;
    gid_t owner_gid, setgid_gid;
    int argc; /* arguments after the command word */
    char **argv;
};

/* remote.c: the caller is no owner, but maybe a member of postfix_control_group. */
bool remote_is_wanted(const struct postfix *p, const char *word);
int remote_run(struct postfix *p, const char *word);

/* accounts.c: who owns what; RC_CONFIG: mail_owner or setgid_group cannot be used */
enum rc accounts_find(struct postfix *p, struct why *why) MUST_USE;
/* May this user run the instance? */
enum rc accounts_check_caller(struct postfix *p, struct why *why) MUST_USE;

/* layout.c: directories */
enum rc layout_make(const struct postfix *p, struct why *why) MUST_USE;
enum rc layout_set(const struct postfix *p, struct why *why) MUST_USE;
void layout_warn(const struct postfix *p); /* wrong owners and modes */

/* ownership.c: files of the installation */
void ownership_warn(const struct postfix *p);

/* verify.c: configuration */
enum rc verify_installation(const struct postfix *p, struct why *why) MUST_USE;
/* All mistakes are logged. thorough: also services that start without asking at once. */
bool verify_configuration(const struct postfix *p, bool thorough);

/* compatibility.c: which defaults are those of an older compatibility_level */
#define COMPATIBILITY_LATEST "3.11"
void compatibility_warn(const struct postfix *p);

/* run.c: start, stop and their kin; all give the exit status */
int run_start(struct postfix *p);
int run_start_fg(struct postfix *p);
int run_quick_start(struct postfix *p);
int run_stop(struct postfix *p);
int run_quick_stop(struct postfix *p);
int run_abort(struct postfix *p);
int run_drain(struct postfix *p);
int run_reload(struct postfix *p);
int run_status(struct postfix *p);
int run_flush(struct postfix *p);
int run_check(struct postfix *p);
int run_check_fatal(struct postfix *p);
int run_check_warn(struct postfix *p);

/* permissions.c */
int run_set_permissions(struct postfix *p);
/* upgrade.c */
int run_upgrade_configuration(struct postfix *p);
/* tls.c */
int run_tls(struct postfix *p);
/* non_bdb.c */
int run_non_bdb(struct postfix *p);
/* rotate.c */
int run_logrotate(struct postfix *p);

/* program.c: other programs. Start gives -1 when it cannot; run gives the exit status. */
const char *program_path(struct arena *a, struct str directory, const char *name);
pid_t program_start(const char *path, char *const *argv, int stderr_fd, struct why *why);
int program_wait(pid_t pid); /* status as of wait(2) */
int program_run(const struct postfix *p, const char *path, char *const *argv);
