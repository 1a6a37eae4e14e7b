/*
 * opensmtpd - run the mail system from an smtpd.conf, as OpenSMTPD's smtpd(8) does.
 *
 * Reads smtpd.conf (either grammar), compiles it into a configuration of the suite made anew at
 * each start, and starts the suite with that. -n only checks, -n -v shows what would be generated.
 */
#include <stdio.h>
#include <unistd.h>

#include "opensmtpd/generate.h"
#include "util/file.h"

static void print_messages(const struct conf *conf)
{
    for (size_t i = 0; i < conf->messages.n; i++)
        fprintf(stderr, STR_FMT "\n", STR_ARG(conf->messages.v[i].text));
}

static void print_lines(const struct str *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, STR_FMT "\n", STR_ARG(lines[i]));
}

/* The name that the host has for mail: hostname of smtpd.conf, /etc/mail/mailname, the suite's. */
static void find_hostname(struct generator *g)
{
    static const char mailname[] = "/etc/mail/mailname";
    struct str text = STR("");

    g->hostname = g->conf->hostname.value;
    g->hostname_place = g->conf->hostname.place;
    if (g->hostname.n)
        return;
    if (file_read(mailname, 4096, g->arena, &text, NULL) == RC_OK)
        g->hostname = str_trim(str_cut(&text, '\n'));
    if (g->hostname.n)
        g->hostname_place = (struct conf_place){str_of(mailname), 1};
    else
        g->hostname = g->base->myhostname;
}

/* Is all that is needed there to run? As the original asks: after the configuration. */
static bool may_run(const struct generator *g)
{
    const char *queue = g->base->queue_directory.p;

    if (getuid() == 0 || access(queue, W_OK) == 0)
        return true;
    fprintf(stderr, "smtpd: need root privileges\n");
    return false;
}

static int use(struct arena *a, const struct options *o, const struct conf *conf)
{
    struct generator g = {.arena = a, .conf = conf, .options = o};
    struct config *base = NULL;
    struct why why = {0};
    int status = 1;

    log_open(&g.log, &(struct log_options){.only_stderr = true, .progname = "smtpd"});
    if (load_base(a, o->base, &base, &why) != RC_OK) {
        fprintf(stderr, "smtpd: %s\n", why.text);
        return 1;
    }
    g.base = base;
    g.dir = arena_printf(a, STR_FMT "/smtpd.d", STR_ARG(base->data_directory));
    find_hostname(&g);
    generate(&g);
    print_lines(g.errors.v, g.errors.n);
    if (g.errors.n == 0 && o->check_only) {
        if (o->verbose) {
            print_lines(g.warnings.v, g.warnings.n);
            generated_print(&g);
        }
        fprintf(stderr, "configuration OK\n");
        status = 0;
    } else if (g.errors.n == 0 && o->write_only) {
        if (!queue_key_keep(&g))
            print_lines(g.errors.v, g.errors.n);
        else if (generated_write(&g, &why) != RC_OK)
            fprintf(stderr, "smtpd: %s\n", why.text);
        else
            status = 0;
    } else if (g.errors.n == 0 && may_run(&g)) {
        print_lines(g.warnings.v, g.warnings.n);
        status = run_suite(&g);
    }
    generator_done(&g);
    config_free(base);
    return status;
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
    return rc == RC_OK ? use(a, &o, &conf) : 1;
}
