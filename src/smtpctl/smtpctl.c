/*
 * smtpctl - OpenSMTPD's command to look at and control the mail system; also makemap, newaliases,
 * mailq, sendmail and send-mail, by the name it is called with (mailer.conf).
 *
 * Asks control(8) for what concerns running services and qmgr(8) for destinations; what waits is
 * read from the queue files and changed by postsuper(1) and postqueue(1). See smtpctl(8).
 */
#include "smtpctl/smtpctl.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "service/lock.h"
#include "util/file.h"

enum { ENVIRONMENT_MAX = 1024 * 1024, STOP_TRIES = 200, STOP_STEP_US = 50 * 1000 };

/* What the row says, about what it says or what stands on the command line. */
static int do_ask(struct smtpctl *s)
{
    const char *argument = s->verb->argument ? s->verb->argument : s->words[0];
    struct str text;
    bool ok = ask(s, s->verb->word, argument ? argument : "", &text);

    return say_result(ok, text);
}

static int do_log(struct smtpctl *s)
{
    struct str text;

    if (s->set != SET_2011)
        return do_ask(s);
    if (!ask(s, s->verb->word, "", &text))
        return say_result(false, text);
    puts("logging request sent.");
    return STATUS_DONE;
}

static int invalid_keyword(const struct smtpctl *s, const char *kind)
{
    fprintf(stderr, "smtpctl: invalid %s keyword: %s\n", kind, s->words[0]);
    return STATUS_FAILED;
}

static int do_trace(struct smtpctl *s)
{
    return board_trace_bit(str_of(s->words[0])) ? do_ask(s) : invalid_keyword(s, "trace");
}

static int do_profile(struct smtpctl *s)
{
    return board_profile_bit(str_of(s->words[0])) ? do_ask(s) : invalid_keyword(s, "profile");
}

static int run_postfix(struct smtpctl *s, const char *word)
{
    const char *argv[] = {"postfix", word, NULL};

    return run_command(s, argv, STR_NONE, true);
}

int do_reload(struct smtpctl *s)
{
    ask_connect(s);
    return say_result(run_postfix(s, "reload") == 0, STR_NONE);
}

/* Also the link to it where OpenSMTPD has its socket. */
static void remove_socket(const char *path)
{
    static const char link[] = "/var/run/smtpd.sock";
    char target[4096];
    ssize_t n = readlink(link, target, sizeof target);

    if (n > 0 && str_eq((struct str){target, (size_t)n}, str_of(path)))
        unlink(link);
    unlink(path);
}

/* Done when nobody holds the lock any more; a socket that nobody listens at goes away. */
static int do_stop(struct smtpctl *s)
{
    struct str text;
    struct why why;
    pid_t pid = 1;

    if (!ask(s, "stop", "", &text))
        return say_result(false, text);
    for (int i = 0; i < STOP_TRIES && pid; i++) {
        usleep(STOP_STEP_US);
        if (master_lock_test(s->command.config, &pid, &why) != RC_OK)
            break;
    }
    if (pid == 0)
        remove_socket(s->command.config->smtpctl_socket.p);
    return say_result(pid == 0, STR_NONE);
}

static const struct verb verbs[] = {
    {"discover <id>", SET_CURRENT, false, do_discover, NULL, NULL},
    {"pause mta from <addr> for <domain>", SET_CURRENT, false, do_block, NULL, NULL},
    {"resume mta from <addr> for <domain>", SET_CURRENT, false, do_unblock, NULL, NULL},
    {"pause mta", SET_BOTH, false, do_ask, "pause", "mta"},
    {"resume mta", SET_BOTH, false, do_ask, "resume", "mta"},
    {"pause mda", SET_BOTH, false, do_ask, "pause", "mda"},
    {"resume mda", SET_BOTH, false, do_ask, "resume", "mda"},
    {"pause smtp", SET_BOTH, false, do_ask, "pause", "smtp"},
    {"resume smtp", SET_BOTH, false, do_ask, "resume", "smtp"},
    {"pause envelope <id>", SET_CURRENT, false, do_pause_envelope, NULL, NULL},
    {"resume envelope <id>", SET_CURRENT, false, do_resume_envelope, NULL, NULL},
    {"resume route <id>", SET_CURRENT, false, do_resume_route, NULL, NULL},
    {"show envelope <id>", SET_CURRENT, false, show_envelope, NULL, NULL},
    {"show message <id>", SET_CURRENT, false, show_message, NULL, NULL},
    {"show hosts", SET_CURRENT, false, show_hosts, NULL, NULL},
    {"show hoststats", SET_CURRENT, false, show_hoststats, NULL, NULL},
    {"show mta paused", SET_CURRENT, false, show_mta_paused, NULL, NULL},
    {"show queue [id]", SET_BOTH, false, show_queue, NULL, NULL},
    {"show runqueue", SET_2011, false, show_runqueue, NULL, NULL},
    {"show relays", SET_CURRENT, false, show_relays, NULL, NULL},
    {"show routes", SET_CURRENT, false, show_routes, NULL, NULL},
    {"show sizes", SET_2011, false, show_sizes, NULL, NULL},
    {"show stats", SET_BOTH, false, show_stats, NULL, NULL},
    {"show status", SET_CURRENT, false, show_status, NULL, NULL},
    {"log brief", SET_BOTH, false, do_log, "brief", NULL},
    {"log verbose", SET_BOTH, false, do_log, "verbose", NULL},
    {"monitor", SET_BOTH, false, do_monitor, NULL, NULL},
    {"profile <subsystem>", SET_CURRENT, false, do_profile, "profile", NULL},
    {"unprofile <subsystem>", SET_CURRENT, false, do_profile, "unprofile", NULL},
    {"trace <subsystem>", SET_CURRENT, false, do_trace, "trace", NULL},
    {"untrace <subsystem>", SET_CURRENT, false, do_trace, "untrace", NULL},
    {"remove <id>", SET_BOTH, false, do_remove, NULL, NULL},
    {"schedule <id>", SET_CURRENT, false, do_schedule, NULL, NULL},
    {"schedule-all", SET_2011, false, do_schedule_all, NULL, NULL},
    {"schedule-id <id>", SET_2011, false, do_schedule, NULL, NULL},
    {"uncorrupt <id>", SET_CURRENT, false, do_uncorrupt, NULL, NULL},
    {"update table <name>", SET_CURRENT, false, do_update_table, NULL, NULL},
    {"encrypt [string]", SET_CURRENT, true, do_encrypt, NULL, NULL},
    {"spf walk", SET_CURRENT, true, do_spf_walk, NULL, NULL},
    {"stop", SET_2011, false, do_stop, NULL, NULL},
    {"reload", SET_BOTH, false, do_reload, NULL, NULL},
};

/* ---- start ---- */

static pid_t running_master(const struct config *config)
{
    struct why why;
    pid_t pid = 0;

    return master_lock_test(config, &pid, &why) == RC_OK ? pid : 0;
}

/* The configuration directory that master was started with; p == NULL: cannot be known. */
static struct str directory_of(struct smtpctl *s, pid_t master)
{
    struct str path = arena_printf(s->arena, "/proc/%d/environ", (int)master), text, item;
    struct why why;

    if (file_read(path.p, ENVIRONMENT_MAX, s->arena, &text, &why) != RC_OK)
        return STR_NONE;
    while (text.n) {
        item = str_cut(&text, '\0');
        if (str_has_prefix(item, STR("MAIL_CONFIG=/")))
            return arena_copy(s->arena, str_from(item, 12));
    }
    return STR_NONE;
}

/* What runs on this queue counts, which may be what opensmtpd(8) has made of smtpd.conf. */
static void prefer_running(struct smtpctl *s)
{
    struct command *c = &s->command;
    struct str front =
        arena_printf(s->arena, STR_FMT "/smtpd.d", STR_ARG(c->config->data_directory));
    pid_t master = running_master(c->config);
    struct str dir = master ? directory_of(s, master) : STR_NONE;

    if (dir.n && !str_eq(dir, str_of(config_default_dir())) &&
        access(arena_printf(s->arena, STR_FMT "/main.cf", STR_ARG(dir)).p, R_OK) == 0)
        command_configure(c, dir.p);
    s->is_front = str_eq(str_of(config_default_dir()), front);
}

static void configure(struct smtpctl *s, const char *dir)
{
    command_configure(&s->command, dir);
    if (dir == NULL)
        prefer_running(s);
    s->running = running_master(s->command.config) != 0;
    s->set = str_eq(s->command.config->smtpctl_dialect, STR("2011")) ? SET_2011 : SET_CURRENT;
}

/* Another program of the suite, under the name that this one was called with. */
static _Noreturn void become_sendmail(struct smtpctl *s, const char *name, char **argv)
{
    argv[0] = (char *)name;
    become(s, s->command.config->sendmail_path.p, (const char *const *)argv);
}

/* As mailwrapper(8) and links call it. Returns when the name is smtpctl. */
static void act_by_name(struct smtpctl *s, int argc, char **argv)
{
    const char *name = s->command.name;

    if (strcmp(name, "makemap") == 0)
        exit(makemap(s, argc, argv));
    if (strcmp(name, "newaliases") == 0)
        exit(newaliases(s, argc, argv));
    if (strcmp(name, "mailq") == 0 && s->is_front && argc == 1)
        exit(show_queue(s));
    if (strcmp(name, "mailq") == 0)
        become_sendmail(s, "mailq", argv);
    if (strcmp(name, "sendmail") == 0 || strcmp(name, "send-mail") == 0)
        become_sendmail(s, "sendmail", argv);
}

static const char *read_options(int *argc, char ***argv)
{
    const char *dir = NULL;

    if (*argc > 2 && strcmp((*argv)[1], "-c") == 0) {
        dir = (*argv)[2];
        *argc -= 2;
        *argv += 2;
    }
    return dir;
}

/* As control(8) sees it. */
static bool may_control(const struct command *c)
{
    const struct passwd *owner = getpwnam(c->config->mail_owner.p);

    return c->privileged || (owner && owner->pw_uid == getuid());
}

int main(int argc, char **argv)
{
    struct smtpctl s = {.arena = arena_new(16 * 1024), .control = {.fd = -1}};
    const char *dir = NULL;
    int status;

    signal(SIGPIPE, SIG_IGN);
    command_init(&s.command, argv[0]);
    if (strcmp(s.command.name, "smtpctl") == 0)
        dir = read_options(&argc, &argv);
    configure(&s, dir);
    act_by_name(&s, argc, argv);
    s.verb = words_find(&s, verbs, sizeof verbs / sizeof *verbs, argc - 1, argv + 1);
    if (!s.verb->for_anyone && !may_control(&s.command)) {
        fputs("smtpctl: permission denied: need root privileges\n", stderr);
        return STATUS_FAILED;
    }
    status = s.verb->run(&s);
    if (s.control.fd >= 0)
        ipc_done(&s.control);
    arena_free(s.arena);
    return fflush(stdout) == 0 ? status : STATUS_FAILED;
}
