#include "opensmtpd/options.h"

#include <stdio.h>
#include <unistd.h>

#include "config/config.h"

static const char *const traces[] = {"imsg",     "io",     "smtp",      "filters", "mta",
                                     "transfer", "bounce", "scheduler", "expand",  "lookup",
                                     "stat",     "rules",  "mproc",     "all"};

static void usage(const struct options *o)
{
    fprintf(stderr,
            "usage: %s [-dFhnv] [-D macro=value] [-f file] [-o grammar=2011|current] [-P system] "
            "[-T trace]\n",
            o->program);
}

/* As in the file, blanks around the value do not count. */
static void define(struct options *o, struct arena *a, const char *text)
{
    struct str value = str_of(text), name;

    if (str_index(value, '=') <= 0) {
        fprintf(stderr, "warn: could not parse macro definition %s\n", text);
        return;
    }
    name = str_trim(str_cut(&value, '='));
    vec_add(a, &o->macros, ((struct conf_macro){name, str_trim(value)}));
}

static void trace(struct options *o, struct arena *a, const char *text)
{
    for (size_t i = 0; i < sizeof traces / sizeof *traces; i++)
        if (strcmp(text, traces[i]) == 0) {
            vec_add(a, &o->traced, str_of(text));
            return;
        }
    fprintf(stderr, "warn: unknown trace flag \"%s\"\n", text);
}

static bool pause_system(struct options *o, struct arena *a, const char *text)
{
    if (strcmp(text, "mda") != 0 && strcmp(text, "mta") != 0 && strcmp(text, "smtp") != 0) {
        fprintf(stderr, "%s: -P %s: mda, mta or smtp can be paused\n", o->program, text);
        return false;
    }
    vec_add(a, &o->paused, str_of(text));
    return true;
}

static bool set_option(struct options *o, const char *text)
{
    if (strncmp(text, "base=", 5) == 0)
        o->base = text + 5;
    else if (strcmp(text, "write") == 0)
        o->write_only = true;
    else if (strcmp(text, "grammar=2011") == 0)
        o->grammar = GRAMMAR_2011;
    else if (strcmp(text, "grammar=current") == 0)
        o->grammar = GRAMMAR_CURRENT;
    else
        return false;
    return true;
}

/* The version is a parameter, so that a build can have its own. */
static void version(void)
{
    struct config_request request = {.dir = "/nonexistent", .main_cf = &STR("")};
    struct config *config = NULL;
    struct why why;

    if (config_load(&request, &config, &why) == RC_OK)
        fprintf(stderr, "version: Postern " STR_FMT "\n", STR_ARG(config->mail_version));
    config_free(config);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* The command that makes the same files again. */
static void remember_command(struct options *o, struct arena *a, int argc, char **argv)
{
    struct str text = arena_printf(a, "{opensmtpd} {-o} {write}");

    for (int i = 1; i < argc; i++)
        if (strchr(argv[i], '{') || strchr(argv[i], '}') || strchr(argv[i], '\n'))
            return; /* cannot be written down */
        else
            text = arena_printf(a, STR_FMT " {%s}", STR_ARG(text), argv[i]);
    o->command = text;
}

enum options_answer options_parse(int argc, char **argv, struct arena *a, struct options *o)
{
    bool ok = true;
    int c;

    *o = (struct options){.program = argc ? last_part(argv[0]) : "smtpd",
                          .file = "/etc/mail/smtpd.conf"};
    while ((c = getopt(argc, argv, "dD:hnP:f:FT:vo:")) != -1)
        switch (c) {
        case 'd': o->debug = true; break;
        case 'D': define(o, a, optarg); break;
        case 'F': o->foreground = true; break;
        case 'f': o->file = optarg; break;
        case 'n': o->check_only = true; break;
        case 'o': ok = ok && set_option(o, optarg); break;
        case 'P': ok = ok && pause_system(o, a, optarg); break;
        case 'T': trace(o, a, optarg); break;
        case 'v': o->verbose++; break;
        case 'h':
            version();
            ok = false;
            break;
        default: ok = false; break;
        }
    if (ok && optind == argc) {
        remember_command(o, a, argc, argv);
        return OPTIONS_GO_ON;
    }
    usage(o);
    return OPTIONS_EXIT_1;
}
