#include "table/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "util/buf.h"
#include "util/file.h"
#include "util/json.h"

enum { SOURCE_MAX = 1024 * 1024 * 1024, LINE_MAX_BYTES = 16 * 1024 * 1024 };

/* ---- options ---- */

_Noreturn static void usage(const struct tool_run *run)
{
    log_fatal(run->log, 1, "usage: %s %s", run->tool->name, run->tool->usage);
}

static void set_mode(struct tool_run *run, enum tool_mode mode, const char *key)
{
    if (run->mode != TOOL_MAKE)
        log_fatal(run->log, 1, "specify only one of -s -q or -d");
    run->mode = mode;
    run->key = key;
}

static void check_options(struct tool_run *run)
{
    bool from_stdin = run->mode == TOOL_QUERY && strcmp(run->key, "-") == 0;

    if ((run->flags & TABLE_REPLACE) && (run->flags & TABLE_IGNORE_DUP))
        log_fatal(run->log, 1, "specify only one of -r and -w");
    if (run->mime && !run->body && !run->header)
        log_warning(run->log, "ignoring -m option without -b or -h");
    if ((run->body || run->header) && !from_stdin)
        log_fatal(run->log, 1, "specify -b -h or -m only with \"-q -\"");
    if ((run->body || run->header) && !run->force_utf8)
        run->flags |= TABLE_BYTES;
    if (run->json && run->mode != TOOL_QUERY && run->mode != TOOL_LIST)
        log_fatal(run->log, 1, "specify -j only with -s or -q");
}

static void read_options(struct tool_run *run, struct log *log, int argc, char **argv)
{
    int c;

    argv[0] = (char *)run->tool->name; /* getopt() puts it in front of its messages */
    while ((c = getopt(argc, argv, run->tool->letters)) > 0)
        switch (c) {
        case 'b': run->body = true; break;
        case 'c': setenv("MAIL_CONFIG", optarg, 1); break;
        case 'd': set_mode(run, TOOL_DELETE, optarg); break;
        case 'f': run->flags |= TABLE_FOLD_KEEP; break;
        case 'F': run->flags |= TABLE_BASE64; break;
        case 'h': run->header = true; break;
        case 'i': run->incremental = true; break;
        case 'j': run->json = true; break;
        case 'm': run->mime = true; break;
        case 'n': run->flags = (run->flags & ~(unsigned)TABLE_NUL) | TABLE_NO_NUL; break;
        case 'N': run->flags = (run->flags & ~(unsigned)TABLE_NO_NUL) | TABLE_NUL; break;
        case 'o': run->keep_root = true; break;
        case 'p': run->default_mode = true; break;
        case 'q': set_mode(run, TOOL_QUERY, optarg); break;
        case 'r': run->flags |= TABLE_REPLACE; break;
        case 's': set_mode(run, TOOL_LIST, NULL); break;
        case 'u': run->flags |= TABLE_BYTES; break;
        case 'U': run->force_utf8 = true; break;
        case 'v': log->verbose++; break;
        case 'w': run->flags |= TABLE_IGNORE_DUP; break;
        default: usage(run);
        }
    run->tables = argv + optind;
    run->n_tables = argc - optind;
    if (run->n_tables == 0)
        usage(run);
    check_options(run);
}

/* ---- tables ---- */

/* The argument with the default type in front of it when it has none. */
static struct str full_name(const struct tool_run *run, const char *argument)
{
    if (strchr(argument, ':'))
        return str_of(argument);
    return arena_printf(run->arena, STR_FMT ":%s", STR_ARG(run->config->default_database_type),
                        argument);
}

static struct table *open_one(struct tool_run *run, const char *argument, unsigned flags)
{
    struct table *t;
    struct why why;

    if (table_open(full_name(run, argument), run->flags | flags | TABLE_STRICT, &run->env, &t,
                   &why) != RC_OK)
        log_fatal(run->log, 1, "%s", why.text);
    return t;
}

struct table **tool_open_all(struct tool_run *run)
{
    struct table **tables = arena_array(run->arena, struct table *, (size_t)run->n_tables);

    for (int i = 0; i < run->n_tables; i++)
        tables[i] = open_one(run, run->tables[i], 0);
    return tables;
}

static void close_all(struct tool_run *run, struct table **tables)
{
    for (int i = 0; i < run->n_tables; i++)
        table_close(tables[i]);
}

/* ---- output ---- */

static void print_pair(const struct tool_run *run, struct str key, struct str value)
{
    AUTO_BUF line = {0};

    if (!run->json) {
        printf(STR_FMT "%s\t" STR_FMT "\n", STR_ARG(key), run->tool->key_suffix, STR_ARG(value));
        return;
    }
    buf_init(&line, LINE_MAX_BYTES);
    buf_addc(&line, '{');
    json_add_string(&line, key);
    buf_add(&line, STR(": "));
    json_add_string(&line, value);
    buf_add(&line, STR("}\n"));
    fwrite(line.p, 1, line.n, stdout);
}

static int finish(const struct tool_run *run, bool found)
{
    if (fflush(stdout) != 0)
        log_fatal(run->log, 1, "write output: %s", strerrordesc_np(errno));
    return found ? 0 : 1;
}

/* ---- lookups ---- */

static void warn_empty(const struct tool_run *run, const struct table *t, struct str key,
                       struct str value)
{
    struct str name = table_name(t);

    if (value.n)
        return;
    log_warning(run->log, "table " STR_FMT ": key " STR_FMT ": empty string result is not allowed",
                STR_ARG(name), STR_ARG(key));
    log_warning(run->log, "table " STR_FMT " should return NO RESULT in case of NOT FOUND",
                STR_ARG(name));
}

static bool find_in(struct tool_run *run, struct table *t, struct str key, struct arena *a,
                    struct str *value)
{
    struct str other = run->tool->other_key ? run->tool->other_key(a, key) : key;
    struct str name = table_name(t);
    struct why why = {0};
    enum rc rc = table_get(t, key, a, value, &why);

    if (rc == RC_NONE && !str_eq(other, key))
        rc = table_get(t, other, a, value, &why);
    if (rc != RC_OK && rc != RC_NONE)
        log_fatal(run->log, 1, "table " STR_FMT ": query error: %s", STR_ARG(name), why.text);
    if (rc == RC_OK)
        warn_empty(run, t, key, *value);
    return rc == RC_OK;
}

bool tool_find_and_print(struct tool_run *run, struct table **tables, struct str key)
{
    AUTO_ARENA a = arena_new(1024);
    struct str value;

    for (int i = 0; i < run->n_tables; i++)
        if (find_in(run, tables[i], key, a, &value)) {
            print_pair(run, key, value);
            return true;
        }
    return false;
}

/* One key: tables are opened as far as they are needed. */
static int query_one(struct tool_run *run)
{
    bool found = false;

    for (int i = 0; !found && i < run->n_tables; i++) {
        AUTO_ARENA a = arena_new(1024);
        struct table *t = open_one(run, run->tables[i], 0);
        struct str value;
        found = find_in(run, t, str_of(run->key), a, &value);
        if (found && run->json)
            print_pair(run, str_of(run->key), value);
        else if (found)
            printf(STR_FMT "\n", STR_ARG(value));
        table_close(t);
    }
    return finish(run, found);
}

/* Call each(key) for every line of standard input. True: one of the calls said so. */
static bool for_each_line(struct tool_run *run, struct table **tables,
                          bool (*each)(struct tool_run *run, struct table **tables, struct str key))
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    bool any = false;

    while ((n = getline(&line, &size, stdin)) > 0) {
        struct str key = {line, (size_t)n};
        if (key.p[key.n - 1] == '\n')
            key.n--;
        any |= each(run, tables, key);
    }
    free(line);
    return any;
}

static int query_stdin(struct tool_run *run)
{
    struct table **tables;
    bool found;

    if (run->body || run->header)
        return finish(run, run->tool->query_message(run) == 0);
    tables = tool_open_all(run);
    found = for_each_line(run, tables, tool_find_and_print);
    close_all(run, tables);
    return finish(run, found);
}

/* ---- delete ---- */

static bool delete_from_all(struct tool_run *run, struct table **tables, struct str key)
{
    bool any = false;

    for (int i = 0; i < run->n_tables; i++) {
        AUTO_ARENA a = arena_new(512);
        struct str other = run->tool->other_key ? run->tool->other_key(a, key) : key;
        struct why why = {0};
        enum rc rc = table_delete(tables[i], key, &why);
        if (rc == RC_NONE && !str_eq(other, key))
            rc = table_delete(tables[i], other, &why);
        if (rc != RC_OK && rc != RC_NONE)
            log_fatal(run->log, 1, "table " STR_FMT ": delete error: %s",
                      STR_ARG(table_name(tables[i])), why.text);
        any |= rc == RC_OK;
    }
    return any;
}

static int delete_keys(struct tool_run *run)
{
    struct table **tables = arena_array(run->arena, struct table *, (size_t)run->n_tables);
    bool any;

    for (int i = 0; i < run->n_tables; i++)
        tables[i] = open_one(run, run->tables[i], TABLE_WRITE | TABLE_OLD_ONLY);
    any = strcmp(run->key, "-") == 0 ? for_each_line(run, tables, delete_from_all)
                                     : delete_from_all(run, tables, str_of(run->key));
    close_all(run, tables);
    return any ? 0 : 1;
}

/* ---- list ---- */

static int list(struct tool_run *run)
{
    AUTO_ARENA a = arena_new(4096);
    struct table *t = open_one(run, run->tables[0], 0);
    struct str key, value;
    struct why why;
    enum rc rc;

    for (bool first = true; (rc = table_next(t, first, a, &key, &value, &why)) == RC_OK;
         first = false) {
        warn_empty(run, t, key, value);
        print_pair(run, key, value);
        arena_reset(a);
    }
    if (rc != RC_NONE)
        log_fatal(run->log, 1, "%s", why.text);
    table_close(t);
    return finish(run, true);
}

/* ---- make ---- */

/* Become the owner of the source, and let the new file have its permissions. */
static void take_identity(const struct tool_run *run, const struct stat *st)
{
    if (!run->default_mode)
        umask(~st->st_mode & 0777);
    else
        umask(022);
    if (geteuid() != 0 || run->keep_root || st->st_uid == 0)
        return;
    if (setgroups(1, &st->st_gid) < 0 || setegid(st->st_gid) < 0 || seteuid(st->st_uid) < 0)
        log_fatal(run->log, 1, "cannot become the owner of the source file: %m");
}

static void return_to_root(void)
{
    gid_t group = getgid();

    if (geteuid() == getuid())
        return;
    if (seteuid(getuid()) < 0 || setegid(group) < 0 || setgroups(1, &group) < 0)
        abort(); /* never happens: the real and saved ids are still ours */
}

/* Half-made tables are no use: a signal takes effect when the table is complete. */
static void hold_signals(sigset_t *before)
{
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGQUIT);
    sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, before);
}

static void put(struct tool_run *run, struct table *t, const char *path, long line, struct str key,
                struct str value)
{
    struct why why;

    switch (table_put(t, key, value, &why)) {
    case RC_OK: break;
    case RC_NONE: log_warning(run->log, "%s", why.text); break;
    case RC_PERM: log_warning(run->log, "%s, line %ld: %s", path, line, why.text); break;
    default: log_fatal(run->log, 1, "%s", why.text);
    }
}

static void put_all(struct tool_run *run, struct table *t, const char *path, struct str text)
{
    bool utf8 = run->config->smtputf8_enable && !(run->flags & TABLE_BYTES);
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str key, value;
    struct source source;

    source_init(&source, text);
    while (run->tool->entry(&source, path, utf8, run->log, a, &key, &value)) {
        put(run, t, path, source.line, key, value);
        arena_reset(a);
    }
}

static void read_source(struct tool_run *run, const char *path, struct arena *a, struct stat *st,
                        struct str *text)
{
    AUTO_CLOSE int opened = run->incremental ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int fd = run->incremental ? STDIN_FILENO : opened;
    struct why why;

    if (fd < 0)
        log_fatal(run->log, 1, "open %s: %m", path);
    if (fstat(fd, st) < 0)
        log_fatal(run->log, 1, "fstat %s: %m", path);
    if (fd_read_all(fd, SOURCE_MAX, a, text, &why) != RC_OK)
        log_fatal(run->log, 1, "read %s: %s", path, why.text);
    if (!S_ISREG(st->st_mode)) { /* a pipe has no owner that matters */
        st->st_uid = geteuid();
        st->st_mode = 0644;
    }
}

/* Types whose source has a language of its own. */
static void compile_one(struct tool_run *run, struct str name, const char *path)
{
    sigset_t signals_before;
    struct stat st;
    struct why why;

    if (run->incremental)
        log_fatal(run->log, 1, "-i works with \"key value\" sources only, not with " STR_FMT,
                  STR_ARG(name));
    if (stat(path, &st) < 0)
        log_fatal(run->log, 1, "open %s: %m", path);
    st.st_mode &= 0666; /* a directory is no model for a file */
    take_identity(run, &st);
    hold_signals(&signals_before);
    if (table_compile(name, &run->env, &why) != RC_OK)
        log_fatal(run->log, 1, "%s", why.text);
    sigprocmask(SIG_SETMASK, &signals_before, NULL);
    return_to_root();
}

static void make_one(struct tool_run *run, const char *argument)
{
    struct str name = full_name(run, argument), file = name;
    AUTO_ARENA a = arena_new(64 * 1024);
    mode_t mask_before;
    sigset_t signals_before;
    struct table *t;
    struct stat st;
    struct str text;
    struct why why;
    char *path;

    (void)str_cut(&file, ':');
    path = arena_text(a, file);
    if (table_compiles(name)) {
        compile_one(run, name, path);
        return;
    }
    read_source(run, path, a, &st, &text);
    mask_before = umask(022);
    take_identity(run, &st);
    hold_signals(&signals_before);
    t = open_one(run, arena_text(a, name), run->incremental ? TABLE_WRITE : TABLE_CREATE);
    put_all(run, t, path, text);
    if (run->tool->extra_key.n && !run->incremental)
        put(run, t, path, 0, run->tool->extra_key, run->tool->extra_value);
    if (table_commit(t, &why) != RC_OK)
        log_fatal(run->log, 1, "%s", why.text);
    table_close(t);
    sigprocmask(SIG_SETMASK, &signals_before, NULL);
    return_to_root();
    umask(mask_before);
}

static int make(struct tool_run *run)
{
    for (int i = 0; i < run->n_tables; i++)
        make_one(run, run->tables[i]);
    return 0;
}

/* ---- main ---- */

static int run_mode(struct tool_run *run)
{
    switch (run->mode) {
    case TOOL_QUERY: return strcmp(run->key, "-") == 0 ? query_stdin(run) : query_one(run);
    case TOOL_DELETE: return delete_keys(run);
    case TOOL_LIST: return list(run);
    case TOOL_MAKE: break;
    }
    return make(run);
}

int tool_main(const struct tool *tool, int argc, char **argv)
{
    struct log log = {0};
    struct tool_run run = {.tool = tool, .log = &log, .arena = arena_new(4096)};
    struct config_request request = {.process_name = tool->name};
    struct config *config;
    struct why why;
    int status;

    log_open(&log, &(struct log_options){.only_stderr = true, .progname = tool->name});
    read_options(&run, &log, argc, argv);
    if (config_load(&request, &config, &why) != RC_OK)
        log_fatal(&log, 1, "%s", why.text);
    run.config = config;
    run.env = (struct table_env){config, &log};
    status = run_mode(&run);
    config_free(config);
    arena_free(run.arena);
    log_close(&log);
    return status;
}
