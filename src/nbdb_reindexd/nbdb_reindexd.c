/*
 * nbdb_reindexd - make the table that takes the place of a Berkeley DB file.
 *
 * A process that is told to open hash:/x as lmdb:/x, and finds no /x.lmdb, asks here. The table is
 * built from its text by postmap or postalias, as the owner of the text, and only below the
 * directories that non_bdb_migration_allow_*_prefixes name.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "deliver/process.h"
#include "util/clock.h"
#include "util/file.h"

enum { BUILD_MS = 100 * 1000 };

/* A path below one of the directories, without "..". */
static bool is_below(struct str path, struct str directories)
{
    struct str directory;

    if (path.n == 0 || path.p[0] != '/' || str_find(path, STR("/../")) >= 0)
        return false;
    while (str_token(&directories, LIST_SEPARATORS, &directory)) {
        while (directory.n > 1 && directory.p[directory.n - 1] == '/')
            directory.n--;
        if (str_has_prefix(path, directory) && path.n > directory.n && path.p[directory.n] == '/')
            return true;
    }
    return false;
}

/* Does an alias parameter name this file? Then its text has the form of aliases(5). */
static bool has_aliases(const struct config *c, struct str path)
{
    const struct str lists[] = {c->alias_maps, c->alias_database};
    struct str rest, word, name;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (rest = lists[i]; str_token(&rest, LIST_SEPARATORS, &word);) {
            name = word;
            str_cut(&name, ':');
            if (str_eq(name, path))
                return true;
        }
    return false;
}

static enum rc check(const struct service_env *env, struct str path, struct stat *source,
                     struct why *why)
{
    const struct config *c = env->config;
    struct str allowed;

    if (stat(path.p, source) < 0)
        return FAIL(why, RC_PERM, "%s: %m", path.p);
    allowed = source->st_uid == 0 ? c->non_bdb_migration_allow_root_prefixes
                                  : c->non_bdb_migration_allow_user_prefixes;
    if (!S_ISREG(source->st_mode) || !is_below(path, allowed))
        return FAIL(why, RC_PERM, "%s: not a file below %s = " STR_FMT, path.p,
                    source->st_uid == 0 ? "non_bdb_migration_allow_root_prefixes"
                                        : "non_bdb_migration_allow_user_prefixes",
                    STR_ARG(allowed));
    return RC_OK;
}

static enum rc build(struct service_env *env, struct arena *a, const struct reindex_request *q,
                     struct why *why)
{
    const struct config *c = env->config;
    struct str path = arena_copy(a, q->name);
    const char *program = has_aliases(c, path) ? "postalias" : "postmap";
    char *argv[] = {
        (char *)arena_printf(a, STR_FMT "/%s", STR_ARG(c->command_directory), program).p,
        (char *)"-c", (char *)c->config_directory.p,
        (char *)arena_printf(a, STR_FMT ":" STR_FMT, STR_ARG(q->type), STR_ARG(path)).p, NULL};
    AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct process p = {.argv = argv, .input = null, .output = null};
    struct environment e;
    struct stat source;
    pid_t pid;
    int status;

    TRY(check(env, path, &source, why));
    environment_init(&e, a, c);
    p.environment = environment_vector(&e);
    p.uid = source.st_uid;
    p.gid = source.st_gid;
    TRY(process_start(env, &p, &pid, why));
    if (process_wait(pid, clock_ms() + BUILD_MS, &status, why) != RC_OK) {
        process_kill(env, pid);
        return RC_TEMP;
    }
    if (status != 0)
        return FAIL(why, RC_PERM, "%s %s failed, wait status %d; its log lines say why", program,
                    argv[3], status);
    log_info(&env->log, "made %s with %s", argv[3], program);
    return RC_OK;
}

static void session(struct service_env *env, void *state, int fd)
{
    AUTO_ARENA a = arena_new(2048);
    struct reindex_request request = {0};
    struct status_reply reply = {0};
    struct why why = {0};
    struct ipc c;

    (void)state;
    ipc_init(&c, fd, env->config->ipc_timeout * 1000);
    if (ipc_read_reindex_request(&c, a, &request, NULL, &why) == RC_OK) {
        if (build(env, a, &request, &why) != RC_OK) {
            log_warning(&env->log, "%s", why.text);
            reply = (struct status_reply){1, str_of(why.text)};
        }
        (void)!ipc_send_status_reply(&c, &reply, -1, &why);
    }
    c.fd = -1; /* the runtime closes it */
    ipc_done(&c);
}

static const struct service nbdb_reindexd = {
    .name = "nbdb_reindexd",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_ROOT,
    .may = MAY_EXEC,
    .default_sessions = 1,
    .session = session,
};

int main(int argc, char **argv)
{
    return service_main(&nbdb_reindexd, argc, argv);
}
