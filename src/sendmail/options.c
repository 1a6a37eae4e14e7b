#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/dsn.h"
#include "sendmail/sendmail.h"

#define FATAL(o, ...) log_fatal(&(o)->command.log, EX_TEMPORARY, __VA_ARGS__)

enum { SENDOPT_SMTPUTF8 = 1, SENDOPT_REQUIRETLS = 32 };

static void mode_option(struct options *o, const char *value)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {{'d', MODE_DAEMON},  {'l', MODE_DAEMON}, {'s', MODE_SMTP},
                 {'m', MODE_ENQUEUE}, {'p', MODE_LIST},   {'i', MODE_NEWALIASES},
                 {'v', MODE_VERIFY},  {'h', MODE_IGNORE}, {'H', MODE_IGNORE}};

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (value[0] == modes[i].letter) {
            o->mode = modes[i].mode;
            return;
        }
    FATAL(o, "unsupported: -b%c", value[0]);
}

static void queue_option(struct options *o, const char *value)
{
    switch (value[0]) {
    case '\0': o->mode = MODE_FLUSH; return;
    case 'R': o->mode = MODE_FLUSH_SITE; break;
    case 'I': o->mode = MODE_FLUSH_ID; break;
    default:
        if (value[0] < '0' || value[0] > '9')
            FATAL(o, "-q%c is not implemented", value[0]);
        if (o->mode != MODE_DAEMON)
            o->mode = MODE_IGNORE; /* an interval: queue_run_delay says it */
        return;
    }
    o->site = value + 1;
    if (o->site[0] == '\0')
        FATAL(o, "specify: -q%c%s", value[0], value[0] == 'R' ? "site" : "queueid");
}

/* -O name=yes|no */
static void send_option(struct options *o, const char *text)
{
    struct str value = str_of(text), name = str_cut(&value, '=');
    long bit = 0;

    if (str_eq_nocase(name, STR("smtputf8")))
        bit = SENDOPT_SMTPUTF8;
    else if (str_eq_nocase(name, STR("requiretls")))
        bit = SENDOPT_REQUIRETLS;
    else
        return; /* options of other sendmails mean nothing here */
    if (str_eq_nocase(value, STR("yes")))
        o->sendopts |= bit;
    else if (str_eq_nocase(value, STR("no")))
        o->sendopts &= ~bit;
    else
        FATAL(o, "bad value in option -O %s: specify yes or no", text);
}

static void verp_option(struct options *o, const char *value)
{
    if (value[0] != 'V' || (value[1] != '\0' && (value[2] == '\0' || value[3] != '\0')))
        FATAL(o, "bad option -X%s: specify -XV or -XV with two delimiter characters", value);
    o->verp = value + 1;
}

static void body_option(struct options *o, const char *value)
{
    if (str_eq_nocase(str_of(value), STR("8BITMIME")))
        o->encoding = "8bit";
    else if (str_eq_nocase(str_of(value), STR("7BIT")))
        o->encoding = "7bit";
    else
        FATAL(o, "-B: specify 8BITMIME or 7BIT");
}

static void old_option(struct options *o, const char *value) /* -oX */
{
    switch (value[0]) {
    case 'A': o->alias_file = value[1] ? value + 1 : NULL; break;
    case 'i': o->dot_is_text = true; break;
    case '7': o->encoding = "7bit"; break;
    case '8': o->encoding = "8bit"; break;
    default: break;
    }
}

/* -C names main.cf or its directory. */
static const char *directory_of(const char *path)
{
    struct str text = str_of(path);
    char *copy;

    if (!str_has_suffix(text, STR("/main.cf")) && !str_has_suffix(text, STR("/sendmail.cf")))
        return path;
    copy = strdup(path);
    if (copy)
        *strrchr(copy, '/') = '\0';
    return copy;
}

static void option(struct options *o, int letter, const char *value)
{
    switch (letter) {
    case 'B': body_option(o, value); break;
    case 'C': o->config_dir = directory_of(value); break;
    case 'F': o->full_name = value; break;
    case 'G': o->gateway = true; break;
    case 'I': o->mode = MODE_NEWALIASES; break;
    case 'N':
        if (!dsn_notify_parse(str_of(value), &o->notify))
            log_warning(&o->command.log, "bad -N option value -- ignored; specify never, or "
                                         "success, failure, delay");
        break;
    case 'O': send_option(o, value); break;
    case 'R':
        if (!dsn_ret_parse(str_of(value), &o->ret))
            log_warning(&o->command.log, "bad -R option value -- ignored; specify full or hdrs");
        break;
    case 'V': o->envid = value; break;
    case 'X': verp_option(o, value); break;
    case 'b': mode_option(o, value); break;
    case 'f':
    case 'r': o->sender = value; break;
    case 'i': o->dot_is_text = true; break;
    case 'o': old_option(o, value); break;
    case 'q': queue_option(o, value); break;
    case 't': o->from_headers = true; break;
    case 'v': o->verbose++; break;
    case '?': FATAL(o, "usage: sendmail [options]; see sendmail(1)");
    default: break; /* A E J L S U c e h m n p x: accepted for other sendmails' sake */
    }
}

void options_read(struct options *o, int argc, char **argv)
{
    int letter;

    if (strcmp(o->command.name, "mailq") == 0)
        o->mode = MODE_LIST;
    else if (strcmp(o->command.name, "newaliases") == 0)
        o->mode = MODE_NEWALIASES;
    opterr = 0;
    while ((letter =
                getopt(argc, argv, "A:B:C:E::F:GIJ::L:N:O:R:SUV:X:b:ce:f:h:imno:p:q::r:tvx")) != -1)
        option(o, letter, optarg ? optarg : "");
    o->recipients = argv + optind;
    if (o->mode == MODE_LIST && o->recipients[0])
        FATAL(o, "display queue mode requires no recipient");
    if (o->mode != MODE_ENQUEUE && o->mode != MODE_VERIFY)
        return;
    if (!o->from_headers && o->recipients[0] == NULL)
        FATAL(o, "Recipient addresses must be specified on the command line or via the -t option");
}
