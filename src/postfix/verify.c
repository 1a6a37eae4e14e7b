/*
 * Is the configuration one with which the system can run?
 *
 * main.cf and master.cf are checked here. Whether tables, restrictions and other settings of a
 * service are right knows the service: it is asked with --check, which does all that it does at a
 * start before the first session, as many at once as there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/check.h"
#include "postfix/postfix.h"
#include "util/buf.h"

enum { OUTPUT_MAX = 64 * 1024, QUESTIONS_MAX = 64 };

static enum rc check_directory(const char *parameter, struct str path, struct why *why)
{
    struct stat st;

    if (path.n == 0 || path.p[0] != '/')
        return FAIL(why, RC_CONFIG, "%s = %s: not an absolute path name", parameter, path.p);
    if (stat(path.p, &st) < 0)
        return FAIL(why, RC_CONFIG, "%s = %s: %m", parameter, path.p);
    if (!S_ISDIR(st.st_mode))
        return FAIL(why, RC_CONFIG, "%s = %s: not a directory", parameter, path.p);
    return RC_OK;
}

/* maillog_file must be below one of maillog_file_prefixes. */
static enum rc check_maillog(const struct config *c, struct why *why)
{
    struct str rest = c->maillog_file_prefixes, prefix, path = c->maillog_file;

    if (path.n == 0)
        return RC_OK;
    while (str_token(&rest, LIST_SEPARATORS, &prefix))
        if (str_has_prefix(path, prefix) &&
            (prefix.p[prefix.n - 1] == '/' || path.n == prefix.n || path.p[prefix.n] == '/'))
            return RC_OK;
    return FAIL(why, RC_CONFIG,
                "maillog_file = %s: not below a directory of maillog_file_prefixes (%s)", path.p,
                c->maillog_file_prefixes.p);
}

enum rc verify_installation(const struct postfix *p, struct why *why)
{
    const struct config *c = p->config;

    TRY(check_directory("command_directory", c->command_directory, why));
    TRY(check_directory("daemon_directory", c->daemon_directory, why));
    if (c->queue_directory.n == 0 || c->queue_directory.p[0] != '/')
        return FAIL(why, RC_CONFIG, "queue_directory = %s: not an absolute path name",
                    c->queue_directory.p);
    return check_maillog(c, why);
}

static void say(void *context, bool is_error, const char *words)
{
    const struct postfix *p = context;

    if (is_error)
        log_error(&p->log, "%s", words);
    else
        log_warning(&p->log, "%s", words);
}

/* ---- asking services ---- */

struct question {
    const struct master_entry *entry;
    pid_t pid;
    int output;
};

static bool is_one_of(struct str command, const char *const *names)
{
    for (; *names; names++)
        if (str_eq(command, str_of(*names)))
            return true;
    return false;
}

/* No mail comes in without them: what they refuse is a mistake. */
static bool is_needed(struct str command)
{
    static const char *const names[] = {"smtpd", "cleanup", "trivial-rewrite", "pickup", NULL};

    return is_one_of(command, names);
}

/* Programs that look at many settings when they start, and change nothing by that. */
static bool is_worth_asking(struct str command, bool thorough)
{
    static const char *const first[] = {"smtpd", NULL};
    static const char *const others[] = {"bounce", "cleanup",         "discard",  "error",   "lmtp",
                                         "local",  "pickup",          "pipe",     "qmqpd",   "smtp",
                                         "spawn",  "trivial-rewrite", "smtpfwdd", "virtual", NULL};

    return is_one_of(command, first) || (thorough && is_one_of(command, others));
}

/* Would that entry answer the same? */
static bool is_same(const struct master_entry *x, const struct master_entry *y)
{
    if (!str_eq(x->command, y->command) || x->args_n != y->args_n)
        return false;
    for (size_t i = 0; i < x->args_n; i++)
        if (!str_eq(x->args[i], y->args[i]))
            return false;
    return true;
}

static enum rc ask(const struct postfix *p, struct question *q, struct arena *a, struct why *why)
{
    const struct master_entry *e = q->entry;
    VEC(char *) argv = {0};
    int fds[2];

    vec_add(a, &argv, arena_text(a, e->command));
    vec_add(a, &argv, (char *)"--check");
    vec_add(a, &argv, (char *)"-n");
    vec_add(a, &argv, arena_text(a, e->name));
    vec_add(a, &argv, (char *)"-t");
    vec_add(a, &argv, (char *)master_type_name(e->type));
    for (size_t i = 0; i < e->args_n; i++)
        vec_add(a, &argv, (char *)e->args[i].p);
    vec_add(a, &argv, NULL);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return FAIL(why, RC_TEMP, "pipe: %m");
    q->pid =
        program_start(program_path(a, p->config->daemon_directory, argv.v[0]), argv.v, fds[1], why);
    close(fds[1]);
    q->output = fds[0];
    return q->pid < 0 ? RC_CONFIG : RC_OK;
}

/* A file of an indexed table is not there: its source may be. */
static const char *remedy(struct str words)
{
    return str_has_suffix(words, STR("db: No such file or directory"))
               ? "; make it with postmap, or with newaliases when it holds aliases"
               : "";
}

/* "smtpd: fatal: words". Without a running system the proxymap service does not answer: that is no
 * mistake. */
static void pass_on(const struct postfix *p, const struct question *q, struct str line)
{
    ssize_t word = str_find(line, STR(": "));
    struct str words = word < 0 ? line : str_from(line, (size_t)word + 2);

    if (line.n == 0 || str_find(line, STR("private/proxymap")) >= 0)
        return;
    if (str_has_prefix(words, STR("fatal: ")) && !is_needed(q->entry->command))
        log_warning(&p->log, "service " STR_FMT " will not start: " STR_FMT,
                    STR_ARG(q->entry->name), STR_ARG(str_from(words, 7)));
    else if (str_has_prefix(words, STR("fatal: ")))
        log_error(&p->log, "service " STR_FMT ": " STR_FMT, STR_ARG(q->entry->name),
                  STR_ARG(str_from(words, 7)));
    else if (str_has_prefix(words, STR("warning: ")))
        log_warning(&p->log, "service " STR_FMT ": " STR_FMT "%s", STR_ARG(q->entry->name),
                    STR_ARG(str_from(words, 9)), remedy(words));
    else
        log_warning(&p->log, "service " STR_FMT ": " STR_FMT, STR_ARG(q->entry->name),
                    STR_ARG(line));
}

static bool hear(const struct postfix *p, const struct question *q)
{
    AUTO_BUF text;
    struct str rest;
    char *room;
    ssize_t n;
    int status;

    buf_init(&text, OUTPUT_MAX);
    while ((room = buf_room(&text, 1024)) != NULL) {
        n = read(q->output, room, 1024);
        if (n <= 0)
            break;
        text.n += (size_t)n;
    }
    close(q->output);
    status = program_wait(q->pid);
    rest = buf_str(&text);
    while (rest.n)
        pass_on(p, q, str_cut(&rest, '\n'));
    if (status != 0 && text.n == 0)
        log_error(&p->log, "service " STR_FMT ": %s ends with status %d before its start",
                  STR_ARG(q->entry->name), q->entry->command.p, status);
    return status == 0 || !is_needed(q->entry->command);
}

/* A program that is not there concerns its service alone. */
static bool is_there(const struct postfix *p, const struct master_cf *m,
                     const struct master_entry *e, struct arena *a)
{
    const char *path = program_path(a, p->config->daemon_directory, e->command.p);

    if (access(path, X_OK) == 0)
        return true;
    log_warning(&p->log, "%s, line %d: service %s cannot run: %s: %m", m->path, e->line, e->name.p,
                path);
    return false;
}

static bool ask_services(const struct postfix *p, const struct master_cf *m, bool thorough,
                         struct arena *a)
{
    struct question questions[QUESTIONS_MAX];
    size_t n = 0;
    bool fine = true;

    for (size_t i = 0; i < m->n && n < QUESTIONS_MAX; i++) {
        struct why why;
        bool asked =
            !is_there(p, m, &m->entries[i], a) || !is_worth_asking(m->entries[i].command, thorough);
        for (size_t j = 0; j < n && !asked; j++)
            asked = is_same(questions[j].entry, &m->entries[i]);
        if (asked)
            continue;
        questions[n].entry = &m->entries[i];
        if (ask(p, &questions[n], a, &why) == RC_OK) {
            n++;
            continue;
        }
        log_error(&p->log, "%s, line %d: %s", m->path, m->entries[i].line, why.text);
        fine = false;
    }
    for (size_t i = 0; i < n; i++)
        fine = hear(p, &questions[i]) && fine;
    return fine;
}

bool verify_configuration(const struct postfix *p, bool thorough)
{
    const struct check_report report = {say, (void *)p};
    const struct master_reading how = {.config = p->config};
    AUTO_ARENA a = arena_new(16 * 1024);
    struct master_cf services = {0};
    struct why why;

    if (config_check(p->config_directory, &report) != RC_OK)
        return false;
    if (master_cf_load(p->config_directory, &how, a, &services, &why) != RC_OK) {
        log_error(&p->log, "%s", why.text);
        return false;
    }
    return ask_services(p, &services, thorough, a);
}
