/* postfix logrotate: rename maillog_file, let all open a new one, compress the old one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "postfix/postfix.h"
#include "service/lock.h"
#include "util/clock.h"

enum { REOPEN_US = 1200 * 1000 }; /* writers look at the name once a second */

static void compress(const struct postfix *p, const char *path)
{
    const char *compressor = p->config->maillog_file_compressor.p;
    char *argv[] = {(char *)compressor, (char *)path, NULL};
    AUTO_ARENA a = arena_new(256);
    const char *program = compressor;

    if (*compressor != '/') {
        program = arena_printf(a, "/usr/bin/%s", compressor).p;
        if (access(program, X_OK) < 0)
            program = arena_printf(a, "/bin/%s", compressor).p;
    }
    if (program_run(p, program, argv) != 0)
        log_fatal(&p->log, 1, "cannot compress %s with %s", path, compressor);
}

int run_logrotate(struct postfix *p)
{
    const struct config *c = p->config;
    char stamp[128], path[PATH_MAX];
    time_t now = clock_seconds();
    struct why why;
    struct tm tm;
    pid_t pid = 0;

    if (c->maillog_file.n == 0)
        log_fatal(&p->log, 1, "maillog_file is not set: there is no log file to rotate");
    if (str_has_prefix(c->maillog_file, STR("/dev/")))
        log_fatal(&p->log, 1, "maillog_file = %s: not a file that can be rotated",
                  c->maillog_file.p);
    localtime_r(&now, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the administrator's own format */
    if (strftime(stamp, sizeof stamp, c->maillog_file_rotate_suffix.p, &tm) == 0)
#pragma GCC diagnostic pop
        log_fatal(&p->log, 1, "maillog_file_rotate_suffix = %s: too long, or empty",
                  c->maillog_file_rotate_suffix.p);
    snprintf(path, sizeof path, "%s.%s", c->maillog_file.p, stamp);
    if (rename(c->maillog_file.p, path) < 0)
        log_fatal(&p->log, 1, "rename %s to %s: %m", c->maillog_file.p, path);
    if (master_lock_test(c, &pid, &why) == RC_OK && pid > 0) {
        kill(pid, SIGHUP);
        usleep(REOPEN_US);
    }
    compress(p, path);
    return 0;
}
