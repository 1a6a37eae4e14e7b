#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtp-sink/sink.h"

static const char usage[] =
    "usage: smtp-sink [-468acCeEFLNpPv] [-A abort_delay] [-b soft_reply] [-B hard_reply] "
    "[-d dump_template] [-D dump_template] [-f commands] [-h hostname] [-H read_delay] "
    "[-m max_sessions] [-M messages] [-n sessions] [-q commands] [-Q commands] [-r commands] "
    "[-R root_directory] [-s commands] [-S start_string] [-t timeout] [-T window] [-u user] "
    "[-w delay] [-W command:delay[:odds]] [inet:][host]:port|unix:path backlog";

static long number(struct sink *s, int letter, long min, long max)
{
    long n = 0;

    if (!str_to_long(str_of(optarg), min, max, &n))
        log_fatal(&s->log, 1, "option -%c: \"%s\" is no number from %ld to %ld", letter, optarg,
                  min, max);
    return n;
}

static enum verb known_verb(struct sink *s, struct str name)
{
    enum verb v = verb_of(name);

    if (v == VERBS)
        log_fatal(&s->log, 1, "unknown command: " STR_FMT, STR_ARG(name));
    return v;
}

static void mark(struct sink *s, unsigned how)
{
    struct str rest = str_of(optarg), name;

    while (str_token(&rest, LIST_SEPARATORS, &name))
        s->o.verbs[known_verb(s, name)].how |= how;
    if (how & (HARD_REJECT | SOFT_REJECT))
        s->o.no_pipelining = true;
}

/* COMMAND:DELAY[:ODDS] */
static void delay(struct sink *s)
{
    struct str rest = str_of(optarg), name = str_cut(&rest, ':'), seconds = str_cut(&rest, ':');
    struct verb_setting *v = &s->o.verbs[known_verb(s, name)];
    long odds = 0;

    if (!str_to_long(seconds, 0, 100000, &v->delay_seconds) ||
        (rest.p && !str_to_long(rest, 1, 99, &odds)))
        log_fatal(&s->log, 1, "option -W: \"%s\" is not command:delay[:odds], odds from 1 to 99",
                  optarg);
    v->odds = (int)odds;
}

/* C escapes: a letter, or up to three octal digits. */
static struct str unescape(const char *text)
{
    static const char letters[] = "abfnrtv\\", bytes[] = "\a\b\f\n\r\t\v\\";
    struct buf out;

    buf_init(&out, strlen(text) + 1);
    while (*text) {
        const char *letter;
        int digits = 0, value = 0;
        if (*text != '\\') {
            buf_addc(&out, *text++);
            continue;
        }
        text++;
        for (; digits < 3 && *text >= '0' && *text <= '7'; digits++)
            value = value * 8 + (*text++ - '0');
        if (digits)
            buf_addc(&out, (char)value);
        else if (*text && (letter = strchr(letters, *text)) != NULL) {
            buf_addc(&out, bytes[letter - letters]);
            text++;
        }
    }
    return buf_str(&out);
}

static void more_options(struct sink *s, int letter)
{
    struct sink_options *o = &s->o;

    switch (letter) {
    case 'A': o->abort_delay = number(s, 'A', 0, 100000); break;
    case 'b': o->soft_reply = optarg; break;
    case 'B': o->hard_reply = optarg; break;
    case 'd': o->single_dump = optarg; break;
    case 'D': o->multi_dump = optarg; break;
    case 'f': mark(s, HARD_REJECT); break;
    case 'h': o->hostname = optarg; break;
    case 'H': o->read_delay = number(s, 'H', 1, 100000); break;
    case 'm': o->max_sessions = number(s, 'm', 1, 1000000); break;
    case 'M': o->quit_messages = number(s, 'M', 1, LONG_MAX); break;
    case 'n': o->quit_sessions = number(s, 'n', 1, LONG_MAX); break;
    case 'q': mark(s, HANG_UP); break;
    case 'Q': mark(s, SAY_421); break;
    case 'r': mark(s, SOFT_REJECT); break;
    case 'R': o->root = optarg; break;
    case 's': mark(s, LOG_IT); break;
    case 'S': o->dump_start = unescape(optarg); break;
    case 't': o->timeout = number(s, 't', 1, 1000000); break;
    case 'T': o->window = number(s, 'T', 1, INT_MAX); break;
    case 'u': o->user = optarg; break;
    case 'w': o->verbs[VERB_DATA].delay_seconds = number(s, 'w', 1, 100000); break;
    case 'W': delay(s); break;
    default: log_fatal(&s->log, 1, "%s", usage);
    }
}

static void check(struct sink *s, int left)
{
    bool logs = false;

    if (left != 2)
        log_fatal(&s->log, 1, "%s", usage);
    if (s->o.single_dump && s->o.multi_dump)
        log_fatal(&s->log, 1, "use one of the options -d and -D");
    if (getuid() == 0 && s->o.user == NULL)
        log_fatal(&s->log, 1, "root must name with -u the user whose rights the server has");
    if (s->o.pix)
        s->o.no_esmtp = true;
    for (int v = 0; v < VERBS; v++)
        logs |= (s->o.verbs[v].how & LOG_IT) != 0;
    if (logs) {
        log_close(&s->log);
        log_open(&s->log, &(struct log_options){.tag = "postfix/smtp-sink",
                                                .facility = "mail",
                                                .to_stderr = true,
                                                .progname = "smtp-sink"});
    }
}

void sink_options_read(struct sink *s, int argc, char **argv)
{
    static const char letters[] = "468aA:b:B:cCd:D:eEf:Fh:H:Lm:M:n:NpPq:Q:r:R:s:S:t:T:u:vw:W:";
    struct sink_options *o = &s->o;
    int letter;

    while ((letter = getopt(argc, argv, letters)) > 0)
        switch (letter) {
        case '4': o->family = AF_INET; break;
        case '6': o->family = AF_INET6; break;
        case '8': o->no_8bitmime = true; break;
        case 'a': o->no_auth = true; break;
        case 'c': o->counters = true; break;
        case 'C': o->no_xclient = true; break;
        case 'e': o->no_esmtp = true; break;
        case 'E': o->no_codes = true; break;
        case 'F': o->no_xforward = true; break;
        case 'L': o->lmtp = true; break;
        case 'N': o->no_dsn = true; break;
        case 'p': o->no_pipelining = true; break;
        case 'P': o->pix = true; break;
        case 'v': o->verbose = true; break;
        default: more_options(s, letter);
        }
    check(s, argc - optind);
}
