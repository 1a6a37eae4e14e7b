/*
 * postfix - start, stop, check and maintain a mail system.
 *
 * postfix [-Dv] [-c config_dir] command. No shell, no scripts: what it does is in the functions
 * that the table below names. Lines go to the log and to standard error.
 */
#include "postfix/postfix.h"

#include <stdlib.h>
#include <unistd.h>

#include "service/command.h"
#include "util/memory.h"

static const struct {
    const char *word;
    int (*run)(struct postfix *p);
} commands[] = {
    {"start", run_start},
    {"start-fg", run_start_fg},
    {"quick-start", run_quick_start},
    {"stop", run_stop},
    {"quick-stop", run_quick_stop},
    {"abort", run_abort},
    {"drain", run_drain},
    {"reload", run_reload},
    {"status", run_status},
    {"flush", run_flush},
    {"check", run_check},
    {"check-fatal", run_check_fatal},
    {"check-warn", run_check_warn},
    {"set-permissions", run_set_permissions},
    {"upgrade-configuration", run_upgrade_configuration},
    {"post-install", run_set_permissions},
    {"logrotate", run_logrotate},
    {"tls", run_tls},
    {"non-bdb", run_non_bdb},
};

/* The program that takes a command to all instances; it comes back here with -c. */
static void hand_to_wrapper(const struct postfix *p, char **words, bool chosen)
{
    struct str rest = p->config->multi_instance_wrapper, word;
    AUTO_ARENA a = arena_new(512);
    VEC(char *) argv = {0};

    if (rest.n == 0 || chosen)
        return;
    while (str_token(&rest, LIST_SEPARATORS, &word))
        vec_add(a, &argv, arena_text(a, word));
    for (; *words; words++)
        vec_add(a, &argv, *words);
    vec_add(a, &argv, NULL);
    execvp(argv.v[0], argv.v);
    log_fatal(&p->self, 1, "multi_instance_wrapper: %s: %m", argv.v[0]);
}

static void open_logs(struct postfix *p)
{
    AUTO_ARENA a = arena_new(512);
    struct str tag = arena_printf(a, STR_FMT "/postfix-script", STR_ARG(p->config->syslog_name));

    command_open_log(&p->log, p->config, tag.p, tag.p);
    p->log.verbose = p->verbose;
}

static _Noreturn void usage(const struct postfix *p)
{
    log_fatal(&p->self, 1, "usage: postfix [-c config_dir] [-Dv] command");
}

static const char *absolute(const struct postfix *p, const char *dir)
{
    char *path = realpath(dir, NULL);

    if (path == NULL)
        log_fatal(&p->self, 1, "configuration directory %s: %m", dir);
    setenv("MAIL_CONFIG", path, 1);
    return path;
}

static void load(struct postfix *p, const char *word)
{
    struct config_request request = {.dir = p->config_directory, .process_name = "postfix"};
    struct why why;

    if (config_load(&request, &p->config, &why) != RC_OK)
        log_fatal(&p->self, 1, "%s", why.text);
    p->rootless = geteuid() != 0;
    open_logs(p);
    if (p->rootless && remote_is_wanted(p, word) && accounts_check_caller(p, &why) != RC_OK)
        exit(remote_run(p, word));
    if (accounts_check_caller(p, &why) != RC_OK)
        log_fatal(&p->self, 1, "%s", why.text);
}

int main(int argc, char **argv)
{
    const struct log_options first = {.progname = "postfix", .only_stderr = true};
    struct postfix *p = NEW(struct postfix);
    const char *directory = NULL, *chosen = getenv("MAIL_CONFIG");
    int letter;

    log_open(&p->self, &first);
    while ((letter = getopt(argc, argv, "+c:Dv")) > 0) {
        if (letter == 'c')
            directory = chosen = optarg;
        else if (letter == 'D')
            p->debugger = true;
        else if (letter == 'v')
            p->verbose++;
        else
            usage(p);
    }
    if (optind >= argc)
        usage(p);
    p->config_directory = absolute(p, directory ? directory : config_default_dir());
    load(p, argv[optind]);
    hand_to_wrapper(p, argv + optind, chosen && *chosen);
    p->argc = argc - optind - 1;
    p->argv = argv + optind + 1;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].word, argv[optind]) == 0)
            return commands[i].run(p);
    log_error(&p->log, "unknown command: '%s'", argv[optind]);
    log_fatal(&p->log, 1,
              "usage: postfix start (or start-fg, stop, quick-stop, reload, abort, drain, flush, "
              "check, status, set-permissions, upgrade-configuration, logrotate)");
}
