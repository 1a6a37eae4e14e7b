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

static int ask_and_say(struct smtpctl *s, const char *word, const char *argument)
{
    struct str text;
    bool ok = ask(s, word, argument, &text);

    return say_result(ok, text);
}

static int log_level(struct smtpctl *s, const char *word)
{
    struct str text;
    bool ok = ask(s, word, "", &text);

    if (ok && s->set == SET_2011) {
        puts("logging request sent.");
        return STATUS_DONE;
    }
    return say_result(ok, text);
}

static int log_brief(struct smtpctl *s)
{
    return log_level(s, "brief");
}

static int log_verbose(struct smtpctl *s)
{
    return log_level(s, "verbose");
}

static int pause_mda(struct smtpctl *s)
{
    return ask_and_say(s, "pause", "mda");
}

static int pause_mta(struct smtpctl *s)
{
    return ask_and_say(s, "pause", "mta");
}

static int pause_smtp(struct smtpctl *s)
{
    return ask_and_say(s, "pause", "smtp");
}

static int resume_mda(struct smtpctl *s)
{
    return ask_and_say(s, "resume", "mda");
}

static int resume_mta(struct smtpctl *s)
{
    return ask_and_say(s, "resume", "mta");
}

static int resume_smtp(struct smtpctl *s)
{
    return ask_and_say(s, "resume", "smtp");
}

static int change_tracing(struct smtpctl *s, const char *word, const char *kind)
{
    bool is_profile = strcmp(kind, "profile") == 0;

    if ((is_profile ? board_profile_bit : board_trace_bit)(str_of(s->words[0])) == 0) {
        fprintf(stderr, "smtpctl: invalid %s keyword: %s\n", kind, s->words[0]);
        return STATUS_FAILED;
    }
    return ask_and_say(s, word, s->words[0]);
}

static int do_trace(struct smtpctl *s)
{
    return change_tracing(s, "trace", "trace");
}

static int do_untrace(struct smtpctl *s)
{
    return change_tracing(s, "untrace", "trace");
}

static int do_profile(struct smtpctl *s)
{
    return change_tracing(s, "profile", "profile");
}

static int do_unprofile(struct smtpctl *s)
{
    return change_tracing(s, "unprofile", "profile");
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
    {"discover <id>", SET_CURRENT, false, do_discover},
    {"pause mta from <addr> for <domain>", SET_CURRENT, false, do_block},
    {"resume mta from <addr> for <domain>", SET_CURRENT, false, do_unblock},
    {"pause mta", SET_BOTH, false, pause_mta},
    {"resume mta", SET_BOTH, false, resume_mta},
    {"pause mda", SET_BOTH, false, pause_mda},
    {"resume mda", SET_BOTH, false, resume_mda},
    {"pause smtp", SET_BOTH, false, pause_smtp},
    {"resume smtp", SET_BOTH, false, resume_smtp},
    {"pause envelope <id>", SET_CURRENT, false, do_pause_envelope},
    {"resume envelope <id>", SET_CURRENT, false, do_resume_envelope},
    {"resume route <id>", SET_CURRENT, false, do_resume_route},
    {"show envelope <id>", SET_CURRENT, false, show_envelope},
    {"show message <id>", SET_CURRENT, false, show_message},
    {"show hosts", SET_CURRENT, false, show_hosts},
    {"show hoststats", SET_CURRENT, false, show_hoststats},
    {"show mta paused", SET_CURRENT, false, show_mta_paused},
    {"show queue [id]", SET_BOTH, false, show_queue},
    {"show runqueue", SET_2011, false, show_runqueue},
    {"show relays", SET_CURRENT, false, show_relays},
    {"show routes", SET_CURRENT, false, show_routes},
    {"show sizes", SET_2011, false, show_sizes},
    {"show stats", SET_BOTH, false, show_stats},
    {"show status", SET_CURRENT, false, show_status},
    {"log brief", SET_BOTH, false, log_brief},
    {"log verbose", SET_BOTH, false, log_verbose},
    {"monitor", SET_BOTH, false, do_monitor},
    {"profile <subsystem>", SET_CURRENT, false, do_profile},
    {"unprofile <subsystem>", SET_CURRENT, false, do_unprofile},
    {"trace <subsystem>", SET_CURRENT, false, do_trace},
    {"untrace <subsystem>", SET_CURRENT, false, do_untrace},
    {"remove <id>", SET_BOTH, false, do_remove},
    {"schedule <id>", SET_CURRENT, false, do_schedule},
    {"schedule-all", SET_2011, false, do_schedule_all},
    {"schedule-id <id>", SET_2011, false, do_schedule},
    {"uncorrupt <id>", SET_CURRENT, false, do_uncorrupt},
    {"update table <name>", SET_CURRENT, false, do_update_table},
    {"encrypt [string]", SET_CURRENT, true, do_encrypt},
    {"spf walk", SET_CURRENT, true, do_spf_walk},
    {"stop", SET_2011, false, do_stop},
    {"reload", SET_BOTH, false, do_reload},
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
    const struct verb *verb;
    const char *dir = NULL;
    int status;

    signal(SIGPIPE, SIG_IGN);
    command_init(&s.command, argv[0]);
    if (strcmp(s.command.name, "smtpctl") == 0)
        dir = read_options(&argc, &argv);
    configure(&s, dir);
    act_by_name(&s, argc, argv);
    verb = words_find(&s, verbs, sizeof verbs / sizeof *verbs, argc - 1, argv + 1);
    if (!verb->for_anyone && !may_control(&s.command)) {
        fputs("smtpctl: permission denied: need root privileges\n", stderr);
        return STATUS_FAILED;
    }
    status = verb->run(&s);
    if (s.control.fd >= 0)
        ipc_done(&s.control);
    arena_free(s.arena);
    return fflush(stdout) == 0 ? status : STATUS_FAILED;
}
