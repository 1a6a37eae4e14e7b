/*
 * postlog - put lines into the mail log, for scripts.
 *
 * postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text...]: the arguments are one record;
 * without them each line of standard input is one. The lines go to standard error as well.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/command.h"
#include "util/buf.h"
#include "util/stream.h"

enum { RECORD_MAX = 2000, STATUS_USAGE = 1 };

struct postlog {
    struct command command;
    const char *directory, *tag;
    enum log_level level;
};

static bool parse_priority(const char *word, enum log_level *level)
{
    static const char *const words[] = {"info", "warn", "error", "fatal", "panic"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0 || (i == 1 && strcmp(word, "warning") == 0)) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

static void parse(struct postlog *p, int argc, char **argv)
{
    int letter;

    while ((letter = getopt(argc, argv, "+c:ip:t:v")) > 0) {
        if (letter == 'c')
            p->directory = optarg;
        else if (letter == 't')
            p->tag = optarg;
        else if (letter == 'v')
            p->command.log.verbose++;
        else if (letter == 'p' && !parse_priority(optarg, &p->level))
            log_fatal(&p->command.log, STATUS_USAGE,
                      "unrecognized priority \"%s\"; one of info, warn, error, fatal, panic",
                      optarg);
        else if (letter == '?')
            log_fatal(&p->command.log, STATUS_USAGE,
                      "usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text...]");
    }
}

static void put_arguments(const struct postlog *p, int n, char **words)
{
    AUTO_BUF text;

    buf_init(&text, RECORD_MAX); /* what is longer is cut, as the log would */
    for (int i = 0; i < n; i++) {
        if (i > 0)
            buf_addc(&text, ' ');
        buf_add(&text, str_head(str_of(words[i]), RECORD_MAX - text.n));
    }
    log_text(&p->command.log, p->level, buf_str(&text));
}

static void put_lines(const struct postlog *p)
{
    struct stream in;
    struct str line;
    struct why why;
    bool crlf;
    enum rc rc;

    stream_init(&in, STDIN_FILENO, 0);
    while ((rc = stream_line(&in, RECORD_MAX, &line, &crlf, &why)) == RC_OK || rc == RC_PERM)
        log_text(&p->command.log, p->level, line);
    if (rc == RC_EOF && stream_peek(&in).n)
        log_text(&p->command.log, p->level, stream_peek(&in));
}

int main(int argc, char **argv)
{
    struct postlog p = {.level = LOG_LEVEL_INFO};

    command_init(&p.command, argv[0]);
    parse(&p, argc, argv);
    command_configure(&p.command, p.directory);
    if (p.tag)
        command_open_log(&p.command.log, p.command.config, p.tag, p.tag);
    if (optind < argc)
        put_arguments(&p, argc - optind, argv + optind);
    else
        put_lines(&p);
    if (p.level >= LOG_LEVEL_FATAL)
        sleep(1); /* scripts that loop over a fatal error do not fill the log */
    return 0;
}
