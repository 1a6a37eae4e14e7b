/* Starting what does the work. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "obtuse-smtpd/obtuse-smtpd.h"
#include "util/file.h"
#include "util/net.h"

/* ---- -D ---- */

static int run(const struct obtuse *o, char *const *argv)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        execv(argv[0], argv);
        log_fatal(&o->command->log, EX_OSERR, "%s: %m", argv[0]);
    }
    if (pid < 0)
        log_fatal(&o->command->log, EX_OSERR, "fork: %m");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EX_OSERR;
}

static void write_pid(const struct obtuse *o)
{
    struct str from = arena_printf(o->arena, "%s/pid/master.pid", o->home), text;
    struct why why;

    if (o->pid_file == NULL)
        return;
    if (file_read(from.p, 64, o->arena, &text, &why) == RC_OK)
        text = arena_printf(o->arena, STR_FMT "\n", STR_ARG(str_trim(text)));
    else
        log_fatal(&o->command->log, EX_OSERR, "%s", why.text);
    if (file_replace(o->pid_file, text, 0644, &why) != RC_OK)
        log_fatal(&o->command->log, EX_OSERR, "%s", why.text);
}

int obtuse_daemon(const struct obtuse *o)
{
    const char *directory;
    struct why why;
    struct str postfix =
        arena_printf(o->arena, "%s/postfix", o->command->config->command_directory.p);
    char *argv[] = {(char *)postfix.p, (char *)"-c", NULL, (char *)"start", NULL};

    if (access(o->home, F_OK) < 0)
        log_fatal(&o->command->log, EX_CONFIG, "home directory %s: %m; make it with --setup",
                  o->home);
    if (obtuse_write_config(o, &directory, &why) != RC_OK)
        log_fatal(&o->command->log, EX_OSERR, "%s", why.text);
    argv[2] = arena_text(o->arena, str_of(directory));
    if (run(o, argv) != 0)
        return EX_CONFIG;
    write_pid(o);
    return 0;
}

/* ---- one client on standard input ---- */

/* -l: a connection to another address is not for us. */
static void check_address(const struct obtuse *o)
{
    static const char refusal[] = "521 5.3.2 this address takes no mail\r\n";
    struct addr wanted, here;

    if (o->address == NULL || addr_parse(str_of(o->address), 0, &wanted, NULL) != RC_OK ||
        addr_of_socket(STDIN_FILENO, false, &here, NULL) != RC_OK || addr_equal(&wanted, &here))
        return;
    if (write(STDOUT_FILENO, refusal, sizeof refusal - 1) < 0)
        exit(EX_OSERR);
    exit(0);
}

static int memory_file(const struct obtuse *o, const char *name, struct str text)
{
    int fd = memfd_create(name, 0); /* not close-on-exec */
    struct why why;

    if (fd < 0)
        log_fatal(&o->command->log, EX_OSERR, "memory file: %m");
    if (fd_write_all(fd, text, &why) != RC_OK)
        log_fatal(&o->command->log, EX_OSERR, "%s", why.text);
    return fd;
}

_Noreturn void obtuse_one_session(const struct obtuse *o)
{
    struct str smtpd = arena_printf(o->arena, "%s/smtpd", o->command->config->daemon_directory.p);
    char *argv[] = {(char *)smtpd.p, (char *)"-c", (char *)"--inetd", (char *)"-n",
                    (char *)"smtp",  (char *)"-t", (char *)"inet",    NULL};
    char fds[64];

    check_address(o);
    snprintf(fds, sizeof fds, "%d:%d", memory_file(o, "main.cf", instance_main(o)),
             memory_file(o, "master.cf", instance_master(o)));
    if (setenv(CONFIG_FD_ENVIRONMENT, fds, 1) == 0)
        execv(argv[0], argv);
    log_fatal(&o->command->log, EX_OSERR, "%s: %m", argv[0]);
}
