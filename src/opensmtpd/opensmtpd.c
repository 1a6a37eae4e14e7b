/*
 * opensmtpd - run the mail system from an smtpd.conf, as OpenSMTPD's smtpd(8) does.
 *
 * Reads smtpd.conf (either grammar), compiles it into a configuration of the suite made anew at
 * each start, and starts the suite with that. -n only checks, -n -v shows what would be generated.
 */
#include <stdio.h>

#include "opensmtpd/options.h"

static void print_messages(const struct conf *conf)
{
    for (size_t i = 0; i < conf->messages.n; i++)
        fprintf(stderr, STR_FMT "\n", STR_ARG(conf->messages.v[i].text));
}

int main(int argc, char **argv)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct options o;
    struct conf conf;
    enum rc rc;

    if (options_parse(argc, argv, a, &o) != OPTIONS_GO_ON)
        return 1;
    rc = conf_read(&(struct conf_request){.path = o.file,
                                          .grammar = o.grammar,
                                          .macros = o.macros.v,
                                          .n_macros = o.macros.n,
                                          .program = "smtpd",
                                          .verbose = o.verbose > 0},
                   a, &conf);
    print_messages(&conf);
    if (rc != RC_OK)
        return 1;
    fprintf(stderr, "configuration OK\n");
    return 0;
}
