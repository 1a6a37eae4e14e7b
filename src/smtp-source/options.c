#include <limits.h>
#include <unistd.h>

#include "smtp-source/source.h"

static const char usage[] =
    "usage: smtp-source [-46AcdLNov] [-C tries] [-f from] [-F file] [-l length] [-m messages] "
    "[-M myhostname] [-r recipients] [-R random_pause] [-s sessions] [-S subject] [-t to] "
    "[-T window] [-w pause] [inet:]host[:port]|unix:path";

static long number(struct source *s, int letter, long min, long max)
{
    long n = 0;

    if (!str_to_long(str_of(optarg), min, max, &n))
        log_fatal(&s->log, 1, "option -%c: \"%s\" is no number from %ld to %ld", letter, optarg,
                  min, max);
    return n;
}

/* Addresses are kept without brackets. */
static struct str address(const char *text)
{
    struct str s = str_of(text);

    if (str_has_prefix(s, STR("<")) && str_has_suffix(s, STR(">")))
        s = (struct str){s.p + 1, s.n - 2};
    return s;
}

static void more_options(struct source *s, int letter)
{
    struct source_options *o = &s->o;

    switch (letter) {
    case 'C': o->tries = number(s, 'C', 1, LONG_MAX); break;
    case 'f': o->from = address(optarg); break;
    case 'F': o->file = optarg; break;
    case 'l': o->length = number(s, 'l', 1, INT_MAX); break;
    case 'm': o->messages = number(s, 'm', 1, LONG_MAX); break;
    case 'M': o->host = optarg; break;
    case 'r': o->recipients = number(s, 'r', 1, LONG_MAX); break;
    case 'R': o->random_pause = number(s, 'R', 1, 100000); break;
    case 's': o->sessions = number(s, 's', 1, 1000000); break;
    case 'S': o->subject = str_of(optarg); break;
    case 't': o->to = address(optarg); break;
    case 'T': o->window = number(s, 'T', 1, INT_MAX); break;
    case 'w': o->fixed_pause = number(s, 'w', 1, 100000); break;
    default: log_fatal(&s->log, 1, "%s", usage);
    }
}

void source_options_read(struct source *s, int argc, char **argv)
{
    static const char letters[] = "46AcC:df:F:l:Lm:M:Nor:R:s:S:t:T:vw:";
    struct source_options *o = &s->o;
    int letter;

    while ((letter = getopt(argc, argv, letters)) > 0)
        switch (letter) {
        case '4': o->family = AF_INET; break;
        case '6': o->family = AF_INET6; break;
        case 'A': o->keep_going = true; break;
        case 'c': o->counter = true; break;
        case 'd': o->keep_connection = true; break;
        case 'L': o->lmtp = true; break;
        case 'N': o->number_recipients = true; break;
        case 'o': o->old = true; break;
        case 'v': o->verbose = true; break;
        default: more_options(s, letter);
        }
    if (argc - optind != 1)
        log_fatal(&s->log, 1, "%s", usage);
    if (o->fixed_pause && o->random_pause)
        log_fatal(&s->log, 1, "use one of the options -w and -R");
    if (o->file && o->length >= 0)
        log_fatal(&s->log, 1, "use one of the options -l and -F");
    if (o->host == NULL) {
        gethostname(s->own_name, sizeof s->own_name - 1);
        o->host = s->own_name;
    }
}
