/* Passwords come from the terminal or from standard input, never from the command line. */
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "postern-user/postern-user.h"
#include "sasl/login.h"
#include "sasl/user.h"

static enum rc read_line(FILE *in, struct arena *a, struct str *text, struct why *why)
{
    char *line = arena_alloc(a, USER_PASSWORD_MAX + 3);
    size_t n;

    if (fgets(line, USER_PASSWORD_MAX + 3, in) == NULL)
        return FAIL(why, RC_PERM, "no password was given");
    n = strcspn(line, "\r\n");
    if (line[n] == '\0' && !feof(in))
        return FAIL(why, RC_PERM, "a password has at most %d bytes", USER_PASSWORD_MAX);
    login_forget(line + n, strlen(line + n));
    *text = (struct str){line, n};
    return n ? RC_OK : FAIL(why, RC_PERM, "the password is empty");
}

static enum rc ask(FILE *tty, const char *prompt, struct arena *a, struct str *text,
                   struct why *why)
{
    struct termios before, quiet;
    bool is_quiet = tcgetattr(fileno(tty), &before) == 0;
    enum rc rc;

    fputs(prompt, tty);
    fflush(tty);
    if (is_quiet) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fileno(tty), TCSAFLUSH, &quiet);
    }
    rc = read_line(tty, a, text, why);
    if (is_quiet)
        tcsetattr(fileno(tty), TCSAFLUSH, &before);
    fputs("\n", tty);
    return rc;
}

static enum rc ask_twice(FILE *tty, struct arena *a, struct str *password, struct why *why)
{
    struct str again;

    TRY(ask(tty, "New password: ", a, password, why));
    TRY(ask(tty, "Once more: ", a, &again, why));
    return login_same_secret(*password, again) ? RC_OK
                                               : FAIL(why, RC_PERM, "the two are not the same");
}

enum rc password_read(struct arena *a, bool is_new, struct str *password, struct why *why)
{
    FILE *tty;
    enum rc rc;

    if (!isatty(STDIN_FILENO))
        return read_line(stdin, a, password, why);
    tty = fopen("/dev/tty", "r+e");
    if (tty == NULL)
        return FAIL(why, RC_TEMP, "/dev/tty: %m");
    rc = is_new ? ask_twice(tty, a, password, why) : ask(tty, "Password: ", a, password, why);
    fclose(tty);
    return rc;
}
