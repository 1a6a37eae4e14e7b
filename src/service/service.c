/* From main() to the first session; the order is told in service.h. */
#include "service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/runtime.h"
#include "util/clock.h"
#include "util/memory.h"

enum { KEPT_FREE_BYTES = 512 * 1024 };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Log lines before the configuration is known go where the defaults say. */
static void open_first_log(struct runtime *r)
{
    const char *name = getenv("MAIL_LOGTAG");
    struct str tag =
        arena_printf(r->arena, "%s/%s", name && *name ? name : "postfix", r->process_name);
    struct log_options o = {.tag = tag.p, .progname = r->process_name};

    log_open(&r->env.log, &o);
}

/* A file for this service alone: postlogd writes another one. */
static bool has_own_log(const struct runtime *r)
{
    for (size_t i = 0; i < r->options.overrides_n; i++)
        if (str_eq(r->options.overrides[i].name, STR("maillog_file")))
            return true;
    return false;
}

static void open_log(struct runtime *r)
{
    const struct config *c = r->config;
    struct str tag =
        arena_printf(r->arena, STR_FMT "/%s", STR_ARG(c->syslog_name), r->process_name);
    struct str socket = arena_printf(r->arena, "public/" STR_FMT, STR_ARG(c->postlog_service_name));
    struct log_options o = {
        .tag = tag.p,
        .facility = c->syslog_facility.p,
        .file = r->options.check ? NULL : c->maillog_file.p,
        .file_mode = c->maillog_file_permissions.p,
        .postlog = has_own_log(r) ? NULL : socket.p,
        .progname = r->process_name,
        .only_stderr = r->options.check,
    };

    log_close(&r->env.log);
    log_open(&r->env.log, &o);
    r->env.log.verbose = r->options.verbose;
    if (r->env.board.switches)
        log_watch(&r->env.log, &r->env.board.switches->trace,
                  board_trace_of_program(r->service->name));
}

/* -S, --inetd, --check: master has no part in it. */
static bool runs_alone(const struct runtime *r)
{
    return r->options.on_stdin || r->options.inetd || r->options.check;
}

/*
 * Master has made queue_directory the working directory. Without it the configuration tells where
 * that is.
 */
static enum rc load_configuration(struct runtime *r, struct why *why)
{
    const struct config_setting here = {STR("queue_directory"), STR("."), STR_NONE};
    VEC(struct config_setting) settings = {0};
    struct config_request request = {.service_name = r->env.name, .process_name = r->process_name};
    struct config *first;

    for (size_t i = 0; i < r->options.overrides_n; i++)
        vec_add(r->arena, &settings, r->options.overrides[i]);
    if (!runs_alone(r))
        vec_add(r->arena, &settings, here);
    request.overrides = settings.v;
    request.overrides_n = settings.n;
    TRY(config_load(&request, &first, why));
    r->config = first;
    if (!runs_alone(r))
        return RC_OK;
    if (chdir(first->queue_directory.p) < 0)
        return FAIL(why, RC_CONFIG, "chdir %s: %m; does queue_directory name it?",
                    first->queue_directory.p);
    return config_overlay(first, &here, 1, &r->config, why);
}

/* Descriptors from master are not for the programs that this process may run. */
static enum rc adopt_descriptors(struct runtime *r, struct why *why)
{
    int type = 0;
    socklen_t n = sizeof type;

    r->status_fd = -1;
    board_join(&r->env.board);
    r->is_smtp = board_is_smtp(r->service->name, r->env.type);
    if (runs_alone(r))
        return RC_OK;
    if (getsockopt(STATUS_FD, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET)
        return FAIL(why, RC_CONFIG, "this program is run by master(8); use: postfix start");
    r->status_fd = STATUS_FD;
    for (int fd = FLOW_READ_FD; fd < FIRST_LISTEN_FD + r->options.listeners; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    for (long i = 0; i < r->options.listeners; i++)
        TRY(service_listen(&r->env, FIRST_LISTEN_FD + (int)i, why));
    return RC_OK;
}

static struct listener listener_of(int fd)
{
    struct stat st = {0};
    int type = 0;
    socklen_t n = sizeof type;

    fstat(fd, &st);
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n);
    return (struct listener){fd, S_ISFIFO(st.st_mode), type == SOCK_DGRAM};
}

enum rc service_listen(struct service_env *env, int fd, struct why *why)
{
    struct runtime *r = env->runtime;

    if (r->n_listeners == LISTENERS_MAX)
        return FAIL(why, RC_CONFIG, "more than %d listening sockets", LISTENERS_MAX);
    r->listeners[r->n_listeners++] = listener_of(fd);
    return RC_OK;
}

/* debugger_command, for a process that was started with -D. */
static void run_debugger(struct runtime *r)
{
    struct str command = r->config->debugger_command, expanded;

    if (!r->options.debugger || command.n == 0 ||
        config_expand(r->config, r->arena, command, &expanded, NULL) != RC_OK)
        return;
    expanded = arena_printf(r->arena, "(" STR_FMT ")&", STR_ARG(expanded));
    if (system(expanded.p) == 0)
        sleep(5); /* until the debugger has attached */
}

static enum rc prepare(struct runtime *r, int argc, char **argv, struct why *why)
{
    const struct service *service = r->service;

    TRY(service_options_parse(argc, argv, r->arena, &r->options, why));
    r->env.name = r->options.name ? r->options.name : r->process_name;
    r->env.type = r->options.type;
    r->env.argc = r->options.argc;
    r->env.argv = r->options.argv;
    r->env.on_stdin = r->options.on_stdin;
    r->env.checking = r->options.check;
    r->env.rootless = geteuid() != 0;
    TRY(adopt_descriptors(r, why));
    TRY(load_configuration(r, why));
    atomic_store(&r->session_config, r->config);
    use_current_config(r, &r->env);
    open_log(r);
    TRY(find_mail_owner(r, why));
    run_debugger(r);
    if (service->shape == SERVICE_LOOP)
        r->env.loop = loop_new();
    if (service->start)
        TRY(service->start(&r->env, &r->state, why));
    if (r->options.check) {
        TRY(limit_memory(r, why));
        exit(0);
    }
    if (!r->options.on_stdin) /* it acts for the user who runs it, with that user's rights */
        TRY(confine(r, why));
    TRY(limit_memory(r, why));
    if (service->confined)
        TRY(service->confined(&r->env, r->state, why));
    return RC_OK;
}

int service_main(const struct service *service, int argc, char **argv)
{
    struct runtime *r = NEW(struct runtime);
    struct why why = {0};

    signal(SIGPIPE, SIG_IGN);
    umask(077);
    mallopt(M_ARENA_MAX, 2); /* small processes matter more than parallel malloc */
    /* but what each message needs for a moment does not go back to the kernel every time */
    mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES);
    r->service = service;
    r->process_name = base_name(argv[0]);
    r->arena = arena_new(4096);
    r->env.service = service;
    r->env.runtime = r;
    r->last_end_ms = clock_ms();
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->wakeup_lock, NULL);
    open_first_log(r);
    if (prepare(r, argc, argv, &why) != RC_OK)
        log_fatal(&r->env.log, 1, "%s", why.text);
    if (r->options.on_stdin || r->options.inetd)
        stdin_run(r);
    if (service->shape == SERVICE_LOOP)
        loop_shape_run(r);
    session_shape_run(r);
}
