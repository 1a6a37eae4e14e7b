/*
 * What a confined process may do. Every service reads files as its user may; writing is limited to
 * what its description names (Landlock), and system calls that no mail service needs are refused
 * (seccomp, EPERM: libraries that try one anyway go on). Services that run other people's programs
 * have none of this, for programs would inherit it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "service/runtime.h"
#include "service/seccomp.h"
#include "util/file.h"

/* Not in the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#    define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#    define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#    define SANITIZED true
#elif defined __has_feature
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#        define SANITIZED true
#    endif
#endif
#ifndef SANITIZED
#    define SANITIZED false
#endif

#define RIGHTS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_WRITE                                                                               \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |   \
     LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE)
#define RIGHTS_LOG                                                                                 \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_TRUNCATE)
#define RIGHTS_NEVER                                                                               \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK |   \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM)

enum { ABI_REFER = 2, ABI_TRUNCATE = 3 };

struct ruleset {
    int fd;
    uint64_t handled;
};

/* 0: the kernel has none, or it is switched off. */
static long landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return abi < 0 ? 0 : abi;
}

static enum rc allow(const struct ruleset *r, const char *path, uint64_t rights, struct why *why)
{
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.allowed_access = rights & r->handled};

    if (fd < 0)
        return errno == ENOENT ? RC_OK : FAIL(why, RC_CONFIG, "sandbox: %s: %m", path);
    rule.parent_fd = fd;
    if (syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return FAIL(why, RC_TEMP, "sandbox: rule for %s: %m", path);
    return RC_OK;
}

static enum rc allow_log(const struct runtime *r, const struct ruleset *rules, struct why *why)
{
    struct str file = r->config->maillog_file;
    ssize_t slash = str_rindex(file, '/');
    char directory[PATH_MAX];

    if (slash <= 0 || slash >= PATH_MAX)
        return RC_OK;
    memcpy(directory, file.p, (size_t)slash);
    directory[slash] = '\0';
    return allow(rules, directory, RIGHTS_LOG, why);
}

/* Decoded TLS messages, when smtp_tls_loglevel says "trace". */
static enum rc allow_traces(const struct runtime *r, const struct ruleset *rules, struct why *why)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/tlstrace", r->config->queue_directory.p);
    return allow(rules, path, RIGHTS_LOG, why);
}

static enum rc allow_all(const struct runtime *r, const struct ruleset *rules, struct why *why)
{
    unsigned may = r->service->may;

    TRY(allow(rules, "/", RIGHTS_READ, why));
    TRY(allow(rules, "/dev", LANDLOCK_ACCESS_FS_WRITE_FILE, why));
    TRY(allow_log(r, rules, why));
    if (may & MAY_CONNECT)
        TRY(allow_traces(r, rules, why));
    if (may & MAY_WRITE_QUEUE)
        TRY(allow(rules, r->config->queue_directory.p, RIGHTS_WRITE, why));
    if (may & MAY_WRITE_DATA)
        TRY(allow(rules, r->config->data_directory.p, RIGHTS_WRITE, why));
    return RC_OK;
}

enum rc sandbox_prepare(struct runtime *r, struct sandbox *s, struct why *why)
{
    unsigned may = r->service->may;
    struct landlock_ruleset_attr wanted = {0};
    struct ruleset rules;
    long abi = landlock_abi();

    *s = (struct sandbox){.ruleset = -1,
                          .is_off = SANITIZED || !r->config->service_sandbox || (may & MAY_EXEC)};
    /* ABI 1 forbids to rename between directories, which is what the queue lives by */
    if (s->is_off || abi == 0 || (may & MAY_DELIVER) ||
        (abi < ABI_REFER && (may & MAY_WRITE_QUEUE)))
        return RC_OK;
    wanted.handled_access_fs = RIGHTS_READ | RIGHTS_WRITE | RIGHTS_NEVER;
    if (abi < ABI_REFER)
        wanted.handled_access_fs &= ~LANDLOCK_ACCESS_FS_REFER;
    if (abi < ABI_TRUNCATE)
        wanted.handled_access_fs &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
    rules.handled = wanted.handled_access_fs;
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &wanted, sizeof wanted, 0);
    if (rules.fd < 0)
        return FAIL(why, RC_TEMP, "sandbox: %m");
    s->ruleset = rules.fd;
    return allow_all(r, &rules, why);
}

enum rc sandbox_enter(struct runtime *r, const struct sandbox *s, struct why *why)
{
    if (s->is_off)
        return RC_OK;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return FAIL(why, RC_TEMP, "no_new_privs: %m");
    if (s->ruleset >= 0) {
        if (syscall(SYS_landlock_restrict_self, s->ruleset, 0) < 0)
            return FAIL(why, RC_TEMP, "sandbox: %m; service_sandbox = no turns it off");
        close(s->ruleset);
    }
    TRY(seccomp_enter(why));
    log_debug(&r->env.log, "sandbox: Landlock %s, seccomp on", s->ruleset >= 0 ? "on" : "off");
    return RC_OK;
}
