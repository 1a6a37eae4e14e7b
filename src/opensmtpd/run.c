/* Start the suite with the configuration that was made. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opensmtpd/generate.h"
#include "util/file.h"

static const char control_socket[] = "/var/run/smtpd.sock";

enum rc load_base(struct arena *a, const char *dir, struct config **out, struct why *why)
{
    static const struct str nothing = STR_INIT("");
    struct config_request request = {.dir = dir ? dir : config_default_dir()};
    const char *path = arena_printf(a, "%s/main.cf", request.dir).p;

    if (access(path, F_OK) != 0) /* smtpd.conf is enough */
        request.main_cf = &nothing;
    return config_load(&request, out, why);
}

/* Where programs of OpenSMTPD look for the control socket. */
static void link_control_socket(const struct generator *g)
{
    const char *socket =
        arena_printf(g->arena, STR_FMT "/public/smtpctl", STR_ARG(g->base->queue_directory)).p;
    struct stat st;

    if (getuid() != 0)
        return;
    if (lstat(control_socket, &st) == 0) {
        if (!S_ISLNK(st.st_mode))
            return; /* another mail system's */
        (void)unlink(control_socket);
    }
    if (symlink(socket, control_socket) < 0)
        fprintf(stderr, "warn: %s: %s\n", control_socket, strerror(errno));
}

static bool is_running(const struct generator *g)
{
    const char *path =
        arena_printf(g->arena, STR_FMT "/pid/master.pid", STR_ARG(g->base->queue_directory)).p;
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    struct why why;

    return fd >= 0 && fd_lock(fd, true, false, &why) != RC_OK;
}

/* Mail that the original has not delivered yet cannot be taken over. */
static void warn_of_old_queue(void)
{
    static const char queue[] = "/var/spool/smtpd/queue";
    DIR *dir = opendir(queue);
    const struct dirent *e;
    bool found = false;

    while (dir && (e = readdir(dir)))
        found = found || e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    if (found)
        fprintf(stderr,
                "warn: %s is not empty: let OpenSMTPD deliver that mail, it is not taken over\n",
                queue);
}

/* Options of the command line that postfix(1) has, too; everything else stands in the files. */
int run_suite(struct generator *g)
{
    const struct options *o = g->options;
    const char *postfix =
        arena_printf(g->arena, STR_FMT "/postfix", STR_ARG(g->base->command_directory)).p;
    bool stays = o->debug || o->foreground;
    const char *argv[] = {"postfix", "-c", g->dir.p, stays ? "start-fg" : "start", NULL};
    struct why why = {0};

    if (is_running(g)) {
        fprintf(stderr, "smtpd: already running; to take over a changed %s: postfix -c %s reload\n",
                o->file, g->dir.p);
        return 1;
    }
    if (!queue_key_ask(g)) {
        fprintf(stderr, STR_FMT "\n", STR_ARG(g->errors.v[g->errors.n - 1]));
        return 1;
    }
    if (generated_write(g, &why) != RC_OK) {
        fprintf(stderr, "smtpd: %s\n", why.text);
        return 1;
    }
    link_control_socket(g);
    warn_of_old_queue();
    setenv("MAIL_CONFIG", g->dir.p, 1);
    if (o->debug)
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    execv(postfix, (char *const *)argv);
    fprintf(stderr, "smtpd: %s: %s\n", postfix, strerror(errno));
    return 1;
}
